"""Claims about which trials follow a search, against pandas on the rows of made-up studies; nothing is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from runner.errors import UserError
from runner.finalists import Finals, check_reference, finalists, foreseen, rebuilt, text
from runner.models.settings import ResNetSettings
from runner.records import identity
from runner.records.records import Records
from runner.trials.described import described
from runner.trials.trial import Trial, unique
from tests import helpers

pytestmark = pytest.mark.filterwarnings("error::FutureWarning")
DATA = helpers.images()
LRS, WDS = (1e-3, 1e-2, 1e-1), (0.1, 0.2)
Error = Callable[[Trial], float]


def grid(name: str, seeds: Iterable[int] = (0, 1), wds: Sequence[float] = WDS, **changes: Any) -> list[Trial]:
    plain = replace(helpers.trial(DATA, name=name), **changes)
    return [replace(plain, lr=lr, wd=wd, seed=seed) for lr, wd, seed in product(LRS, wds, seeds)]


def bowl(trial: Trial) -> float:
    """The best cell is the second rate with the second decay; the seed moves all alike."""
    return 5 + 3 * abs(LRS.index(trial.lr) - 1) + 10 * (0.2 - trial.wd) + 0.1 * (trial.seed % 7)


def row(trial: Trial, error: float, phase: str = "search") -> dict[str, object]:
    numbers = {f"{part}_{kind}": value for part in ("val", "test") for kind, value in (("error", error), ("loss", 1))}
    return {"study": "s", "phase": phase, "status": "ok", "steps": 9, "params": 9} | numbers | described(trial)


def study(folder: Path, trials: Iterable[Trial], error: Error = bowl, phase: str = "search") -> dict[str, Trial]:
    """Writes their rows; returns the trials by id."""
    trials = list(trials)
    Records(folder).append_trials([row(trial, error(trial), phase) for trial in trials])
    return unique(trials)


def points(finals: Finals) -> set[tuple[str, float, float]]:
    return {(trial.optimizer.name, trial.lr, trial.wd) for trial in finals.trials.values()}


def best(trials: Iterable[Trial]) -> set[tuple[str, float, float]]:
    """Of each optimizer's cells that with the smallest mean, by pandas."""
    frame = pd.DataFrame([(t.optimizer.name, t.lr, t.wd, bowl(t)) for t in trials], columns=["o", "lr", "wd", "error"])
    means = frame.groupby(["o", "lr", "wd"])["error"].mean()
    return set(means.groupby("o").idxmin())


def test_fresh_seeds_begin_at_1000_and_leave_out_those_of_any_search_of_the_block(tmp_path: Path) -> None:
    asked = study(tmp_path, [*grid("adam"), *grid("adamw")])
    finals = finalists(tmp_path, asked, 3, 0)
    assert points(finals) == best(asked.values())
    assert [trial.seed for trial in finals.trials.values()] == [1000, 1001, 1002] * 2
    assert all(key == trial.id for key, trial in finals.trials.items())
    assert finals.said == ()
    # Fresh rows use up no seed, a search of another command does, one of another block does not.
    study(tmp_path, list(finals.trials.values())[:2], phase="final")
    assert finalists(tmp_path, asked, 3, 0).trials == finals.trials
    study(tmp_path, grid("adam", [1001], [0.7]))
    study(tmp_path, grid("adam", [1000], model=ResNetSettings("resnet", depth=8, width=8)))
    assert [trial.seed for trial in finalists(tmp_path, asked, 3, 0).trials.values()] == [1000, 1002, 1003] * 2


def test_a_seed_that_is_searched_only_now_is_none_either(tmp_path: Path) -> None:
    done, asked = grid("adamw"), grid("adamw", [0, 1000])
    study(tmp_path, done)
    finals = finalists(tmp_path, unique([*done, *asked]), 2, 0)
    assert [trial.seed for trial in finals.trials.values()] == [1001, 1002]


def test_the_best_cell_is_the_blocks_whichever_command_trained_it_and_another_blocks_is_left_alone(
    tmp_path: Path,
) -> None:
    adam = replace(helpers.optimizer("adamw"), beta2=0.95)
    other = grid("adamw", optimizer=adam, wd_schedule="constant", wd_convention="paper")
    wide = ResNetSettings("resnet", depth=8, width=8)
    study(tmp_path, other, lambda trial: bowl(trial) - 1)
    study(tmp_path, grid("adamw", model=wide), lambda trial: bowl(trial) - 2)
    asked = study(tmp_path, [*grid("adamw"), *grid("adam")])
    found = list(finalists(tmp_path, asked, 1, 0).trials.values())
    expected = [t for t in [*asked.values(), *other] if (t.lr, t.wd, t.seed) == (1e-2, 0.2, 0)]
    assert {t.id for t in found} == {replace(t, seed=1000).id for t in expected}
    assert {t.model for t in found} == {helpers.MODELS["resnet"]}
    assert len(found) == 3


