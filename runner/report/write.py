"""Writes a study's report: `write_report(folder)` is the call to know."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from runner.analysis.arms import Block, split
from runner.analysis.references import check
from runner.analysis.results import ArmResult, results
from runner.claims.claim import Claim
from runner.claims.judge import judge
from runner.errors import UserError
from runner.records import read
from runner.records.parts import alive
from runner.records.schema import PLACE, TEXTS
from runner.report import claims_table
from runner.report.extend import extension
from runner.report.fingerprint import fingerprint, keep, marked
from runner.report.plots.block import Plots
from runner.report.plots.block import plots as draw
from runner.report.progress import progress_note
from runner.report.table import Reported, generalization, markdown
from runner.report.terminal import terminal_table
from runner.system import called
from runner.system.files import replacing
from runner.system.locks import Lock

SAID = "\nThe paper's claims, judged on this study: {summary} (claims.md, claims.csv).\n"
PAGE = "\nThe same and more (settings, versions, the paper beside it) as one page for a browser: report.html\n"
NO_TRIALS = "no trials yet: nothing to report"
# Names that this module gives; only such files are removed when they are out of date.
_OURS = re.compile(r"(heatmap(_paper_units|_torch_units)?|error_vs_wd|curves|scatter|mechanism)(-[0-9a-f]{6})?\.png")
_DRAFT = re.compile(r"\..+\.([1-9]\d*)\.part")


@dataclass(frozen=True)
class Report:
    """What was written, the table for a terminal, and a sentence per plot that has nothing to show.

    A plot that could not be drawn is a line below the table.
    """

    folder: Path
    files: tuple[Path, ...]
    terminal: str
    skipped: tuple[str, ...] = ()


def write_report(folder: Path, reference: str = "") -> Report:
    """Write `generalization.csv`, `.md`, `claims.csv`, `.md`, `report.html` and `plots/*.png` from the CSV files alone.

    A study with several blocks gets one set of plots per block, named by the block's id. Each file is written
    under a temporary name and renamed, and one report at a time, so that the last is of all rows. `reference` names the
    arm that the others are compared with. Raises UserError where there is no study or no such arm, or its files cannot
    be read.
    """
    folder = Path(folder)
    with _alone(folder):
        return _written(folder, reference)


def _written(folder: Path, reference: str) -> Report:
    rows = fingerprint(folder, reference)  # before they are read: of what is appended meanwhile the report says nothing
    trials = _read(folder, "trials")
    _name_unplaced(folder, trials)
    blocks = split(trials)
    if not blocks:
        return Report(folder, (), f"{folder}: {NO_TRIALS}")
    check(blocks, reference)
    reported = [(block, results(block, reference)) for block in blocks]
    shown = {str(t) for _, found in reported for r in found if r.rows is not None for t in r.rows["trial"]}
    curves, cycles = (_read(folder, name, shown) for name in ("curves", "cycles"))
    dynamics = _read(folder, "dynamics")
    drawn = Plots()
    plots = drawn.made
    try:
        _remove_torn(folder)
        for block, found in reported:
            draw(folder / "plots", block, found, (curves, dynamics), len(blocks) > 1, drawn)
        _remove_stale(folder / "plots", {path.name for path, _ in plots})
        table = _write(folder / "generalization.csv", generalization(reported).to_csv(index=False, lineterminator="\n"))
        links = [(path.relative_to(folder).as_posix(), caption) for path, caption in plots]
        claims = judge(reported, curves, cycles, dynamics)
        said = SAID.format(summary=claims_table.summary(claims)) if claims else ""
        partial = f"{note}\n\n" if (note := progress_note(folder)) else ""
        text = _write(folder / "generalization.md", partial + markdown(reported, links) + said + PAGE)
        judged = _claims(folder, claims)
        pages = _pages(folder, reported, plots, rows)  # the last: it shows the other files
    except OSError as error:
        where = error.filename2 or error.filename or folder
        raise UserError(
            f"{where}: cannot write the report ({error.strerror or error}); free space or move it away, then run "
            f"{called.report(folder)}: no row is lost"
        ) from error
    terminal = _terminal(folder, reported)
    keep(folder, rows, terminal)
    terminal = _terminal(folder, reported, drawn.failed) if drawn.failed else terminal
    return Report(folder, (table, text, *judged, *pages, *(path for path, _ in plots)), terminal, tuple(drawn.skipped))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of the study's report, where there can be one."""
    if not folder.is_dir():  # which reading will say
        yield
        return
    try:
        (folder / ".state").mkdir(exist_ok=True)
        lock = Lock(folder / ".state" / "report.lock")
        lock.wait()
    except (OSError, UserError):  # a folder that may only be read; where nothing can be written, that is said later
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _name_unplaced(folder: Path, trials: pd.DataFrame) -> None:
    """Say which rows no table has a place for."""
    for name in PLACE:
        lacking = trials["trial"][trials[name].isna() | (trials[name] == "")]
        if len(lacking):
            more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            what = "a name" if name in TEXTS else "a number"
            read.note(
                f"{folder / 'trials.csv'}: {name} of trial {lacking.iloc[0]}{more} is empty, and must be {what}; "
                "left out of the report: mend that cell, or remove the line and the trial is trained again"
            )


