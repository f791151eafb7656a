"""report.html: the whole study as one file that opens anywhere, without network or scripts.

`page(folder, blocks, plots, claims)` gives its text, by the template report.html.j2.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from runner.analysis.blocks import Block
from runner.analysis.study_results import BlockResults
from runner.claims.claim import Claim
from runner.records.packed import packed
from runner.report import claims_table, shortest
from runner.report.answer import answers
from runner.report.generalization import remarks, tables
from runner.report.page.render import render
from runner.report.page.study import commands, overlaid, provenance, scaled
from runner.report.page.words import primary_claims, summary, verdicts
from runner.report.plots import style
from runner.report.plots.block import Drawn
from runner.report.table import Table

FILES = {
    "generalization.csv": "the tables above, with every interval",
    "claims.csv": "the paper's claims, each with its verdict",
    "tuning.csv": "what each tuning budget buys, from one cell to all",
    "overlay.csv": "the paper's best cells beside ours",
    "shortest.csv": "the shortest budget that reaches an error",
    "rules.csv": "rules of thumb for the decay, read off the maps",
    "trials.csv": "one row per finished trial",
    "curves.csv": "one row per trial and evaluated epoch",
    "cycles.csv": "one row per trial and finished restart cycle",
    "study.yaml": "the commands and their settings",
    "generalization.md": "the tables and notes as Markdown",
    "claims.md": "the claims as Markdown",
}
BREAK = 20  # characters of a cell that stay on one line
CSS_DPI = 96


@dataclass(frozen=True)
class _Section:
    """What the page shows of a block; the tables are those of generalization.md."""

    block: Block
    verdicts: Sequence[str]
    tables: Sequence[Table]
    notes: Sequence[str]
    plots: Sequence[_Image]


@dataclass(frozen=True)
class _Image:
    """A PNG file for the page, `data` in base64, with its size on a screen."""

    link: str
    caption: str
    data: str
    width: int
    height: int


def page(
    folder: Path,
    blocks: Sequence[BlockResults],
    plots: Sequence[Drawn] = (),
    claims: Sequence[Claim] = (),
    note: str = "",
    asked: bool = False,
    lengths: Sequence[Table] = (),
) -> str:
    """The HTML of a study; all that comes from its files is escaped.

    Args:
        folder: the study's; the page links the files that it has.
        blocks: the study's blocks with their results.
        plots: what was drawn, in `folder`.
        claims: with their verdicts.
        note: what is unfinished.
        asked: whether the claims were asked for, also on data that are not the paper's.
        lengths: tables of the shortest budgets, where there are runs of several lengths.
    """
    shown = claims_table.shown(claims, asked)
    rows = pd.concat([results.block.rows for results in blocks])
    names = [name for name in dict.fromkeys(rows["study"].astype(str)) if name and name != "nan"]
    return render(
        "report.html.j2",
        title=", ".join(names[:3]) or folder.resolve().name,
        answer="\n".join(answers(blocks)),
        first=[_image(folder, plot) for plot in plots if plot.first],
        primary=primary_claims(claims, blocks),
        summary=summary(blocks),
        note=note,
        claims=claims_table.tables(shown),
        claims_summary=claims_table.summary(shown).capitalize(),
        hidden=len(claims) - len(shown),
        rules=claims_table.RULES,
        sections=[_section(folder, results, plots) for results in blocks],
        lengths=lengths,
        shortest_title=shortest.TITLE,
        shortest_note=shortest.NOTE,
        scaled=scaled(blocks),
        overlaid=overlaid(blocks),
        commands=commands(folder),
        provenance=provenance(rows),
        files=[(path.name, what) for name, what in FILES.items() if (path := _file(folder / name)).exists()],
    )


def _file(path: Path) -> Path:
    """A file of the study, packed where it is so."""
    return path if path.exists() else packed(path)


def _section(folder: Path, results: BlockResults, plots: Sequence[Drawn]) -> _Section:
    images = [_image(folder, plot) for plot in plots if plot.block == results.block.id and not plot.first]
    return _Section(results.block, verdicts(results), list(map(_broken, tables(results))), remarks(results), images)


def _broken(table: Table) -> Table:
    """An interval goes below the rest of its cell, as what a long one has in round brackets or after a semicolon, so
    that columns are narrow."""
    pattern = re.compile(r"(;)? (?=[\[(])|(;) ")

    def broken(cell: str) -> str:
        return pattern.sub(r"\1\2\n", cell) if len(cell) > BREAK else cell.replace(" [", "\n[")

    return replace(table, rows=[[broken(cell) for cell in row] for row in table.rows])


def _image(folder: Path, plot: Drawn) -> _Image:
    data = plot.path.read_bytes()
    width, height = (size * CSS_DPI // style.DPI for size in struct.unpack(">II", data[16:24]))  # the first chunk's
    return _Image(
        plot.path.relative_to(folder).as_posix(), plot.caption, base64.b64encode(data).decode(), width, height
    )
