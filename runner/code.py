"""The code that made a row, for the column `code`: `fingerprint()` hashes the files that can change a result.

These are the optimizer package and this one's models, data, training and trials. Comments, docstrings and empty lines
do not count, so that an edit of the text alone, which is a commit like any other, does not make another code.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import io
import tokenize
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


def bare(source: str) -> str:
    """Python source without comments, docstrings and empty lines; the rest as it is written."""
    lines = source.splitlines()
    for row, start, end in sorted(_comments(source), reverse=True):
        lines[row] = lines[row][:start] + lines[row][end:]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                for row in range(first.lineno - 1, first.end_lineno or first.lineno):
                    lines[row] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _comments(source: str) -> Iterator[tuple[int, int, int]]:
    """Line, from 0, first and last column of each comment."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0] - 1, token.start[1], token.end[1]


def _sources(place: Path) -> list[Path]:
    return [place] if place.is_file() else list(place.rglob("*.py"))
