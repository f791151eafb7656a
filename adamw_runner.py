"""The console command `runner`, under a name that nobody else's module has: a stranger's `runner` is not imported.

`python -m adamw_runner` is the same.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """`runner [-m] [KEY=VALUE ...]`."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, here)
    from runner.system.place import own_code_first

    sys.path.remove(here)
    own_code_first()
    from runner.__main__ import command as start

    start()


if __name__ == "__main__":
    main()
