"""Claims about report.html: one file that loads nothing, says what was found, and escapes what it is given."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from runner.analysis.blocks import split
from runner.analysis.results import results
from runner.analysis.select import winners
from runner.claims.claim import Claim
from runner.records import read
from runner.report.page.page import page
from runner.report.page.render import strong
from runner.report.plots import style
from runner.report.plots.block import Drawn
from runner.report.progress import progress_note
from runner.report.table import Table
from runner.report.write import write_report
from tests.analysis.test_select import frame
from tests.report.studies import LRS, final, replicated, search, trial, write

EVIL = "<script>alert('x')</script>"
VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Collects tags with their attributes and checks that they are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "DPI", 40)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five replicates of a search and fresh runs of the winners, reported once."""
    folder = tmp_path_factory.mktemp("results") / "made-up"
    rows = search()
    for row in winners(frame(rows)).to_dict("records"):
        rows += final({str(key): value for key, value in row.items()}, range(100, 105))
    write(folder, replicated(rows))
    (folder / "study.yaml").write_text(
        "---\ncommand: python -m runner -m optimizer=adam,adamw\nversion: 0.1.0\nsettings:\n"
        "- {optimizer: {name: adam}, lr: [0.001, 0.01], epochs: 20}\n"
        "- {optimizer: {name: adamw}, lr: [0.01, 0.1], epochs: 20}\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "DPI", 40)
        write_report(folder)
    return folder


def drawn(path: Path, caption: str, block: str) -> Drawn:
    """A PNG file as far as the page reads it: 100 x 100 pixels."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(16) + (100).to_bytes(4, "big") * 2)
    return Drawn(path, caption, block)


def test_the_page_is_one_file_without_scripts_that_loads_nothing(study: Path) -> None:
    reader = Reader((study / "report.html").read_text(encoding="utf-8"))
    assert not [tag for tag, _ in reader.tags if tag in ("script", "link", "iframe", "object")]
    assert not [1 for _, attributes in reader.tags for name in attributes if name.startswith("on")]
    sources = [str(image["src"]) for image in reader.of("img")]
    assert len(sources) == len(list((study / "plots").glob("*.png")))
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    for link in reader.of("a"):
        target = str(link["href"])
        assert target.startswith("#") or (study / target).exists(), target


def test_it_can_be_read_without_seeing_it(study: Path) -> None:
    reader = Reader((study / "report.html").read_text(encoding="utf-8"))
    assert reader.of("html") == [{"lang": "en"}]
    assert len(reader.of("h1")) == 1
    assert len(reader.of("caption")) == len(reader.of("table")) >= 4
    assert all(cell.get("scope") in ("row", "col") for cell in reader.of("th"))
    assert all(len(str(image["alt"])) > 20 for image in reader.of("img"))
    targets = {attributes.get("id") for _, attributes in reader.tags}
    assert {str(link["href"])[1:] for link in reader.of("a") if str(link["href"]).startswith("#")} <= targets
    levels = [int(tag[1]) for tag, _ in reader.tags if re.fullmatch("h[1-6]", tag)]
    assert all(b <= a + 1 for a, b in pairwise(levels))


def test_it_says_what_was_compared_and_the_verdict_in_words(study: Path) -> None:
    text = (study / "report.html").read_text(encoding="utf-8")
    assert "This study compares Adam without decay, Adam + L2 and AdamW" in text
    assert "AdamW has a <strong>lower</strong> test error than Adam + L2" in text
    assert "python -m runner -m optimizer=adam,adamw" in text
    assert "adam: 0.001, 0.01<br>adamw: 0.01, 0.1" in text
    assert "Partial: " not in text
    assert ("The paper's claims</h2>" in text) == (study / "claims.md").exists()


def test_everything_from_the_files_is_escaped(tmp_path: Path) -> None:
    changes = {"study": EVIL, "device": EVIL, "version": EVIL, "model": EVIL}
    rows = search(lrs=LRS[:2], seeds=(0,), settings={f"model.{EVIL}": EVIL}, **changes)
    rows[0] |= {"status": "failed", "note": EVIL}
    rows += search(lrs=LRS[:2], seeds=(0,), settings={f"model.{EVIL}": "other"}, **changes)
    (tmp_path / "study.yaml").write_text(f'command: "{EVIL}"\nversion: "{EVIL}"\nsettings: [{{"{EVIL}": "{EVIL}"}}]\n')
    blocks = [results(block) for block in split(read.read(write(tmp_path, rows, curves=False)))]
    claims = [Claim("best-cell", EVIL, EVIL, None, tuple(blocks), EVIL, EVIL, EVIL, EVIL, EVIL)]
    text = page(
        tmp_path, blocks, [drawn(tmp_path / "plots" / f"{EVIL[8:13]}.png", EVIL, blocks[0].block.id)], claims, EVIL
    )
    assert "<script" not in text.lower()
    assert text.count("&lt;script&gt;") > 10
    assert not [tag for tag, _ in Reader(text).tags if tag == "script"]


def test_text_has_strong_words_and_never_becomes_a_link() -> None:
    assert strong("some **bold** <b>") == "some <strong>bold</strong> &lt;b&gt;"
    for target in ("claims.csv", "https://example.org", "javascript:alert(1)", "//example.org", "/etc/passwd"):
        assert "<a " not in strong(f"[x]({target})")


def test_blocks_get_sections_of_their_own_with_their_own_plots(tmp_path: Path) -> None:
    rows = [row for width in (8, 16) for row in search(lrs=LRS[:2], seeds=(0,), settings={"model.width": width})]
    blocks = [results(block) for block in split(read.read(write(tmp_path, rows, curves=False)))]
    ids = [results.block.id for results in blocks]
    plots = [drawn(tmp_path / "plots" / f"{name}-{id}.png", name, id) for id in ids for name in ("heatmap", "b")]
    text = page(tmp_path, blocks, plots)
    sections = re.findall(r'<section id="block-(\w+)">(.*?)</section>', text, re.DOTALL)
    assert len(sections) == 2
    for name, section in sections:
        assert set(re.findall(r'href="plots/\w+-(\w+)\.png"', section)) == {name}
    assert "in 2 settings" in text


def test_a_study_that_is_under_way_says_how_much_is_done(tmp_path: Path) -> None:
    rows = search(lrs=LRS[:1], seeds=(0,))
    plan = "stack,slot,trial\n" + "".join(f"a,{slot},{row['trial']}\n" for slot, row in enumerate(rows))
    write(tmp_path, rows[:3])
    (tmp_path / "plan.csv").write_text(plan + "b,0,")  # a torn last line names no trial
    write_report(tmp_path)
    note = progress_note(tmp_path)
    assert note.startswith(f"Partial: 3 of {len(rows)} planned trials have a row")
    assert f'<p class="partial" role="note">{note}</p>' in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "generalization.md").read_text(encoding="utf-8").startswith(note)
    write(tmp_path, rows[3:])
    assert progress_note(tmp_path) == progress_note(tmp_path / "nowhere") == ""


def test_rows_that_do_not_tell_their_size_get_no_scale(tmp_path: Path) -> None:
    rows = [trial("adamw", 1e-3, wd, 0) | {"train_size": None} for wd in (0.1, 0.2)]
    blocks = [results(block) for block in split(read.read(write(tmp_path, rows, curves=False)))]
    assert "this study" in page(tmp_path, blocks)


def test_odd_settings_files_do_not_stop_the_page(tmp_path: Path) -> None:
    blocks = [results(b) for b in split(read.read(write(tmp_path, [trial("adamw", 1e-3, 0.01, 0)])))]
    for content in (b"", b"\xff\xfe", b"a: [", b"- 1\n- 2\n", b"command: x\nsettings: 3\n", b"settings: [1, null]\n"):
        (tmp_path / "study.yaml").write_bytes(content)
        text = page(tmp_path, blocks)
        assert text.rstrip().endswith("</html>")
        Reader(text)


def test_a_table_is_the_same_in_markdown_and_in_html() -> None:
    table = Table("About <a>", ("arm", "value", "says"), [("x|y", "1", "**yes**: so\nand so")], words=(2,))
    assert table.markdown().splitlines()[:2] == ["| arm | value | says |", "| --- | ---: | --- |"]
    assert "| x/y | 1 | **yes**: so" in table.markdown()
    html = str(table.html())
    assert "<caption>About &lt;a&gt;</caption>" in html
    assert '<th scope="row">x|y</th><td class="number">1</td><td><strong>yes</strong>: so<br>and so</td>' in html
