"""Ids survive: those of committed rows come out unchanged, whatever a default is and whatever a row lists."""

from __future__ import annotations

import csv
import json
from dataclasses import fields
from io import TextIOWrapper
from pathlib import Path

import pytest

from runner.config.settings import GROUPS as KINDS
from runner.models.settings import ResNetSettings
from runner.records import baseline, identity
from runner.records.packed import opened
from runner.rerun import rebuilt
from runner.trials.trial import Facts, Trial, unique
from tests.helpers import images, trial

ROOT = Path(__file__).resolve().parents[2]
STUDIES = sorted(path.with_name("trials.csv") for path in (ROOT / "results").rglob("study.yaml"))


def rows(path: Path) -> list[dict[str, str]]:
    with opened(path) as file:  # which may be packed
        return list(csv.DictReader(TextIOWrapper(file, encoding="utf-8", newline="")))


@pytest.mark.skipif(not STUDIES, reason="needs the committed studies")
@pytest.mark.parametrize("path", STUDIES, ids=lambda path: "-".join(path.relative_to(ROOT / "results").parts[:-1]))
def test_the_id_of_every_committed_row_comes_out_unchanged(path: Path) -> None:
    for row in rows(path):
        flat = json.loads(row["settings"])
        for listed in (flat, identity.whole(flat)):
            assert identity.id_of(listed).startswith(row["trial"])
            assert identity.names(row["trial"], identity.text(listed))
        assert not identity.names(row["trial"], identity.text(flat | {"seed": flat["seed"] + 1}))


@pytest.mark.skipif(not STUDIES, reason="needs the committed studies")
def test_committed_rows_of_embedded_data_are_rebuilt_under_their_ids() -> None:
    seen = set()
    for path in STUDIES:
        for row in rows(path):
            flat = json.loads(row["settings"])
            kind = tuple(flat[group] for group in KINDS)
            if flat["dataset"] in ("digits", "modular") and kind not in seen:
                seen.add(kind)
                made, _ = rebuilt(flat, path.parent, {})
                assert made.id.startswith(row["trial"])
    assert seen


def test_every_setting_has_a_baseline() -> None:
    for group, kinds in KINDS.items():
        for name, kind in kinds.items():
            if name == "module":  # a kind that was added later: its ids name all its values
                assert baseline.of(group, name) == {}
                continue
            told = {f.name for f in fields(kind) if f.metadata.get("result", True)} - {"name"}
            if group == "optimizer":
                told -= {"lr", "wd"}  # what is used where a trial names none
            assert set(baseline.of(group, name)) == {f"{group}.{key}" for key in told}, (group, name)
    always = {"model", "dataset", "optimizer", "schedule", "wd_convention", "lr", "wd", "seed", "epochs", "batch_size"}
    some = trial(images())
    top = {key for key in some.to_flat() if "." not in key or key.startswith("lookahead.")}
    assert top - always - {"precision"} == set(baseline.TOP)
    # These are hashed in the ids of all rows on record: they never change, whatever a default is.
    known = {
        "loss_multiplier": 1.0,
        "clip_norm": None,
        "label_smoothing": 0.0,
        "wd_schedule": "follow_lr",
        "lookahead.k": 0,
        "lookahead.alpha": 0.5,
        "replicate": 0,
    }
    assert known == baseline.TOP


def test_settings_list_all_values_and_the_id_hashes_those_that_differ() -> None:
    some = trial(images())
    told = json.loads(some.settings_json)
    assert {"model.width", "optimizer.beta2", "schedule.warmup_steps", "loss_multiplier", "lookahead.k"} <= told.keys()
    assert identity.id_of(told) == identity.id_of(identity.differing(told)) == some.id
    assert "optimizer.beta2" not in identity.differing(told)


def test_a_default_that_changes_makes_another_id_and_keeps_the_old_one_for_the_old_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def with_width(model: ResNetSettings) -> Trial:
        some = trial(images())
        return Trial(**{f.name: getattr(some, f.name) for f in fields(some) if f.init} | {"model": model})

    before = with_width(ResNetSettings("resnet"))
    monkeypatch.setattr(ResNetSettings.__init__, "__defaults__", (8, 4, "batch"))
    after = with_width(ResNetSettings("resnet"))
    assert after.model.width == 4  # type: ignore[attr-defined]
    assert after.id != before.id
    assert with_width(ResNetSettings("resnet", width=8)).id == before.id


def test_a_row_that_lists_less_is_rebuilt_with_what_was_the_default_then(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    flat = json.loads(trial_on_digits().settings_json) | {"model.width": 8}
    monkeypatch.setattr(ResNetSettings.__init__, "__defaults__", (8, 4, "batch"))
    made, _ = rebuilt(identity.differing(flat), tmp_path, {})
    assert made.model.width == 8  # type: ignore[attr-defined]
    assert made.id == identity.id_of(flat)


def trial_on_digits() -> Trial:
    from runner.data.load import load
    from runner.data.settings import DigitsSettings

    return trial(load(DigitsSettings("digits")))


def test_seeds_whose_short_ids_collide_are_two_trials() -> None:
    """0.45 % of studies of 100,000 trials had such a pair: ids of 40 bits."""
    found: dict[str, int] = {}
    flat = json.loads(trial(images()).settings_json)
    clash = None
    for seed in range(2_000):  # ids of 16 bits collide soon
        short = identity.id_of(flat | {"seed": seed})[:4]
        if short in found:
            clash = (found[short], seed)
            break
        found[short] = seed
    assert clash is not None
    two = [trial(images(), seed=seed) for seed in clash]
    assert len(unique(two)) == 2


def test_two_trials_of_one_id_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from runner.errors import UserError

    monkeypatch.setattr(identity, "LENGTH", 1)
    with pytest.raises(UserError, match="two trials have the id"):
        unique(trial(images(), seed=seed) for seed in range(17))
    assert Facts  # what a trial is made of


def test_an_edited_id_is_not_that_of_its_settings() -> None:
    some = trial(images())
    assert identity.names(some.id, some.settings_json)
    assert identity.names(some.shortened().id, some.settings_json)
    for wrong in ("", "ghost", some.id[:-1], some.id[:12], some.id + "0", "0" * 16, some.id.upper()):
        assert not identity.names(wrong, some.settings_json), wrong
    for unreadable in ("", "{", "[]", "null", "[" * 10_000):
        assert identity.names("whatever", unreadable)
