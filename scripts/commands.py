"""Commands in a folder: `run("bench", NAMES)` is what `python scripts/bench NAME ...` calls."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path


def run(folder: str, names: Sequence[str]) -> None:
    """Call `main` of the module that the first argument names, with the arguments after it; exits with its status."""
    # The folder itself, behind the repository's root: its signal.py and profile.py would hide the standard library's.
    del sys.path[1]
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(f"usage: python scripts/{folder} NAME [--help]\n")
        for each in names:
            print(f"  {each:<9} {purpose(folder, each)}")
    elif name not in names:
        sys.exit(f"{folder}: unknown name {name}: choose from {', '.join(names)}")
    else:
        sys.argv[:2] = [f"{folder} {name}"]  # so that argparse's usage says what was typed
        sys.exit(importlib.import_module(f"scripts.{folder}.{name}").main())


def purpose(folder: str, name: str) -> str:
    """The first sentence of a module's docstring, without its import, which may take seconds."""
    source = (Path(__file__).parent / folder / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0].partition(": `python")[0]
