"""The rows of a records file of any size, a block of lines at a time, with NumPy where no line is odd.

`whole_lines(path, table)` gives its rows and leaves out what is damaged; `skim(block, width)` only names them.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from runner.errors import UserError
from runner.records.lines import BLOCK, check_header, is_plain, is_row, is_whole, padded, split
from runner.records.schema import COLUMNS, OLDEST

NEWLINE, COMMA, ZERO = ord("\n"), ord(","), ord("0")
Array = np.ndarray[Any, Any]


class Lines(NamedTuple):
    """Rows, as they stand in the file, and the numbers of the lines between them that are none."""

    rows: bytes
    damaged: list[int]
    columns: Sequence[str]  # of the rows: fewer than the table's in a file of an older version

    def padded(self, columns: int) -> bytes:
        """The rows with so many columns: those of an older version get empty cells behind."""
        missing = columns - len(self.columns)
        return b"".join(padded(line, missing) for line in io.BytesIO(self.rows)) if missing else self.rows


def whole_lines(path: Path, table: str, only: Collection[str] | None = None) -> Iterator[Lines]:
    """The lines of a `table`'s file that are rows (of `only` these trials), in blocks, so that it may be of any size.

    Nothing of a file that is not there, or not any more.
    """
    columns: Sequence[str] = COLUMNS[table]
    try:
        with path.open("rb") as file:
            first = file.readline()
            rest = file.peek(1)
            header = first if rest or first.count(b",") >= len(columns) - 1 else first[:-1]
            columns = check_header(path, header, columns, OLDEST[table]) or columns
            tail, number = b"", 2
            while block := file.read(BLOCK):
                end = block.rfind(b"\n") + 1
                text, tail = tail + block[:end], block[end:] if end else tail + block
                if end:
                    yield _lines(text, number, table, columns, only)
                    number += text.count(b"\n")
            if tail and is_whole(path, number, tail, columns, table):
                yield _lines(tail + b"\n", number, table, columns, only)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); mend it or move it away") from error


def _lines(block: bytes, number: int, table: str, columns: Sequence[str], only: Collection[str] | None) -> Lines:
    """The rows among whole lines, the first of which has this number."""
    commas, key = len(columns) - 1, columns.index("trial")
    least = min(OLDEST[table], len(columns))
    plain = is_plain(block)
    if plain and (only is None or key == 0):
        text = np.frombuffer(block, np.uint8)
        starts, ends = _places(text)
        if (np.add.reduceat(text == COMMA, starts, dtype=np.int32) == commas).all():
            return Lines(block if only is None else _chosen(text, starts, ends, only), [], columns)
    wanted = None if only is None else {trial.encode() for trial in only}
    kept, damaged = [], []
    for at, line in enumerate(io.BytesIO(block), number):
        if wanted is not None and line.split(b",", key + 1)[min(key, line.count(b","))] not in wanted:
            continue
        odd = not (plain or is_plain(line)) or line.count(b",") != commas
        row = split(line[:-1].decode(errors="replace")) if odd else columns
        if is_row(row, len(columns), least):
            kept.append(padded(line, len(columns) - len(row)))
        else:
            damaged.append(at)
    return Lines(b"".join(kept), damaged, columns)


def _places(text: Array) -> tuple[Array, Array]:
    """Where each line begins, and where its end is."""
    ends = np.flatnonzero(text == NEWLINE)
    return np.append(0, ends[:-1] + 1), ends


def _chosen(text: Array, starts: Array, ends: Array, only: Collection[str]) -> bytes:
    """The lines that begin with one of these ids and a comma."""
    hit = np.zeros(len(starts), bool)
    for width in {len(trial.encode()) for trial in only}:
        long = np.flatnonzero(starts + width < ends)
        ids = _words(text, starts[long], width + 1)
        hit[long] |= np.isin(ids, np.array([f"{t},".encode() for t in only if len(t.encode()) == width]))
    return b"".join(text[a : b + 1].tobytes() for a, b in zip(starts[hit], ends[hit], strict=True))


def _words(text: Array, starts: Array, width: int) -> Array:
    """So many bytes from each of these places."""
    return np.ascontiguousarray(text[starts[:, None] + np.arange(width)]).view(f"S{width}").ravel()


def skim(block: bytes, columns: int) -> list[tuple[str, int]] | None:
    """Which trials and counts whole lines of so many columns begin with, runs of counts as the bits of an integer.

    None unless every line is plain and begins with an id, all of one length, and a number.
    """
    text = np.frombuffer(block, np.uint8)
    starts, ends = _places(text)
    commas: Array = np.flatnonzero(text == COMMA)
    if not is_plain(block) or len(commas) != len(ends) * (columns - 1):
        return None
    commas = commas.reshape(len(ends), columns - 1)
    width = commas[:, 0] - starts
    digits = commas[:, 1] - commas[:, 0] - 1
    if (commas[:, 0] < starts).any() or (commas[:, -1] > ends).any() or (width != width[0]).any() or not width[0]:
        return None
    if digits.min() < 1 or digits.max() > 6:
        return None
    counts = np.zeros(len(ends), np.int64)
    for place in range(digits.max()):
        there = digits > place
        figure = np.where(there, text[commas[:, 1] - 1 - place * there], ZERO) - ZERO  # what is none wraps around
        if (figure > 9).any():
            return None
        counts += figure.astype(np.int64) * 10**place
    ids = _words(text, starts, int(width[0]))
    cuts = np.flatnonzero((ids[1:] != ids[:-1]) | (np.diff(counts) != 1)) + 1
    first, last = np.append(0, cuts), np.append(cuts, len(ids)) - 1
    runs = zip(ids[first].tolist(), counts[first].tolist(), counts[last].tolist(), strict=True)
    return [(name.decode(errors="replace"), ((1 << (b - a + 1)) - 1) << a) for name, a, b in runs]
