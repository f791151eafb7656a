"""Claims about replicates: what differs between two, what stays as it was before there were any."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from runner.config.flat import SHARED
from runner.config.settings import SEEDS_APART, Settings
from runner.data.load import load
from runner.data.settings import DigitsSettings
from runner.errors import UserError
from runner.records import identity
from runner.trials.described import described
from runner.trials.replicates import data_of, of_replicate
from runner.trials.trial import Trial, unique
from tests import helpers

DATA = DigitsSettings("digits", cache="false")


def settings(**changes: Any) -> Settings:
    plain = helpers.trial(helpers.images())
    shared = {name: getattr(plain, name) for name in SHARED} | {"dataset": DATA}
    return Settings(**shared, **{"lr": (0.01,), "wd": (0.0, 0.1), "seed": (0, 3), **changes})


@pytest.fixture(scope="module")
def trials() -> list[list[Trial]]:
    datasets = {data: load(data) for data in (data_of(DATA, number) for number in range(3))}
    return [of_replicate(settings(), number, datasets) for number in range(3)]


def test_replicates_share_no_seed_no_split_and_no_id(trials: list[list[Trial]]) -> None:
    assert len(unique(trial for one in trials for trial in one)) == sum(map(len, trials)) == 12
    for one, other in combinations(trials, 2):
        assert not {trial.seed for trial in one} & {trial.seed for trial in other}
        assert not {trial.facts.hash for trial in one} & {trial.facts.hash for trial in other}
    for number, one in enumerate(trials):
        assert {described(trial)["replicate"] for trial in one} == {number}
        assert {described(trial)["split"] for trial in one} == {number}
        assert [trial.seed - number * SEEDS_APART for trial in one] == [trial.seed for trial in trials[0]]


def test_the_first_replicate_has_the_ids_that_trials_had_before_there_were_any(trials: list[list[Trial]]) -> None:
    for trial in trials[0]:
        flat = trial.to_flat()
        assert (flat["replicate"], flat["dataset.split"]) == (0, 0)
        before = {key: value for key, value in flat.items() if key not in ("replicate", "dataset.split")}
        assert identity.id_of(before) == trial.id


def test_a_row_says_which_replicate_it_is_of_and_the_trial_is_made_again_from_it(trials: list[list[Trial]]) -> None:
    for trial in trials[2]:
        flat = identity.parsed(trial.settings_json)
        assert flat is not None
        assert flat["dataset.source"] == trials[0][0].facts.hash != flat["dataset.hash"]
        again = Trial.from_flat(flat, trial.dataset, replace(trial.facts, source=""))
        assert (again.to_flat(), again.id) == (trial.to_flat(), trial.id)


def test_another_replicate_is_another_trial_where_the_data_has_one_split_only() -> None:
    one = load(DATA)
    datasets = {data_of(DATA, number): one for number in range(2)}
    first, second = (of_replicate(settings(), number, datasets) for number in range(2))
    assert not {trial.id for trial in first} & {trial.id for trial in second}


def test_a_seed_that_another_replicate_would_have_is_refused() -> None:
    run = replace(settings().run, replicates=2)
    with pytest.raises(UserError, match=f"seed={SEEDS_APART}: must be below"):
        settings(seed=(0, SEEDS_APART), run=run)
    assert settings(seed=(0, SEEDS_APART)).seed == (0, SEEDS_APART)
