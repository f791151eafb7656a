"""Where the fork server's socket is: `short_folder()`.

The name of a Unix socket has at most 107 bytes, and multiprocessing puts it below TMPDIR, which may be longer.
"""

from __future__ import annotations

import functools
import os
import tempfile
from multiprocessing import util

LONGEST = 107 - len("/pymp-01234567/listener-01234567") - 4  # bytes of the temporary folder's own name
PLACES = ("/tmp", "/var/tmp", "/dev/shm")


@functools.cache
def short_folder() -> bool:
    """Have multiprocessing keep its sockets where their names are short enough; False where there is no such place."""
    usual = tempfile.gettempdir()
    for place in (usual, *PLACES):
        if len(os.fsencode(os.path.abspath(place))) > LONGEST:
            continue
        tempfile.tempdir = place
        try:
            util.get_temp_dir()  # made now, and remembered by this process
            return True
        except OSError:
            continue
        finally:
            tempfile.tempdir = usual
    return False
