"""Which code and which configs run: those beside this file, whatever lies in the current folder or on PYTHONPATH.

`python -m` puts the current folder before everything else, so that a stranger's `optim.py`, `hydra/` or `random.py`
there would be imported in place of ours. Imports nothing but the standard library, and of that little.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # of `runner`, `optim` and `configs`: a clone, or site-packages
CONFIGS = ROOT / "configs"  # by its path: `configs` is a common name for a folder, and also of packages
_OURS = ("runner", "optim")


def started_by_module() -> bool:
    """Whether this is `python -m runner...` while it looks for its module: Python calls itself "-m" until then."""
    return sys.argv[:1] == ["-m"]


def own_code_first() -> None:
    """Import our packages from here, in this process and in those that it starts.

    The current folder is taken off `sys.path` where `python -m` has put it there, unless it is our own.
    """
    in_own_folder = False
    if started_by_module() and not sys.flags.safe_path and sys.path:
        first = Path(sys.path[0] or os.getcwd())
        in_own_folder = _same(first, ROOT)
        if not in_own_folder:
            del sys.path[0]
    # Workers and jobs of launchers are Python processes too, and their `-c` and `-m` would look in the current folder.
    os.environ["PYTHONSAFEPATH"] = "1"
    if in_own_folder or _hidden():
        sys.path[:] = [str(ROOT), *(entry for entry in sys.path if entry != str(ROOT))]
        others = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *([others] if others else [])])


def _hidden() -> bool:
    """Whether a folder before ours on `sys.path` has a package or module with the name of one of ours."""
    for entry in sys.path:
        folder = Path(entry or os.getcwd())
        if _same(folder, ROOT):
            return False
        if any((folder / name).is_dir() or (folder / f"{name}.py").is_file() for name in _OURS):
            return True
    return False  # ours is an editable install, which Python finds after all folders


def _same(one: Path, other: Path) -> bool:
    """Whether both are one folder; False where one does not exist."""
    try:
        return one.samefile(other)
    except OSError:
        return False
