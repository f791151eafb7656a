"""report.html: the whole study as one file that opens anywhere, without network or scripts.

`page(folder, reported, plots)` gives its text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd

from runner.analysis.arms import Block
from runner.analysis.results import ArmResult
from runner.report.notes import notes
from runner.report.page.html import bullets, from_markdown, inline, picture, pipe_tables, table
from runner.report.page.study import beside_paper, made_by, provenance
from runner.report.page.style import STYLE
from runner.report.page.words import progress, summary, verdicts
from runner.report.plots import style
from runner.report.table import Reported, markdown

FILES = {
    "generalization.csv": "the tables above, with every interval",
    "claims.csv": "the paper's claims, each with its verdict",
    "overlay.csv": "the paper's best cells beside ours",
    "trials.csv": "one row per finished trial",
    "curves.csv": "one row per trial and evaluated epoch",
    "cycles.csv": "one row per trial and finished restart cycle",
    "study.yaml": "the commands and their settings",
    "generalization.md": "the tables and notes as Markdown",
    "claims.md": "the claims as Markdown",
}
CAPTIONS = ("Each arm's best cell", "Searches, losses, gaps")
BREAK = 20  # characters of a cell that stay on one line
# Nothing is loaded and nothing runs, whatever stands in the study's files.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(folder: Path, reported: Reported, plots: Sequence[tuple[Path, str]]) -> str:
    """The HTML of a study in `folder`; `plots` are (PNG file, caption), with `claims.md` if it was written before.

    All that comes from the study's files is escaped.
    """
    rows = pd.concat([block.rows for block, _ in reported])
    names = [name for name in dict.fromkeys(rows["study"].astype(str)) if name and name != "nan"]
    title = ", ".join(names[:3]) or folder.resolve().name
    several = len(reported) > 1
    left = progress(folder, set(rows["trial"].astype(str)))
    claims = _claims(folder)
    sections = [("claims", "The paper's claims", claims)] if claims else []
    sections += [
        (f"block-{block.id}", block.title, _block(folder, block, found, _mine(block, plots, several)))
        for block, found in reported
    ]
    sections += [
        ("paper", "Beside the paper", beside_paper([block for block, _ in reported])),
        ("made", "How it was made", made_by(folder) + provenance(rows)),
        ("files", "Files", _files(folder)),
    ]
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="lead">{inline(summary(reported))}</p>',
        f'<p class="partial" role="note">{escape(left)}</p>' if left else "",
        _verdicts(reported),
        _contents(sections),
        *(f'<section id="{name}"><h2>{escape(head)}</h2>\n{text}\n</section>' for name, head, text in sections),
        "<footer>Made by <code>python -m runner.report</code> from the CSV files beside this page. Errors are in "
        "percent and of the last epoch; losses in nats.</footer>",
    ]
    head = (
        f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}: report</title>\n<style>{STYLE}</style>"
    )
    text = "\n".join(part for part in body if part)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n'
        f"<body>\n<main>\n{text}\n</main>\n</body>\n</html>\n"
    )


def _verdicts(reported: Reported) -> str:
    """A list; under the label of each block where there are several."""
    if len(reported) == 1:
        return bullets(verdicts(*reported[0]), "verdicts")
    items = [f"<li>{escape(block.label)}{bullets(verdicts(block, found))}</li>" for block, found in reported]
    return f'<ul class="verdicts">{"".join(items)}</ul>'


def _mine(block: Block, plots: Sequence[tuple[Path, str]], several: bool) -> list[tuple[Path, str]]:
    return [(path, caption) for path, caption in plots if not several or path.stem.endswith(f"-{block.id}")]


def _contents(sections: Sequence[tuple[str, str, str]]) -> str:
    items = "".join(f'<li><a href="#{name}">{escape(head)}</a></li>' for name, head, _ in sections)
    return f'<nav aria-label="Contents"><ul>{items}</ul></nav>'


def _block(folder: Path, block: Block, found: Sequence[ArmResult], plots: Sequence[tuple[Path, str]]) -> str:
    """Tables, notes and plots of one block; the tables are those of generalization.md."""
    remark = f" ({block.measure.remark})" if block.measure.remark else ""
    parts = []
    for caption, (header, rows, right) in zip(CAPTIONS, pipe_tables(markdown([(block, found)])), strict=False):
        lines = [[_broken(cell) for cell in row] for row in rows]
        parts.append(table(caption + remark, header, lines, right))
    parts += ["<h3>Notes</h3>", bullets(notes(block, found))]
    parts += ["<h3>Plots</h3>"] if plots else []
    for path, caption in plots:
        alt = (
            f"{caption}: {block.title}; arms {'; '.join(block.arms)}. The numbers of the best cells are in the tables."
        )
        parts.append(picture(path, path.relative_to(folder).as_posix(), caption, alt, style.DPI))
    return "\n".join(parts)


def _broken(cell: str) -> str:
    """What a long cell has in brackets or after a semicolon stands below the rest: the verdict stays in sight."""
    return re.sub(r"(;)? (?=[\[(])|(;) ", r"\1\2\n", cell) if len(cell) > BREAK else cell


def _claims(folder: Path) -> str:
    try:
        return from_markdown((folder / "claims.md").read_text(encoding="utf-8"), caption="Claims")
    except (OSError, UnicodeDecodeError):
        return ""


def _files(folder: Path) -> str:
    """Links to what lies beside the page."""
    there = [(name, what) for name, what in FILES.items() if (folder / name).exists()]
    items = [f'<li><a href="{name}">{name}</a>: {what}</li>' for name, what in there]
    return f"<ul>{''.join(items)}</ul>"
