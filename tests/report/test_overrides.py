"""Recorded settings come back through the command line as the same trial, whatever was typed for them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_module

from runner.config.compose import from_config
from runner.config.settings import Settings
from runner.report.overrides import noted_settings, overrides, typed
from runner.trials.trial import Facts, Trial, expand
from tests.helpers import images

FACTS = Facts.of(images())
SPOKEN = [
    "",
    "optimizer=adam wd=0.1 optimizer.beta2=0.98 optimizer.eps=1e-6 optimizer.decay_params=weights",
    "optimizer=sgdw wd_convention=normalized optimizer.momentum=0 model=shakeshake_96 model.shake=false",
    "optimizer=sgd wd=1e-3 model.norm=none precision=bf16 batch_size=7 epochs=3",
    "wd_convention=paper wd_schedule=beta2_ramp lookahead.k=5 lookahead.alpha=0.8 loss_multiplier=10",
    "schedule=step schedule.drops=[0.25,0.5] schedule.factor=0.3 schedule.warmup_epochs=0.5",
    "schedule=restarts_100 epochs=100 schedule.eta_min=0.001",
    "schedule=onecycle schedule.warmup_steps=3 dataset.train=100 dataset.flip=true dataset.pad=2",
    "dataset=modular dataset.p=59 dataset.operation=mul model=transformer model.dim=64",
    "dataset=folder dataset.flip=false dataset.pad=0 dataset.path=x dataset.size=16",
    "dataset=folder dataset.path=x",
    "dataset=text dataset.path=x dataset.context=128 model=transformer",
    "optimizer=sparse_adamw wd=0.3 dataset=modular model=transformer",
    "optimizer=lomo lr=0.1",
]


def composed(*words: str) -> Settings:
    with initialize_config_module("configs", version_base="1.3"):
        return from_config(compose("config", list(words)))


def trial(settings: Settings) -> Trial:
    (one,) = expand(settings, FACTS)
    return one


def noted(settings: Settings) -> dict[str, object]:
    """As study.yaml has it, by way of YAML."""
    values = asdict(settings)
    plain = json.loads(json.dumps(values | values.pop("run")))
    found = yaml.safe_load(yaml.safe_dump(plain))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("spoken", SPOKEN)
def test_settings_come_back_as_the_same_trial(spoken: str) -> None:
    settings = composed(*spoken.split())
    one = trial(settings)
    words = overrides(json.loads(one.settings_json), noted(settings))
    again = trial(composed(*words, f"lr={one.lr!r}", f"wd={one.wd!r}", f"seed={one.seed}"))
    assert (again.id, again.dataset) == (one.id, one.dataset)


def test_only_what_differs_from_the_defaults_is_named() -> None:
    settings = composed("final_seeds=5", "eval_every=2", "resume=false", "workers=2", "model.width=4")
    assert overrides(json.loads(trial(settings).settings_json), noted(settings)) == [
        *("optimizer=adamw", "model.width=4", "eval_every=2", "final_seeds=5")  # resume would set the rows aside
    ]


@pytest.mark.parametrize(
    "text",
    [
        "${x}",
        r"a\\${b}",
        "my data/cifar,10=x.npz",
        "it's",
        r"back\slash",
        "ends\\",
        "1.10",
        "1e3",
        "null",
        "true",
        "[a]",
        "(b)",
        "",
    ],
)
def test_any_text_is_read_back_as_it_was(text: str) -> None:
    assert composed("dataset=npz", f"dataset.path={typed(text)}").dataset.path == text  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", [1e-3, 0.1 + 0.2, 1 / 3, 9.765625e-05, 1e-8, 3.0, 2.0**-40])
def test_any_number_is_read_back_to_the_bit(value: float) -> None:
    assert composed(f"lr={typed(value)}").lr == (value,)


def test_the_command_that_asked_for_most_is_the_studys(tmp_path: Path) -> None:
    grid, stray, other = (
        noted(composed(*words))
        for words in (
            ["grid=small", "seed=[0,1]", "final_seeds=3"],
            ["seed=3", "final_seeds=0"],
            ["grid=small", "seed=[0,1,2]", "final_seeds=9", "epochs=7"],
        )
    )
    entries = [{"command": "a", "settings": [grid]}, {"command": "b", "settings": [stray, other]}]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump_all(entries))
    flat = json.loads(trial(composed("lr=1e-3", "wd=0.1")).settings_json)
    assert noted_settings(tmp_path, flat)["final_seeds"] == 3


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "{}", "settings: 3", "date: 2024-13-45"])
def test_a_damaged_study_yaml_is_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "study.yaml").write_text(text)
    assert noted_settings(tmp_path, {"model": "resnet"}) == {}
    assert noted_settings(tmp_path / "nowhere", {"model": "resnet"}) == {}
