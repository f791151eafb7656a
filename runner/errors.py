"""The one exception whose text is meant for the person at the shell."""


class UserError(Exception):
    """Something the user can mend: one line that says what, where, and what would be right.

    `runner.__main__` prints it without a traceback and exits with status 2.
    """
