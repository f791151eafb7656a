"""Pieces of report.html: `table(...)`, `picture(...)` and `from_markdown(text)`; all escape what they are given."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

LONG = 34  # a cell of more characters may be broken into lines
WIDE = 24  # a head of more characters gets room for them
CSS_DPI = 96


def table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool] = ()) -> str:
    """A table in a box that scrolls by itself; the first cell of a row is its head. `right`: columns of numbers."""
    right = [*right, *[False] * (len(header) - len(right))]

    def cell(text: str, number: bool, head: bool) -> str:
        kind = "long" if max(map(len, text.split("\n"))) > LONG else "number" if number else ""
        mark = f' class="{kind}"' if kind else ""
        lines = "<br>".join(escape(line) for line in text.split("\n"))
        return f'<th scope="row"{mark}>{lines}</th>' if head else f"<td{mark}>{lines}</td>"

    def top(text: str, number: bool) -> str:
        kinds = " ".join(["number"] * number + ["wide"] * (len(text) > WIDE))
        mark = f' class="{kinds}"' if kinds else ""
        return f'<th scope="col"{mark}>{escape(text)}</th>'

    heads = "".join(top(text, number) for text, number in zip(header, right, strict=True))
    body = "\n".join(
        f"<tr>{''.join(cell(x, number, k == 0) for k, (x, number) in enumerate(zip(row, right, strict=True)))}</tr>"
        for row in rows
    )
    # Reachable with the keyboard: a box that scrolls sideways must be able to take the focus.
    return (
        f'<div class="box" tabindex="0" role="region" aria-label="{escape(caption)}"><table>\n'
        f"<caption>{escape(caption)}</caption>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def picture(path: Path, link: str, caption: str, alt: str, dpi: int) -> str:
    """The PNG itself inside the page, on white, at the size it was drawn for; a click opens the file beside it."""
    data = path.read_bytes()
    width, height = (size * CSS_DPI // dpi for size in png_size(data))
    image = (
        f'<img src="data:image/png;base64,{base64.b64encode(data).decode()}" width="{width}" height="{height}" '
        f'alt="{escape(alt)}">'
    )
    return f'<figure><a href="{quote(link)}">{image}</a><figcaption>{escape(caption)}</figcaption></figure>'


def png_size(data: bytes) -> tuple[int, int]:
    """(width, height) in pixels from the file's first chunk."""
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def bullets(lines: Sequence[str], kind: str = "") -> str:
    mark = f' class="{kind}"' if kind else ""
    return f"<ul{mark}>{''.join(f'<li>{inline(line)}</li>' for line in lines)}</ul>" if lines else ""


def inline(text: str) -> str:
    """Escaped text with **bold**, *italic*, `code` and [links](to files beside the page) of Markdown."""
    safe = escape(text)
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
    safe = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", safe)
    # Only relative paths become links: nothing in a CSV file may point elsewhere.
    return re.sub(r"\[([^\]]+)\]\((\w[\w-]*(?:[./]\w[\w-]*)*)\)", r'<a href="\2">\1</a>', safe)


def pipe_tables(text: str) -> Iterator[tuple[list[str], list[list[str]], list[bool]]]:
    """(header, rows, which columns are aligned to the right) of each table of a Markdown text."""
    for is_table, group in groupby(text.splitlines(), lambda line: line.startswith("|")):
        lines = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in group] if is_table else []
        if len(lines) >= 2:
            right = [mark.endswith(":") and not mark.startswith(":") for mark in lines[1]]
            yield lines[0], [row for row in lines[2:] if len(row) == len(lines[0])], right


def from_markdown(text: str, level: int = 3, caption: str = "") -> str:
    """Headings, paragraphs, lists and tables of the Markdown that the report writes; images are left out.

    level: the HTML level of '##'; '#' is left out, for the page has a heading of its own. A table's caption is the
    last heading above it, or `caption`.
    """
    parts: list[str] = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = [line for line in block.splitlines() if line.strip() and not line.startswith("![")]
        while lines and lines[0].startswith("#"):
            mark, _, title = lines.pop(0).partition(" ")
            if len(mark) > 1:
                depth, caption = min(6, level + len(mark) - 2), title
                parts.append(f"<h{depth}>{inline(title)}</h{depth}>")
        if not lines:
            continue
        if lines[0].startswith("|"):
            parts += [table(caption or "Table", *found) for found in pipe_tables("\n".join(lines))]
        elif lines[0].startswith("- "):
            items = re.split(r"(?:^|\n)- ", "\n".join(lines))[1:]
            parts.append(bullets([" ".join(item.split()) for item in items]))
        else:
            parts.append(f"<p>{inline(' '.join(lines))}</p>")
    return "\n".join(parts)
