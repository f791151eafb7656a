"""The code that made a row, for the column `code`: `fingerprint()` hashes the files that can change a result.

These are the optimizer package and this one's models, data, training and trials. Comments, docstrings and empty lines
do not count, so that an edit of the text alone, which is a commit like any other, does not make another code.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACES = ("optim", "runner/data", "runner/models", "runner/training", "runner/trials.py")


@functools.cache
def fingerprint() -> str:
    """Ten hexadecimal digits; empty where the source files are not there to be read."""
    return of(ROOT)


def of(root: Path) -> str:
    """The fingerprint of the packages in the folder `root`."""
    total = hashlib.sha256()
    files = sorted((path.relative_to(root).as_posix(), path) for place in PLACES for path in _sources(root / place))
    try:
        for name, path in files:
            total.update(f"{name}\0{bare(path.read_text(encoding='utf-8'))}\0".encode())
    except (OSError, ValueError, SyntaxError):
        return ""
    return total.hexdigest()[:10] if files else ""


# A comment, or a string that may hold what looks like one; the longer quotes first.
_WORD = re.compile(
    r"""#[^\n]*|\"{3}(?:[^\\]|\\.)*?\"{3}|'{3}(?:[^\\]|\\.)*?'{3}|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'""", re.DOTALL
)


def bare(source: str) -> str:
    """Python source without comments, docstrings and empty lines; the rest as it is written."""
    # This is done at every start: by one expression, and statements alone, in half the time of tokens and all nodes.
    lines = _WORD.sub(lambda found: "" if found[0][0] == "#" else found[0], source).splitlines()
    for node in _blocks(ast.parse(source)):
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            for row in range(first.lineno - 1, first.end_lineno or first.lineno):
                lines[row] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _blocks(tree: ast.Module) -> Iterator[ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """What can have a docstring: the module, its classes and functions, and those within any of their statements."""
    left: list[ast.AST] = [tree]
    while left:
        node = left.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            yield node
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, field, ())
            left.extend(inner if isinstance(inner, list) else ())


def _sources(place: Path) -> list[Path]:
    return [place] if place.is_file() else list(place.rglob("*.py"))
