"""A trial's id names the run: equal runs have equal ids however they were typed, different runs different ones."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from typing import Any

from hydra import compose, initialize_config_module

from runner.config.compose import from_config
from runner.config.settings import LookaheadSettings, Settings
from runner.records import identity
from runner.trials.trial import Facts, Trial, expand, unique
from tests.helpers import images, trial

FACTS = Facts.of(images())


def settings(*overrides: str) -> Settings:
    with initialize_config_module("configs", version_base="1.3"):
        return from_config(compose("config", list(overrides)))


def ids(*overrides: str) -> list[str]:
    return list(unique(expand(settings(*overrides), FACTS)))


def test_the_id_does_not_depend_on_how_a_number_is_typed() -> None:
    assert ids("lr=1e-3") == ids("lr=0.001") == ids("lr=[1.0e-3]") == ids()
    assert ids("wd=1") == ids("wd=1.0")


def test_what_changes_the_result_changes_the_id() -> None:
    plain = ids()
    for change in ("lr=2e-3", "wd=0.02", "seed=1", "epochs=3", "batch_size=8", "model.width=4", "precision=bf16"):
        assert ids(change) != plain, change
    for change in ("wd_convention=paper", "schedule=constant", "schedule.warmup_steps=3", "optimizer.beta2=0.99"):
        assert ids(change) != plain, change
    other = replace(FACTS, hash="another")
    assert list(unique(expand(settings(), other))) != plain


def test_what_does_not_change_the_result_does_not_change_the_id() -> None:
    for change in ("study=x", "device=cpu", "stack=4", "workers=2", "eval_every=5", "dataset.label=x", "results=y"):
        assert ids(change) == ids(), change


def test_the_three_ways_to_name_a_grid_end_in_the_same_trials() -> None:
    by_grid = ids("grid=small")
    wds = "wd=[0,4e-3,1.6e-2,6.4e-2,0.256,1.024,4.096,16.384]"
    assert by_grid == ids("lr=[1.25e-4,5e-4,2e-3,8e-3,3.2e-2,0.128,0.512]", wds)
    assert len(by_grid) == 56
    assert ids("grid=small", "lr=1e-3") == ids("lr=1e-3", wds)


def test_every_grid_has_equal_numbers_of_cells_for_all_its_optimizers() -> None:
    for grid, arms in {
        "small": ["adam", "adamw", "sgd", "sgdw"],
        "paper": ["adam", "adamw", "sgd", "sgdw"],
        "digits_resnet": ["adam", "adamw"],
        "digits_transformer": ["adam", "adamw"],
    }.items():
        found = [settings(f"grid={grid}", f"optimizer={o}", "wd_convention=paper") for o in arms]
        assert len({(len(s.lr), len(s.wd)) for s in found}) == 1


def test_the_papers_grid_is_its_11_x_11_cells() -> None:
    adam, sgd = (settings("grid=paper", f"optimizer={o}") for o in ("adam", "sgd"))
    assert list(adam.lr) == [0.1 / 2**k for k in range(11)]
    assert list(sgd.lr) == [1 / 2**k for k in range(11)]
    assert list(adam.wd) == [0.0] + [0.001 * 2.0**k for k in range(-5, 5)]


def test_seed_0_is_a_seed_and_no_decay_is_trained_once() -> None:
    both = [t for name in ("adam", "adamw") for t in expand(settings(f"optimizer={name}", "wd=[0,0.1]"), FACTS)]
    assert {t.seed for t in both} == {0}
    assert len(both) == 4
    assert len(unique(both)) == 3


def test_defaults_of_the_dataclasses_are_those_of_the_yaml() -> None:
    for name in ("adam", "adamw", "sgd", "sgdw"):
        told = [identity.differing(t.to_flat()) for t in expand(settings(f"optimizer={name}"), FACTS)]
        assert not [key for key in told[0] if key.startswith(("optimizer.", "schedule.", "model."))]


def test_minus_zero_is_zero() -> None:
    for minus, plain in (("wd=-0.0", "wd=0"), ("wd=[-0.0,0.1]", "wd=[0,0.1]"), ("wd=[-0.0,0.0]", "wd=0")):
        assert ids(minus) == ids(plain), minus
    for key in ("optimizer.beta1", "optimizer.beta2", "optimizer.eps", "schedule.eta_min", "schedule.warmup_epochs"):
        assert ids(f"{key}=-0.0") == ids(f"{key}=0"), key
    assert ids("optimizer=sgd", "optimizer.momentum=-0.0") == ids("optimizer=sgd", "optimizer.momentum=0")
    assert settings("wd_rule=batch", "wd_rule_constant=-0.0").wd_rule_constant == 0
    assert "-0.0" not in str(settings("wd=-0.0", "optimizer.eps=-0.0", "checkpoint_every=-0.0", "target_error=-0.0"))


def test_the_settings_of_a_row_are_json_and_flat() -> None:
    some = trial(images(), seed=3)
    told = json.loads(some.settings_json)
    assert told["seed"] == 3
    assert not any(isinstance(value, dict) for value in told.values())


def test_every_field_of_a_trial_is_part_of_its_settings() -> None:
    """A new setting that changes the result must not be forgotten in the id."""
    some = replace(trial(images()), loss_multiplier=2.0, wd_schedule="constant", lookahead=LookaheadSettings(5, 0.5))

    def leaves(value: Any, prefix: str) -> set[str]:
        if is_dataclass(value):
            return {x for f in fields(value) for x in leaves(getattr(value, f.name), f"{prefix}{f.name}.")}
        return {prefix.rstrip(".")}

    known = leaves(some, "")
    missing = {key.split(".")[0] for key in known} - {f.name for f in fields(Trial)}
    assert not missing
    told = {key.partition(".")[0] for key in some.to_flat()}
    # How a trial is computed, and which of its ids a study has, is no part of what it is: its id must not say it.
    assert {f.name for f in fields(Trial)} - told == {"facts", "way", "short"}
    assert some.computed("loose").id == some.id
    assert some.shortened().computed("loose").id == some.shortened().id


def test_decays_carry_all_three_equivalents_for_decoupled_rows_and_none_for_l2() -> None:
    some = trial(images(), lr=1e-2, wd=0.1)
    decays = some.decays()
    assert decays["wd_torch"] == 0.1
    assert decays["wd_paper"] == 0.1 * 1e-2
    updates = some.facts.train_size * some.epochs / some.batch_size
    assert abs(decays["wd_norm"] - 1e-3 * updates**0.5) < 1e-12
    assert set(trial(images(), name="adam").decays().values()) == {None}