@pytest.mark.parametrize("more", [0, 1, 4, 50])
def test_other_good_cells_are_trained_again_too_where_that_is_asked(tmp_path: Path, more: int) -> None:
    asked = study(tmp_path, grid("adamw"))
    found = finalists(tmp_path, asked, 2, more)
    means = pd.DataFrame([(t.lr, t.wd, bowl(t)) for t in asked.values()]).groupby([0, 1])[2].mean()
    good = int((means <= 2 * means.min()).sum())
    assert best(asked.values()) <= points(found)
    assert max(1, min(more, good)) <= len(points(found)) <= min(more + 1, good)
    assert len(found.trials) == 2 * len(points(found))


def test_a_best_cell_of_another_version_is_said_and_gets_no_seeds(tmp_path: Path) -> None:
    asked = study(tmp_path, grid("adamw"))
    later = next(iter(asked.values()))
    settings = later.to_flat() | {"optimizer.invented": 1, "seed": 0}
    new = row(later, 0.5) | {"settings": identity.text(settings), "trial": identity.id_of(settings)}
    Records(tmp_path).append_trials([new])
    finals = finalists(tmp_path, asked, 2, 0)
    assert finals.trials == {}
    assert len(finals.said) == 1
    assert finals.said[0].startswith(f"{new['trial']} (adamw, lr 0.001, wd 0.1): the best cell of another version")
    assert rebuilt(new, later) is None


@pytest.mark.parametrize("settings", ["", "{", "[]", "3", "{}", '{"optimizer": "invented"}', '{"optimizer": "adam"}'])
def test_settings_that_are_none_make_no_trial(settings: str) -> None:
    trial = helpers.trial(DATA)
    again = rebuilt({"settings": trial.settings_json, "trial": trial.id}, replace(trial, lr=0.5, seed=7))
    assert again is not None
    assert again.id == trial.id
    assert rebuilt({"settings": settings, "trial": trial.id}, trial) is None


@pytest.mark.parametrize("replicate", [0, 2, 50])
def test_no_more_trials_follow_than_were_foreseen_and_as_many_where_cells_are_alike(
    tmp_path: Path, replicate: int
) -> None:
    plan = [*grid("adam"), *grid("adamw"), *grid("sgd", model=ResNetSettings("resnet", depth=8, width=8))]
    asked = unique(plan)
    told = [
        foreseen(None, asked, 3, replicate, "none", (), ())[0],
        foreseen(tmp_path, asked, 3, replicate, "none", (), ())[0],
    ]
    study(tmp_path, plan[:9], lambda trial: 5.0)
    study(tmp_path, grid("sgd", model=ResNetSettings("resnet", depth=8, width=16)))  # of another block
    told.append(foreseen(tmp_path, asked, 3, replicate, "none", (), ())[0])
    study(tmp_path, plan[9:], lambda trial: 5.0)
    told.append(foreseen(tmp_path, asked, 3, replicate, "none", (), ())[0])
    assert told == [3 * (min(2 + replicate, 12) + min(1 + replicate, 6))] * 4
    follow = len(finalists(tmp_path, asked, 3, replicate).trials)
    assert follow <= told[0]
    assert replicate == 2 or follow == told[0]


def test_a_block_that_other_commands_have_begun_counts_whole(tmp_path: Path) -> None:
    """Its arms may all have other best cells when the search is done."""
    study(tmp_path, grid("adam"))
    assert foreseen(tmp_path, unique(grid("adamw")), 5, 0, "none", (), ())[0] == 10


def test_an_arm_to_compare_with_is_there_or_planned(tmp_path: Path) -> None:
    study(tmp_path, grid("adam"))
    asked = unique(grid("adamw"))
    for word in ("", "adam", "adamw"):
        check_reference(tmp_path, asked, word)
    check_reference(None, asked, "adamw")
    for folder, word in ((tmp_path, "sgd"), (None, "adam")):
        with pytest.raises(UserError, match=word):
            check_reference(folder, asked, word)


def test_what_follows_is_counted_in_words(tmp_path: Path) -> None:
    asked = study(
        tmp_path, [*grid("adam"), *grid("adamw"), *grid("adam", wds=[0.0], optimizer=helpers.optimizer("sgd"))]
    )
    finals = finalists(tmp_path, asked, 2, 0)
    assert text(finals, 2) == "6 fresh-seed trials of 3 best cells, 4 done"
    alone = Finals(dict(list(finals.trials.items())[:1]))
    assert text(alone, 1) == "1 fresh-seed trial of 1 best cell, 0 done"
