"""With one replicate no claim about optimizers is decided: only what happens within the networks of that split is."""

from __future__ import annotations

import pytest

from runner.claims.listed import LISTED
from tests.claims.made_up import LRS, WDS, Row, judged, study
from tests.claims.test_best_cells import world

# They describe the networks of one split, by its seeds, and say so. None compares what two searches have found.
OF_ONE_SPLIT = {"decay-by-gradient", "rotation-uneven", "rotation-predicted", "loss-scale"}
BEST = {"adam": 5.0, "adamw": 4.0, "plain": 6.0, "sgd": 4.5, "sgdw": 4.0}


def of_one_replicate() -> list[Row]:
    """Clear differences between optimizers, schedules, networks, budgets and losses, with several seeds of a cell."""
    four, two, grid = ("adam", "adamw", "sgd", "sgdw"), ("adam", "adamw"), {"lrs": LRS[1:6], "wds": WDS[1:6]}
    rows = study(world(**BEST), four, spread=0.01, **grid)
    kinds: list[tuple[str, dict[str, object]]] = [
        ("step", {"schedule": "step"}),
        ("restarts", {"schedule": "restarts"}),
        ("constant", {"schedule": "constant", "epochs": 100}),
        ("cosine", {"model.norm": "none"}),
        ("cosine", {"loss_multiplier": 10.0}),
    ]
    for number, (schedule, settings) in enumerate(kinds):
        best = {name: error * (1 + number / 10) for name, error in BEST.items()} | {"adamw": 3.0}
        changes = {"schedule": schedule, "settings": settings, "epochs": settings.get("epochs", 20)}
        rows += study(world(**best), two, spread=0.01, lrs=LRS[2:5], wds=WDS[2:5], **changes)
    for budget in (40, 80):
        rows += study(world(**BEST), ("adamw",), spread=0.01, epochs=budget, settings={"epochs": budget}, **grid)
    spared = {"decay_params": "weights", "settings": {"optimizer.decay_params": "weights"}}
    return rows + study(world(**BEST), ("adamw",), spread=0.01, lrs=LRS[2:5], wds=WDS[2:5], **spared)


def test_no_claim_about_optimizers_is_decided_by_the_seeds_of_one_replicate() -> None:
    found = judged(of_one_replicate())
    assert {claim.id for claim in found if claim.verdict != "undecided"} <= OF_ONE_SPLIT
    why = {claim.id: claim.why for claim in found}
    alone = {id for id, text in why.items() if text.startswith("one replicate decides nothing about optimizers")}
    of_bests = "best-cell best-cell-sgd gain-by-schedule cosine-best l2-gives-nothing adamw-rivals-sgdw"
    others = "norms-and-biases long-constant gain-in-control easier-to-tune basin-l2 basin-decoupled decay-exponent"
    assert alone >= {*of_bests.split(), *others.split()}, why
    assert not alone & OF_ONE_SPLIT


@pytest.mark.parametrize("id", sorted(OF_ONE_SPLIT))
def test_those_that_are_decided_are_of_the_mechanism_and_say_that_they_are_of_one_split(id: str) -> None:
    assert LISTED[id].number in (18, 19, 21)
    for claim in judged(of_one_replicate()) if id == "loss-scale" else ():
        if claim.id == id:
            assert "over seeds in one split of the data" in claim.because
