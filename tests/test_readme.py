"""The README shows what was measured: its table and links are those of the committed study."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]


def tables() -> ModuleType:
    """scripts/readme.py, which puts the tables into the pages."""
    spec = importlib.util.spec_from_file_location("readme", ROOT / "scripts" / "readme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_the_pages_are_the_committed_studies() -> None:
    made = tables()
    for page in made.PAGES:
        text = page.read_text(encoding="utf-8")
        assert made.with_tables(text, ROOT / "results") == text, page
    assert "Adam, no decay" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "| confirmed |" in (ROOT / "results" / "README.md").read_text(encoding="utf-8")


def test_the_first_page_is_one_that_a_reader_finishes() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 220
    assert "scripts/run +experiment=digits" in "\n".join(lines[:60])


PAGES = [path for place in ("runner", "optim", "results", "scripts", "tests") for path in (ROOT / place).rglob("*.md")]


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_every_file_and_heading_that_the_pages_link_to_is_there() -> None:
    for document in (ROOT / "README.md", *sorted(PAGES)):
        for target in re.findall(r"\]\((?!http)([^)]+)\)", document.read_text(encoding="utf-8")):
            name, _, heading = target.partition("#")
            path = document.parent / name if name else document
            assert path.exists(), f"{document.name} links to {target}"
            assert not heading or heading in anchors(path), f"{document.name} links to {target}"
