"""What the pages say in prose is what their studies say: no sentence claims more than the rows behind it.

A paragraph of findings ends with a comment that names what carries it, entries separated by semicolons:

    <!-- carried by: digits-cpu 25 "transformer" confirmed; results/protocol-cpu/README.md -->

The first form names rows of a study's claims.csv by claim and a pattern of "NAME | SCOPE"; or with `table` in place of
the claim, rows of generalization.csv by a pattern of "MODEL | ARM | BLOCK"; or rows of folklore.csv by number. All rows
that match must have the verdict, and where the study was trained again with other splits and seeds (again.csv, for its
headline repeats.csv) they must have come to it there too. The second names a file. Every number of the paragraph stands
in what its mark names. A paragraph that is no item of a list and has no number needs no mark.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
# Where findings stand: a page and the headings between which every paragraph and item needs its mark.
FINDINGS = (
    (ROOT / "README.md", "# Does AdamW generalize better than Adam?", "## Start"),
    (ROOT / "README.md", "## How fast, how sure", "## Where things are"),
    (RESULTS / "README.md", "## How to decay weights, from these runs", "## claims.csv: the paper's claims"),
)
MARK = re.compile(r"<!-- carried by: (.*?) -->", re.DOTALL)
MADE = re.compile(r"<!-- [\w ,-]+ -->\n.*?<!-- end -->", re.DOTALL)  # by scripts/readme.py, whose test is another
YEAR = re.compile(r"\b(19|20)\d\d\b")
NUMBER = re.compile(r"(?<![\w.])[-+−]?\d[\d,]*(?:\.\d+)?(?![\w])")


@dataclass(frozen=True)
class Paragraph:
    """A paragraph or an item of a list, with the entries of its mark."""

    text: str
    carriers: tuple[str, ...]

    @property
    def numbers(self) -> list[str]:
        """As printed; not those in code and in the targets of links."""
        plain = re.sub(r"`[^`]*`|\]\([^)]*\)|<!--.*?-->", "", self.text, flags=re.DOTALL)
        return NUMBER.findall(YEAR.sub("", plain))


def paragraphs(text: str) -> list[Paragraph]:
    """Those of a part of a page that say something: no headings, tables, pictures or code."""
    text = re.sub(r"```.*?```|<details>.*?</details>", "", MADE.sub("", text), flags=re.DOTALL)
    found = []
    for block in re.split(r"\n\s*\n|\n(?=\* )", text):
        block = re.sub(r"^\s*!\[.*$", "", block, flags=re.MULTILINE).strip()
        if not block or block.startswith(("#", "|")):
            continue
        entries = [entry.strip() for mark in MARK.findall(block) for entry in mark.split(";")]
        found.append(Paragraph(block, tuple(entries)))
    return found


def between(page: Path, first: str, last: str) -> list[Paragraph]:
    text = page.read_text(encoding="utf-8")
    return paragraphs(text[text.index(first) + len(first) : text.index(last)])


def rows_of(entry: str) -> tuple[pd.DataFrame, str]:
    """The rows that an entry names, and the verdict that it says they have."""
    study, which, *rest = shlex.split(entry)
    if study == "folklore":
        rows = pd.read_csv(RESULTS / study / "folklore.csv", dtype={"number": str})
        return rows[rows["number"] == which], " ".join(rest)
    if which == "table":
        rows = pd.read_csv(RESULTS / study / "generalization.csv")
        names = [f"{one.model} | {one.arm} | {one.block_label}" for one in rows.itertuples()]
    else:
        rows = pd.read_csv(RESULTS / study / "claims.csv", dtype={"claim": str})
        rows = rows[rows["claim"] == which]
        names = [f"{one.name} | {one.scope}" for one in rows.itertuples(index=False)]
    return rows[[re.search(rest[0], name) is not None for name in names]], " ".join(rest[1:])


def numbers_of(entry: str) -> list[float]:
    """All numbers in what an entry names."""
    if re.fullmatch(r"[\w./-]+\.(md|csv|txt|yaml|py)", entry):
        text = (ROOT / entry).read_text(encoding="utf-8")
        if not entry.endswith(".csv"):
            text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
        return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]
    rows, _ = rows_of(entry)
    cells = [str(cell) for cell in rows.to_numpy().ravel()]
    found = re.findall(r"\d+(?:\.\d+)?(?:e[-+]?\d+)?", " ".join(cells))
    return [float(number) for number in found]


def stands_in(printed: str, numbers: list[float]) -> bool:
    """Whether a printed number is one of these, rounded to the decimals that are printed, whatever its sign."""
    text = printed.lstrip("+-−").replace(",", "")
    decimals = len(text.partition(".")[2])
    # Half a unit in the last place, for a table may round a number before a sentence does.
    return any(abs(abs(number) - float(text)) <= 0.5000001 * 10**-decimals for number in numbers)


def again(entry: str) -> set[str]:
    """The verdicts on what an entry names, of the study's second run; empty where it was not run again."""
    study, which, *rest = shlex.split(entry)
    if study == "folklore":
        second = pd.read_csv(RESULTS / study / "again.csv", dtype={"number": str})
        return set(second["verdict"][second["number"] == which])
    path = RESULTS / study / ("repeats.csv" if which == "table" else "again.csv")
    if not path.exists():
        return set()
    rows = pd.read_csv(path, dtype={"claim": str})
    rows = rows[rows["run"] == 2]
    if which == "table":
        names = [f"{row['block'].split()[0]} | {row['arm']} |" for row in rows.to_dict("records")]
    else:
        rows = rows[rows["claim"] == which]
        names = [f"{row['name']} | {row['scope']}" for row in rows.to_dict("records")]
    return {verdict for verdict, name in zip(rows["verdict"], names, strict=True) if re.search(rest[0], name)}


