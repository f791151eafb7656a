"""Where a row comes from: the version and commit of this code, for the columns of that name."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path


def version() -> str:
    try:
        return metadata.version("adamw-runner")
    except metadata.PackageNotFoundError:
        return ""


def commit() -> str:
    """The short commit of the checkout this code runs from, with `+` if it has been changed since; else empty."""
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return ""
    try:
        call = ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--exclude=*"]
        return subprocess.run(call, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
