"""Where study.yaml is lost or edited, the report says that the plan is not known and judges with caution."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from runner.analysis.primary import results_of
from runner.analysis.protocol import protocol_of
from runner.analysis.sequential import confidence_sequence
from runner.records.commands import entries, note_command, noted, without_effect
from runner.records.read import read
from runner.report.generalization import markdown
from runner.report.terminal import terminal_table
from tests.analysis.test_results import with_finals
from tests.config.test_experiments import composed
from tests.report.studies import replicated, write

FLAWS = {
    "": "study.yaml cannot be read",
    "\x00": "study.yaml cannot be read",
    "a: [": "study.yaml cannot be read",
    "started: 2024-13-45": "study.yaml cannot be read",
    "&a [*a]": "study.yaml cannot be read",
    "settings: [&a {replicates: 5, more: *a}]": "study.yaml cannot be read",
    "5": "an entry of study.yaml has no settings",
    "- settings": "an entry of study.yaml has no settings",
    "command: x": "an entry of study.yaml has no settings",
    "settings: 5": "an entry of study.yaml has no settings",
    "settings: []": "an entry of study.yaml has no settings",
    "settings: {replicates: 5}": "an entry of study.yaml has no settings",
    "settings: [{replicates: 5}, 7]": "an entry of study.yaml has no settings",
    "settings: [{replicates: x}]": "study.yaml has replicates=x",
    "settings: [{replicates: [5]}]": "study.yaml has replicates=[5]",
    "settings: [{replicates: -1}]": "study.yaml has replicates=-1",
    "settings: [{replicates: true}]": "study.yaml has replicates=True",
    "settings: [{replicates: null}]": "study.yaml has replicates=None",
    "settings: [{replicates: 5, alpha: 2}]": "study.yaml has alpha=2",
    "settings: [{replicates: 5, alpha: .nan}]": "study.yaml has alpha=nan",
    "settings: [{replicates: 5, prior_g: 0}]": "study.yaml has prior_g=0",
    "settings: [{replicates: 5, equal_within: wide}]": "study.yaml has equal_within=wide",
    "settings: [{replicates: 5, primary: 3}]": "study.yaml has primary=3",
    "settings: [{replicates: 5, final_seeds: 99999999999999}]": "study.yaml has final_seeds=99999999999999",
    "settings: [{replicates: 5}]\nearlier: rows": "its rows are older than the first command in study.yaml",
    "settings: [{replicates: 5}]\n---\nsettings: 5": "an entry of study.yaml has no settings",
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("five"), replicated(with_finals(-0.5, 0.1)), curves=False)


@pytest.mark.parametrize(("text", "flaw"), [*FLAWS.items(), (None, "there is no study.yaml")])
def test_what_cannot_be_read_of_a_plan_is_told_and_judged_as_if_somebody_had_looked(
    text: str | None, flaw: str, study: Path
) -> None:
    """It was judged by t intervals without a word, or ended in a traceback."""
    plan = study / "study.yaml"
    plan.write_text(text) if text is not None else plan.unlink(missing_ok=True)
    (found,) = results_of(study, read(study))
    assert found.protocol.unknown == (flaw,)
    (adamw,) = [arm for arm in found.arms if arm.arm == "AdamW"]
    assert adamw.difference is not None
    difference = adamw.difference.difference
    assert difference.half == pytest.approx(confidence_sequence(difference.std, difference.n, 1.0, 0.05))
    page, terminal = markdown([found]), " ".join(terminal_table([found]).split())
    assert f"What was laid down beforehand is not known ({flaw}). Assumed: alpha = 0.05, prior_g = 1" in page
    assert "Replicates may have been added while others could be seen, so differences are judged by e-values" in page
    assert f"the plan is not known ({flaw}): judged as if one had looked after every replicate" in terminal


def test_a_plan_that_is_whole_gets_no_such_remark(study: Path) -> None:
    (study / "study.yaml").write_text("settings: [{replicates: 5, alpha: 0.1}]\n---\nsettings: [{replicates: 5}]\n")
    (found,) = results_of(study, read(study))
    assert (found.protocol.unknown, found.protocol.looks, found.protocol.alpha) == ((), False, 0.1)
    assert "not known" not in markdown([found]) + terminal_table([found])


def test_one_replicate_gets_no_verdict_whatever_was_planned_and_the_page_says_what_is_assumed(tmp_path: Path) -> None:
    folder = write(tmp_path, with_finals(-0.5, 0.1), curves=False)
    (found,) = results_of(folder, read(folder))
    assert "is not known (there is no study.yaml). Assumed: alpha = 0.05" in markdown([found])
    assert {arm.verdict_word for arm in found.arms} == {"", "no verdict"}


def test_a_plan_that_is_lost_does_not_become_known_by_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else who wants another level or number of replicates would remove the file."""
    monkeypatch.setattr(sys, "argv", ["runner", "+experiment=digits"])
    settings = composed("digits")
    new, lost, torn = tmp_path / "new", tmp_path / "lost", tmp_path / "torn"
    for folder in (new, lost, torn):
        folder.mkdir()
        if folder != new:
            (folder / "trials.csv").write_text("")
    (torn / "study.yaml").write_text("a: [")
    for folder in (new, lost, torn):
        for _ in range(2):
            note_command(folder, settings, {"version": "1", "commit": "abc"}, nullcontext())
        assert len(entries(folder)) == 1
        assert bool(noted(folder).flaws) == (folder != new)
    assert "cannot be read; it is now" in capsys.readouterr().out
    assert list(yaml.safe_load((new / "study.yaml").read_text())) == [
        "command",
        "started",
        "settings",
        "version",
        "commit",
    ]
    assert without_effect(new, settings[0].run) == ""
    assert "so this holds: no primary" in without_effect(lost, settings[0].run)