EVERY = [paragraph for place in FINDINGS for paragraph in between(*place)]


@pytest.mark.parametrize("paragraph", EVERY, ids=lambda paragraph: paragraph.text[:40])
def test_what_a_page_says_is_what_its_studies_say(paragraph: Paragraph) -> None:
    is_finding = paragraph.text.startswith("* ") or paragraph.numbers
    assert paragraph.carriers or not is_finding, f"name what carries this: {paragraph.text}"
    for entry in paragraph.carriers:
        if " " in entry:
            rows, verdict = rows_of(entry)
            assert len(rows), f"{entry}: no such row"
            assert {str(one).split(" (")[0] for one in rows["verdict"]} == {verdict}, entry
            assert verdict == "undecided" or again(entry) <= {verdict}, f"{entry}: not with other splits and seeds"
    pool = [number for entry in paragraph.carriers for number in numbers_of(entry)]
    for printed in paragraph.numbers:
        assert stands_in(printed, pool), f"{printed} stands in nothing of {paragraph.carriers}: {paragraph.text}"


def test_a_finding_has_at_most_three_numbers() -> None:
    for paragraph in between(*FINDINGS[-1]):
        for sentence in re.split(r"(?<=[.:])\s", paragraph.text):
            assert len(Paragraph(sentence, ()).numbers) <= 3, sentence


def test_the_check_of_prose_notices_a_wrong_verdict_a_wrong_number_and_a_missing_mark() -> None:
    text = "Fine, 4.27 points. <!-- carried by: a-study 1 'x' lower; b/README.md -->\n\n* No mark.\n\n| a |\n"
    one, other = paragraphs(text)
    assert one.carriers == ("a-study 1 'x' lower", "b/README.md")
    assert (one.numbers, other.carriers) == (["4.27"], ())
    assert stands_in("4.27", [1.0, -4.2684])
    assert not stands_in("4.28", [1.0, -4.2684])
    assert stands_in("-1,797", [1797.0])
