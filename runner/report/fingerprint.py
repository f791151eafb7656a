"""Whether a report is up to date with its study's rows: `fingerprint(folder)` of a study, which report.html carries.

The report's text for a terminal is kept beside it, so that a finished study shows it again at once: `kept(folder)`.
File times cannot tell this: a clone or a copy has other times, and of two reports made at once the later may be of
fewer rows.
"""

from __future__ import annotations

import functools
import hashlib
import re
from contextlib import suppress
from pathlib import Path

from runner.errors import UserError
from runner.records import parts
from runner.records.schema import FILES, RESULT_TABLES
from runner.system import called
from runner.system.files import replacing

_TABLES = [FILES[table] for table in RESULT_TABLES]
_FILES = (*_TABLES, *(f"{name}.gz" for name in _TABLES), FILES["plan"], "study.yaml")
_MARK = re.compile(rb"<!-- rows: ([0-9a-f]{32}) -->\s*\Z")
_SOURCES = (".py", ".j2", ".css")  # of the code, and of the page's templates
_WRITTEN = ("generalization.csv", "generalization.md", "report.html")


def fingerprint(folder: Path, reference: str = "", claims: bool = False) -> str:
    """32 hex digits of all that a report is made from: the study's files, those of its jobs, this program's code, and
    the `reference` and the `claims` that were asked for.

    Raises: UserError where a file cannot be read.
    """
    digest = hashlib.blake2b(_code() + f"{reference} {claims}".encode(), digest_size=16)
    for path in [*(place / name for place in (folder, *parts.of(folder)) for name in _FILES), folder / FILES["shards"]]:
        try:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "blake2b").digest()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); mend it or move it away") from error
        digest.update(hashlib.blake2b(f"{path.relative_to(folder)}".encode() + content).digest())
    return digest.hexdigest()


@functools.cache
def _code() -> bytes:
    """Of what decides how rows become a report."""
    runner = Path(__file__).parents[1]
    rooms = ("analysis", "claims", "config", "execution", "records", "report", "system", "trials")
    sources = [path for room in rooms for path in sorted((runner / room).rglob("*"))] + sorted(runner.glob("*.py"))
    return b"".join(
        hashlib.blake2b(path.read_bytes(), digest_size=16).digest() for path in sources if path.suffix in _SOURCES
    )


def marked(page: str, rows: str) -> str:
    """The text of a page that says of which rows it is."""
    return f"{page}<!-- rows: {rows} -->\n"


def is_current(folder: Path, rows: str) -> bool:
    """Whether the study's report is there and of these `rows`: the `fingerprint` of the study as it is."""
    try:
        with (folder / "report.html").open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 64))
            mark = _MARK.search(file.read())
    except OSError:
        return False
    whole = all((folder / name).is_file() for name in _WRITTEN)
    return mark is not None and whole and mark[1].decode() == rows


def keep(folder: Path, rows: str, terminal: str) -> None:
    """Keep what a report with the fingerprint `rows` says on a terminal, for `kept`."""
    with suppress(OSError), replacing(_kept(folder)) as draft:  # a folder that may only be read stays as it is
        draft.write_text(f"{_key(rows, folder)}\n{terminal}", encoding="utf-8")


def kept(folder: Path, rows: str) -> str:
    """What a report with the fingerprint `rows` says on a terminal, where that has been kept; "" where it has not."""
    try:
        key, _, terminal = _kept(folder).read_text(encoding="utf-8").partition("\n")
    except (OSError, ValueError):
        return ""
    return terminal if key == _key(rows, folder) else ""


def _kept(folder: Path) -> Path:
    return folder / ".state" / "terminal.txt"


def _key(rows: str, folder: Path) -> str:
    """Of the rows, and of how the program was called and by what path the study: commands for the reader have both."""
    return hashlib.blake2b(f"{rows} {folder} {called.command()}".encode(errors="surrogateescape")).hexdigest()
