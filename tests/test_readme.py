"""The README shows what was measured: its table and links are those of the committed study."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_readmes_tables_are_the_committed_studies() -> None:
    spec = importlib.util.spec_from_file_location("readme", ROOT / "scripts" / "readme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = (ROOT / "README.md").read_text()
    assert module.with_tables(text, ROOT / "results") == text
    assert "Adam, no decay" in text
    assert "| confirmed |" in text


def test_every_file_that_the_documents_link_to_is_there() -> None:
    for document in (ROOT / "README.md", *sorted((ROOT / "results").rglob("*.md")), *(ROOT / "scripts").rglob("*.md")):
        for target in re.findall(r"\]\((?!http|#)([^)#]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
