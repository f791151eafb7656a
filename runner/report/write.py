"""Writes a study's report: `write_report(folder)` is the call to know."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from runner.analysis.overlay import overlay_table
from runner.analysis.primary import results_of
from runner.analysis.rules import rules_table
from runner.analysis.shortest import budgets, shortest_table
from runner.analysis.study_results import BlockResults, StudyResults
from runner.claims.claim import Claim
from runner.claims.judge import judge
from runner.errors import UserError
from runner.records import read
from runner.records.parts import alive
from runner.records.schema import PLACE, TEXTS
from runner.report import claims_table, shortest, tuning
from runner.report.extend import extension
from runner.report.fingerprint import fingerprint, keep, marked
from runner.report.generalization import generalization, markdown
from runner.report.plots.block import Drawings, draw_all, remove_stale
from runner.report.plots.names import endings
from runner.report.plots.plot import PlotData
from runner.report.progress import progress_note
from runner.report.terminal import terminal_table
from runner.system import called
from runner.system.files import replacing
from runner.system.locks import Lock

SAID = "\nThe paper's claims, judged on this study: {summary} (claims.md, claims.csv).\n"
PAGE = "\nThe same and more (settings, versions, the paper beside it) as one page for a browser: report.html\n"
NO_TRIALS = "no trials yet: nothing to report"
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


def write_report(folder: Path, reference: str = "", claims: bool = False) -> Report:
    """Write `generalization.csv`, `.md`, `claims.csv`, `.md`, `report.html`, `plots/*.png` and more from the records.

    A study with several blocks gets one set of plots per block, named by what tells it from the others. Each file is
    written under a temporary name and renamed, and one report at a time, so that the last is of all rows. `reference`
    names the arm that the others are compared with; `claims` asks for the paper's claims on the page also where the
    data are not the paper's. Raises UserError where there is no study or no such arm, or its files cannot be read.
    """
    folder = Path(folder)
    with _alone(folder):
        return _written(folder, reference, claims)


def _written(folder: Path, reference: str, asked: bool) -> Report:
    # Taken before the rows are read: rows that are appended meanwhile may be missing in the report, and the fingerprint
    # must not claim them.
    rows = fingerprint(folder, reference, asked)
    trials = _read(folder, "trials")
    _name_unplaced(folder, trials)
    reported = results_of(folder, trials, reference)
    if not reported:
        return Report(folder, (), f"{folder}: {NO_TRIALS}")
    best = [arm.rows for one in reported for arm in one.arms if arm.rows is not None]
    shown = {str(trial) for runs in best for trial in runs["trial"]}
    curves, cycles = (_read(folder, name, shown) for name in ("curves", "cycles"))
    study = StudyResults(reported, curves, cycles, _read(folder, "dynamics"))
    drawings = Drawings()
    try:
        _remove_torn(folder)
        ending = endings([one.block for one in reported])
        for one in reported:
            data = PlotData(one, study.curves, study.dynamics)
            draw_all(folder / "plots", data, ending[one.block.id], drawings)
        remove_stale(folder / "plots", drawings)
        files = [_write_csv(folder / "generalization.csv", generalization(reported))]
        links = [(plot.path.relative_to(folder).as_posix(), plot.caption) for plot in drawings.made]
        claims = judge(study)
        said = SAID.format(summary=claims_table.summary(claims)) if claims else ""
        note = progress_note(folder)
        lengths = budgets(study)
        text = (f"{note}\n\n" if note else "") + markdown(reported, links) + shortest.markdown(lengths) + said + PAGE
        files += [_write(folder / "generalization.md", text), *_claims(folder, claims)]
        files += _where_any(folder / "overlay.csv", overlay_table([one.block for one in reported]))
        files += _where_any(folder / "tuning.csv", tuning.frame(reported))
        files += _where_any(folder / "rules.csv", rules_table([one.block for one in reported]))
        files += _where_any(folder / "shortest.csv", shortest_table(lengths))
        # Imported here, for a finished study's table wants no page. Written last, for it links the other files.
        from runner.report.page.page import page

        html = page(folder, reported, drawings.made, claims, note, asked, shortest.tables(lengths))
        files.append(_write(folder / "report.html", marked(html, rows)))
    except OSError as error:
        where = error.filename2 or error.filename or folder
        raise UserError(
            f"{where}: cannot write the report ({error.strerror or error}); free space or move it away, then run "
            f"{called.report(folder)}: no row is lost"
        ) from error
    terminal = _terminal(folder, reported)
    keep(folder, rows, terminal)
    terminal = _terminal(folder, reported, drawings.failed) if drawings.failed else terminal
    files += [plot.path for plot in drawings.made]
    return Report(folder, tuple(files), terminal, tuple(drawings.skipped))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of the study's report, unless the folder does not allow one."""
    if not folder.is_dir():  # The error comes when the rows are read.
        yield
        return
    try:
        (folder / ".state").mkdir(exist_ok=True)
        lock = Lock(folder / ".state" / "report.lock")
        lock.wait()
    except (OSError, UserError):  # A read-only folder: the error comes when the first file is written.
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _name_unplaced(folder: Path, trials: pd.DataFrame) -> None:
    """Name the rows that lack what says which arm and cell they belong to: no table shows them."""
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
    blocks = results_of(Path(folder), _read(Path(folder), "trials") if trials is None else trials, reference)
    return _terminal(folder, blocks) if blocks else f"{folder}: {NO_TRIALS}"


def _terminal(folder: Path, reported: Sequence[BlockResults], failed: Sequence[str] = ()) -> str:
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
    return [_write_csv(paths[0], claims_table.frame(claims)), _write(paths[1], claims_table.markdown(claims))]


def _where_any(path: Path, table: pd.DataFrame) -> list[Path]:
    """The file where the table has rows; an outdated one is removed where it has none."""
    if table.empty:
        path.unlink(missing_ok=True)
        return []
    return [_write_csv(path, table)]


def _remove_torn(folder: Path) -> None:
    """Remove the drafts of a report that was killed while it wrote.

    None that is younger than ten seconds: it may be of a process on another machine.
    """
    for path in (*folder.glob(".*.part"), *folder.glob("plots/.*.part")):
        draft = _DRAFT.fullmatch(path.name)
        with suppress(OSError):  # another report has removed it
            if draft and not alive(int(draft[1])) and time.time() - path.stat().st_mtime > 10:
                path.unlink()


def _write_csv(path: Path, table: pd.DataFrame) -> Path:
    return _write(path, table.to_csv(index=False, lineterminator="\n"))


def _write(path: Path, text: str) -> Path:
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")
    return path
