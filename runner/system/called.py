"""How this program was called, so that what it says to type is what works here: `command()` and `report(folder)`."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

SCRIPT = "ADAMW_RUNNER_SCRIPT"  # scripts/run leaves its own name here, as it was typed
_MODULES = ("runner", "runner.report", "adamw_runner")


def command(*arguments: str) -> str:
    """A line for a shell that calls the program in the same way with other arguments."""
    return shlex.join([*_words(), *arguments])


def report(folder: Path | str) -> str:
    """A line for a shell that makes the tables and plots of the study in `folder`."""
    script = os.environ.get(SCRIPT)
    python = str(Path(script).parent.parent / ".venv" / "bin" / "python") if script else _python()
    return shlex.join([python, "-m", "runner.report", str(folder)])


def _words() -> list[str]:
    if script := os.environ.get(SCRIPT):
        return [script]
    name = sys.argv[0] if sys.argv else ""
    if Path(name).name == "runner" and "/" in name:  # the console command, by the path at which the shell found it
        on_path = shutil.which("runner")
        return ["runner"] if on_path and os.path.realpath(on_path) == os.path.realpath(name) else [name]
    return [_python(), "-m", "adamw_runner" if _module(sys.orig_argv) == "adamw_runner" else "runner"]


def _python() -> str:
    """The interpreter as it was typed."""
    return sys.orig_argv[0] if _module(sys.orig_argv) else "python"


def _module(words: Sequence[str]) -> str:
    """Which of our modules Python was told to run with -m; "" where it runs something else, such as a test."""
    at = words.index("-m") + 1 if "-m" in words else len(words)
    return words[at] if at < len(words) and words[at] in _MODULES else ""