def test_rows_of_which_no_command_is_known_are_judged_at_the_usual_level_whoever_asks_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["runner", "alpha=0.4"])
    write(tmp_path, replicated(with_finals(-0.5, 0.1)))
    (tmp_path / "study.yaml").unlink()
    settings = [replace(s, run=replace(s.run, alpha=0.4, primary="")) for s in composed("digits")]
    assert "so this holds: alpha=0.05" in without_effect(tmp_path, settings[0].run)
    note_command(tmp_path, settings, {"version": "1", "commit": "abc"}, nullcontext())
    assert protocol_of(tmp_path).alpha == 0.05
    assert "so this holds: alpha=0.05" in without_effect(tmp_path, settings[0].run)


def noted_twice(folder: Path) -> list[bytes]:
    """study.yaml after the first of two commands, and after both."""
    found = []
    for name in ("one", "two"):
        settings = [replace(s, study=name) for s in composed("digits")]
        note_command(folder, settings, {"version": "1", "commit": "abc"}, nullcontext())
        found.append((folder / "study.yaml").read_bytes())
    return found


def test_a_file_that_was_cut_within_an_entry_is_told_wherever_the_cut_is(tmp_path: Path) -> None:
    one, two = noted_twice(tmp_path)
    ends = (one.index(b"commit:"), len(one), two.rindex(b"commit:"), len(two))
    for size in range(1, len(two), 13):
        (tmp_path / "study.yaml").write_bytes(two[:size])
        if not (ends[0] < size <= ends[1] or ends[2] < size):  # what follows is no more than the last value
            assert noted(tmp_path).flaws, size


@pytest.mark.parametrize("cut", range(200, 320, 6))
def test_a_command_after_a_cut_neither_joins_two_entries_nor_makes_the_flaw_unseen(tmp_path: Path, cut: int) -> None:
    one, _ = noted_twice(tmp_path)
    write(tmp_path, replicated(with_finals(-0.5, 0.1)))
    (tmp_path / "study.yaml").write_bytes(one[:cut])
    settings = composed("digits")
    note_command(tmp_path, settings, {"version": "1", "commit": "abc"}, nullcontext())
    assert entries(tmp_path)[-1]["settings"][0]["replicates"] == settings[0].run.replicates
    assert noted(tmp_path).flaws