def summary(folder: Path, reference: str = "", trials: pd.DataFrame | None = None) -> str:
    """The table for a terminal alone, as `write_report` has it; draws and writes nothing.

    `trials`: the study's rows, where they have been read.
    """
    blocks = split(_read(Path(folder), "trials") if trials is None else trials)
    found = [(block, results(block, reference)) for block in blocks]
    return _terminal(folder, found) if blocks else f"{folder}: {NO_TRIALS}"


def _terminal(folder: Path, reported: Reported, failed: Sequence[str] = ()) -> str:
    """The table, plots that failed, the commands that extend grids where a winner is on an edge, and the answer."""
    table, _, answer = terminal_table(reported).rpartition("\n\n")
    more = extension(folder, reported)
    return "\n\n".join(["\n".join([table, *failed]), *([more] if more else []), answer])


def _read(folder: Path, table: str, only: Collection[str] | None = None) -> pd.DataFrame:
    try:
        return read.read(folder, table, only)
    except (ValueError, OSError) as error:
        raise UserError(f"{folder / table}.csv: cannot be read ({str(error).splitlines()[0]})") from error


def _claims(folder: Path, claims: list[Claim]) -> list[Path]:
    """claims.csv and claims.md, where the study speaks to any of the paper's claims."""
    paths = [folder / "claims.csv", folder / "claims.md"]
    if not claims:
        for path in paths:
            path.unlink(missing_ok=True)
        return []
    texts = (claims_table.table(claims).to_csv(index=False, lineterminator="\n"), claims_table.markdown(claims))
    return [_write(path, text) for path, text in zip(paths, texts, strict=True)]


def _pages(
    folder: Path, reported: list[tuple[Block, list[ArmResult]]], plots: list[tuple[Path, str]], rows: str
) -> list[Path]:
    """overlay.csv, where the paper's Figure 2 has a map like ours, and report.html."""
    from runner.analysis.overlay import overlay_table
    from runner.report.page.page import page

    made, over = [], overlay_table([block for block, _ in reported])
    if over.empty:
        (folder / "overlay.csv").unlink(missing_ok=True)
    else:
        made.append(_write(folder / "overlay.csv", over.to_csv(index=False, lineterminator="\n")))
    return [*made, _write(folder / "report.html", marked(page(folder, reported, plots), rows))]


def _remove_stale(folder: Path, fresh: set[str]) -> None:
    """A plot of an earlier report that this one no longer makes would contradict the new table."""
    for path in folder.glob("*.png") if folder.is_dir() else ():
        if _OURS.fullmatch(path.name) and path.name not in fresh:
            path.unlink()


def _remove_torn(folder: Path) -> None:
    """Remove the drafts of a report that was killed while it wrote.

    None that is younger than ten seconds: it may be of a process on another machine.
    """
    for path in (*folder.glob(".*.part"), *folder.glob("plots/.*.part")):
        found = _DRAFT.fullmatch(path.name)
        with suppress(OSError):  # another report has removed it
            if found and not alive(int(found[1])) and time.time() - path.stat().st_mtime > 10:
                path.unlink()


def _write(path: Path, text: str) -> Path:
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")
    return path
