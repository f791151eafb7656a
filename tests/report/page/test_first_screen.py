"""What report.html says first and last: the answer, the verdicts beside the arms, and the paper's claims at the end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from html import escape, unescape
from pathlib import Path

import pytest

from runner.analysis.blocks import split
from runner.analysis.primary import results_of
from runner.analysis.results import results
from runner.analysis.study_results import BlockResults
from runner.claims.claim import Claim
from runner.records import read
from runner.report.__main__ import main
from runner.report.answer import answer
from runner.report.claims_table import markdown
from runner.report.fingerprint import fingerprint, is_current
from runner.report.generalization import tables
from runner.report.page.page import page
from runner.report.page.render import strong
from runner.report.page.words import verdicts
from runner.report.plots import style
from runner.report.table import Table
from runner.report.write import write_report
from tests.damage import check_went_on, command
from tests.report.page.test_page import Reader, drawn
from tests.report.studies import LRS, replicated, search, write

HIDDEN = "of the paper's claims were judged on these data, which are not the paper's, and stand in claims.md"


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "DPI", 40)


def one(folder: Path, seeds: Sequence[int] = (0, 1, 2, 3), **changes: object) -> Path:
    """A small study of replicates."""
    return write(folder, replicated(search(seeds=seeds, lrs=LRS[1:4], **changes)))


def text_of(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def first_screen(text: str) -> str:
    return text[: text.index("<nav")]


def claims_of(text: str) -> str:
    found = re.search(r'<section id="claims">(.*?)</section>', text, re.DOTALL)
    assert found
    return found[1]


def plain(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", html))


def test_verdict_and_error_stand_right_after_the_arms_name_in_every_table_of_best_cells(tmp_path: Path) -> None:
    write_report(one(tmp_path))
    (results_,) = results_of(tmp_path, read.read(tmp_path))
    best = tables(results_)[0]
    assert best.header[:2] == ["arm", "verdict"]
    assert best.header[2].startswith("test error (%)")
    wanted = [(arm.arm, arm.verdict or "–") for arm in results_.arms]
    assert [tuple(row[:2]) for row in best.rows] == wanted
    assert all(
        row[2].startswith(f"{arm.values['test_error'].mean:.2f} ")
        for row, arm in zip(best.rows, results_.arms, strict=True)
    )
    assert "\n| arm | verdict | test error (%)" in (tmp_path / "generalization.md").read_text(encoding="utf-8")
    table = text_of(tmp_path).split("<table>")[1]
    assert table.count('<td class="key">') == 2 * len(wanted)  # which the stylesheet keeps narrow
    assert table.index(">test error") < table.index(">best lr")


def test_the_first_screen_answers_in_words_and_with_a_plot(tmp_path: Path) -> None:
    write_report(one(tmp_path))
    blocks = results_of(tmp_path, read.read(tmp_path))
    first = first_screen(text_of(tmp_path))
    assert f'<p class="lead">{escape(answer(blocks), quote=False)}</p>'.replace("&#x27;", "'") in unescape(first)
    assert [str(link["href"]) for link in Reader(first + "</main></body></html>").of("a")] == ["plots/verdict.png"]
    assert all(line.replace("**", "") in plain(first) for line in verdicts(blocks[0]))
    assert text_of(tmp_path).count("plots/verdict.png") == 1


def test_with_several_blocks_it_has_a_plot_of_each(tmp_path: Path) -> None:
    for width in (8, 16):
        write(tmp_path, search(lrs=LRS[:2], seeds=(0, 1), settings={"model.width": width}))
    write_report(tmp_path)
    first = first_screen(text_of(tmp_path))
    assert re.findall(r'href="(plots/[^"]+)"', first) == ["plots/verdict_width8.png", "plots/verdict_width16.png"]
    assert "No verdict about optimizers in any of 2 settings" in first


def test_no_asterisks_are_left_on_the_page_whatever_breaks_a_line(tmp_path: Path) -> None:
    folder = one(tmp_path / "made-up")
    write_report(folder, claims=True)
    assert "<strong>" in text_of(folder)
    assert "**" not in text_of(folder)
    assert strong("**no verdict\n(one replicate)**: x") == "<strong>no verdict<br>(one replicate)</strong>: x"
    table = Table("About", ("arm", "says"), [("a", "**undecided (a best cell is on\nthe edge of its grid)**")])
    assert "**" not in str(table.html())


def test_claims_are_left_out_for_other_data_and_shown_where_they_are_asked_for(tmp_path: Path) -> None:
    folder = one(tmp_path / "made-up")
    assert main([str(folder)]) == 0
    text = text_of(folder)
    assert "<table>" not in claims_of(text)
    assert HIDDEN in plain(claims_of(text))
    assert "python -m runner.report STUDY --claims" in claims_of(text)
    written = {name: (folder / name).read_bytes() for name in ("claims.csv", "claims.md")}
    assert is_current(folder, fingerprint(folder))
    assert main([str(folder), "--claims"]) == 0
    text = text_of(folder)
    assert "<table>" in claims_of(text)
    assert HIDDEN not in plain(text)
    assert {name: (folder / name).read_bytes() for name in written} == written
    assert is_current(folder, fingerprint(folder, claims=True))
    assert not is_current(folder, fingerprint(folder))


@pytest.mark.parametrize("data", ["cifar10", "imagenet32"])
def test_on_the_papers_data_they_are_shown_unasked_and_last(tmp_path: Path, data: str) -> None:
    folder = one(tmp_path / "made-up", dataset=data)
    write_report(folder)
    text = text_of(folder)
    assert "<table>" in claims_of(text)
    assert HIDDEN not in plain(text)
    places = [text.index(mark) for mark in ("<figure>", 'id="paper"', 'id="claims"', 'id="made"')]
    assert places == sorted(places)
    assert "plots/" not in text[text.index('id="claims"') :]


def claim(of: BlockResults, name: str, says: str) -> Claim:
    return Claim(name, says, "a difference", None, (of,), "it was not measured")


def test_the_primary_claim_stays_with_its_verdict_on_the_first_screen(tmp_path: Path) -> None:
    (block,) = split(read.read(one(tmp_path / "made-up")))
    of = results(block)
    of = replace(of, protocol=replace(of.protocol, primary="best-cell"))
    claims = [claim(of, "best-cell", "AdamW wins"), claim(of, "basin-l2", "The basin is round")]
    plots = [replace(drawn(tmp_path / "plots" / "verdict.png", "Verdicts", block.id), first=True)]
    text = page(tmp_path, [of], plots, claims)
    said = "The claim that this study is for: AdamW wins. It is undecided (it was not measured)."
    assert said in plain(first_screen(text))
    assert "AdamW wins" in claims_of(text)
    assert "The basin is round" not in text
    assert f"1 more {HIDDEN}" in plain(text)
    assert "The basin is round" in page(tmp_path, [of], plots, claims, asked=True)


def test_a_primary_claim_of_several_settings_names_the_setting_of_each_verdict(tmp_path: Path) -> None:
    """It stood there twice with two verdicts, and no word on which network either was about."""
    for width in (8, 16):
        write(tmp_path, search(lrs=LRS[:2], seeds=(0, 1), settings={"model.width": width}))
    blocks = [results(block) for block in split(read.read(tmp_path))]
    blocks = [replace(of, protocol=replace(of.protocol, primary="best-cell")) for of in blocks]
    claims = [claim(of, "best-cell", "AdamW wins") for of in blocks]
    claims += [claim(of, "basin-l2", f"Basin {k}") for k, of in enumerate(blocks)]
    first = plain(first_screen(page(tmp_path, blocks, claims=claims)))
    assert first.count("The claim that this study is for: AdamW wins (width ") == 2
    assert all(f"AdamW wins (width {width}). It is undecided" in first for width in (8, 16))
    text = markdown(claims)
    assert all(f"AdamW wins (width {width}): a difference" in text for width in (8, 16))
    assert "Basin 1: a difference" in text  # a name that occurs once needs none


def test_a_primary_claim_of_which_nothing_can_be_judged_is_named_too(tmp_path: Path) -> None:
    (block,) = split(read.read(one(tmp_path / "made-up")))
    of = results(block)
    of = replace(of, protocol=replace(of.protocol, primary="best-cell-sgd"))
    said = "The claim that this study is for, best-cell-sgd, is not judged: no setting has what it is about."
    assert said in plain(first_screen(page(tmp_path, [of], claims=[claim(of, "best-cell", "AdamW wins")])))
    assert "is not judged" not in plain(page(tmp_path, [results(block)]))


def test_a_command_asks_for_them_by_a_key_and_its_report_is_then_the_one_that_is_kept(tmp_path: Path) -> None:
    words = "-m optimizer=adam,adamw lr=1e-3,1e-2 wd=0,0.1 epochs=1 workers=1 study=s".split()
    words += "model.width=4 dataset.train=20 dataset.test=1700".split()
    folder = tmp_path / "results" / "s"
    check_went_on(command(tmp_path, *words))
    assert "<table>" not in claims_of(text_of(folder))
    check_went_on(command(tmp_path, *words, "claims=true"))
    assert "<table>" in claims_of(text_of(folder))
