"""Statements about training: each comes out true, false, undecided and not measured, for the right rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

from runner.folklore import quality, shortest_run, speed, stability
from runner.folklore.studies import Study
from runner.folklore.verdict import FALSE, NOT_MEASURED, OPEN, PARTLY, TRUE, Verdict
from tests.claims.made_up import LRS, Row
from tests.folklore.made_up import ALL, WIDE, made, reaching, rows, studies

PEAKS = {f"{n}_{o}_peak": 100.0 for n in ("resnet", "transformer") for o in ("adam", "adamw")}
Best = Mapping[str, float]
OTHERS = (3000, 3001, 3002)  # fresh seeds, whose noise is not that of the usual ones


def on_both(one: Study, other: Study | None = None) -> dict[str, Study]:
    return studies(resnet=one, transformer=other or one)


@pytest.mark.parametrize(
    ("best", "spread", "expected"),
    [
        ({"adamw": 7.0}, 0.01, TRUE),
        ({"adamw": 9.0}, 0.01, FALSE),
        ({"adamw": 11.0}, 0.01, FALSE),
        ({"adamw": 9.0}, WIDE, OPEN),
    ],
)
def test_better_generalization_and_training_loss(best: Best, spread: float, expected: str) -> None:
    study = made(rows(best, spread=spread))
    assert quality.generalizes(on_both(study)).verdict == expected
    assert quality.training_loss(on_both(study)).verdict == expected


def test_what_holds_on_one_network_is_partly_true() -> None:
    better, alike = made(rows({"adamw": 7.0})), made(rows({}))
    found = quality.generalizes(on_both(alike, better))
    assert found.verdict == PARTLY
    assert "ResNet: " in found.value
    assert found.behind.endswith("6 replicates")


@pytest.mark.parametrize(
    "judge", [quality.generalizes, quality.no_switching, quality.training_loss, speed.converges, stability.more_stable]
)
def test_one_replicate_decides_nothing(judge: Callable[[Mapping[str, Study]], Verdict]) -> None:
    one = made(reaching(rows({"adamw": 5.0}, ALL, count=1), dict.fromkeys(ALL, 9)))
    assert judge(on_both(one)).verdict in (OPEN, NOT_MEASURED)
    few = made(reaching(rows({"adamw": 5.0}, ALL, count=3), dict.fromkeys(ALL, 9)))
    assert judge(on_both(few)).verdict in (OPEN, NOT_MEASURED)


@pytest.mark.parametrize(
    ("best", "spread", "expected"),
    [
        ({"adamw": 9.0, "sgd": 9.0, "sgdw": 11.0}, 0.01, TRUE),
        ({"adamw": 7.0}, 0.01, TRUE),
        ({"adamw": 9.0, "sgd": 7.0, "sgdw": 9.0}, 0.01, FALSE),  # one of SGD's arms is enough
        ({"adamw": 9.0, "sgd": 9.0, "sgdw": 7.0}, 0.01, FALSE),
        ({}, WIDE, OPEN),
    ],
)
def test_whether_sgd_is_still_wanted(best: Best, spread: float, expected: str) -> None:
    assert quality.no_switching(on_both(made(rows(best, ALL, spread)))).verdict == expected


def test_a_winner_on_the_edge_withholds_what_it_could_turn() -> None:
    """AdamW is better, and L2 might be better still outside its grid; or worse, and might be better itself."""

    def shifted(which: str, adamw: float) -> list[Row]:
        own = LRS[:4]  # the bowl's middle is the last rate of a cut grid
        return [row for row in rows({"adamw": adamw}) if row["optimizer"] != which or float(str(row["lr"])) in own]

    assert quality.generalizes(on_both(made(shifted("adam", 7.0)))).verdict == OPEN
    assert quality.generalizes(on_both(made(shifted("adamw", 7.0)))).verdict == TRUE
    assert quality.generalizes(on_both(made(shifted("adam", 11.0)))).verdict == FALSE
    found = quality.generalizes(on_both(made(shifted("adamw", 11.0))))
    assert found.verdict == OPEN
    assert "on the edge of its grid" in found.value


@pytest.mark.parametrize(
    ("needed", "peak", "expected"),
    [
        ({"adam": 12, "adamw": 9}, 90.0, TRUE),
        ({"adam": 12, "adamw": 9}, 100.0, PARTLY),
        ({"adam": 12, "adamw": 12}, 100.0, FALSE),
        ({"adam": 9, "adamw": 12}, 100.0, FALSE),
    ],
)
def test_fewer_epochs_and_less_memory(needed: Best, peak: float, expected: str) -> None:
    study = made(reaching(rows({}), needed))
    known = {key: peak if "adamw" in key else value for key, value in PEAKS.items()}
    assert speed.cheaper(on_both(study), known).verdict == expected


@pytest.mark.parametrize(
    ("needed", "spread", "expected"),
    [
        ({"adamw": 8, "sgd": 12, "sgdw": 12}, 0.2, TRUE),
        ({"adamw": 8, "sgd": 12, "sgdw": 8}, 0.2, FALSE),  # one of SGD's arms is as fast
        ({"adamw": 8, "sgd": 12, "sgdw": 99}, 0.2, TRUE),
        ({"adamw": 99, "sgd": 12, "sgdw": 12}, 0.2, FALSE),
        ({"adamw": 10, "sgd": 12, "sgdw": 12}, 7.0, OPEN),
        ({"adamw": 99, "sgd": 99, "sgdw": 99}, 0.2, NOT_MEASURED),
    ],
)
def test_faster_than_sgd(needed: Best, spread: float, expected: str) -> None:
    study = made(reaching(rows({}, ALL, count=6), {"adam": 10, **needed}, spread))
    assert speed.converges(on_both(study)).verdict == expected


def test_a_run_that_never_reached_the_target_counts_as_longer_than_it_was() -> None:
    """Left out, the runs of an arm that sometimes fails would make it look fast."""
    given = reaching(rows({}), {"adam": 8, "adamw": 6})
    lost = [{**row, "epochs_to_target": None} if int(str(row["seed"])) % 3 else row for row in given]
    mixed = [new if row["optimizer"] == "adamw" else row for row, new in zip(given, lost, strict=True)]
    (block,) = made(mixed).blocks
    arm = block.decoupled("adam")[0]
    assert set(speed.needed(block, arm)) == set(range(6))
    assert all(value > 10 for value in speed.needed(block, arm).values())


LENGTHS = (4, 8, 16)


def _lengths(cycle: Mapping[int, float], cosine: Mapping[int, float], spread: float = 0.01) -> Study:
    """AdamW by length under both schedules; Adam + L2 is 2 points worse than AdamW with a cosine.

    So where AdamW ends at 0.9 %, the error that all come to is 3 %.
    """
    found: list[Row] = []
    for schedule, seed, errors in (("onecycle", 1000, cycle), ("cosine", 2000, cosine)):
        for number, (length, error) in enumerate(errors.items()):
            best = {"adamw": error, "adam": cosine[length] + 2, "plain": cosine[length] + 3}
            changes = {
                "schedule": schedule,
                "settings": {"epochs": length},
                "epochs": length,
                "fresh": (seed + number,),
            }
            found += rows(best, spread=spread, **changes)
    return made(found)


@pytest.mark.parametrize(
    ("cycle", "cosine", "spread", "expected"),
    [
        ((4.0, 2.0, 0.9), (6.0, 4.0, 0.9), 0.01, TRUE),
        ((6.0, 4.0, 0.9), (4.0, 2.0, 0.9), 0.01, FALSE),
        ((4.0, 2.0, 0.9), (4.0, 2.0, 0.9), 0.01, FALSE),  # as fast as another is not the fastest
        ((2.0, 1.5, 0.9), (6.0, 4.0, 0.9), 0.01, TRUE),  # there with the shortest run already
        ((9.0, 8.0, 2.8), (4.0, 2.0, 0.9), 0.01, FALSE),  # there with the longest run only
        ((2.0, 1.5, 0.9), (2.0, 1.5, 0.9), 0.01, OPEN),  # both there already: nothing tells them apart
        ((4.0, 2.9, 0.9), (4.2, 2.8, 0.9), WIDE, OPEN),
    ],
)
def test_whether_one_cycle_is_fastest(
    cycle: tuple[float, ...], cosine: tuple[float, ...], spread: float, expected: str
) -> None:
    study = _lengths(dict(zip(LENGTHS, cycle, strict=True)), dict(zip(LENGTHS, cosine, strict=True)), spread)
    found = shortest_run.fastest(studies(resnet=study))
    assert found.verdict == expected
    already = "AdamW with onecycle was there with the shortest run in replicates 0, 1, 2, 3, 4, 5"
    assert (already in found.value) == (expected == OPEN and spread < WIDE)


def test_one_length_says_nothing_of_the_fastest() -> None:
    assert shortest_run.fastest(studies(resnet=_lengths({8: 2.0}, {8: 4.0}))).verdict == NOT_MEASURED
    assert shortest_run.fastest(studies()).verdict == NOT_MEASURED


@pytest.mark.parametrize(
    ("ruled", "spread", "expected"), [(9.0, 0.01, TRUE), (7.0, 0.01, TRUE), (11.0, 0.01, FALSE), (9.0, WIDE, OPEN)]
)
def test_rules_of_thumb(ruled: float, spread: float, expected: str) -> None:
    tuned = made(rows({"adamw": 9.0}, spread=spread))
    rule = made(rows({"adamw": ruled}, ("adamw",), spread, fresh=OTHERS))
    found = quality.rules(studies(resnet=tuned, rule_product=rule))
    assert [one.verdict for one in found] == [expected, NOT_MEASURED]


def test_a_rule_on_another_length_is_not_compared() -> None:
    rule = made(rows({}, ("adamw",), epochs=7, settings={"epochs": 7}))
    assert quality.rules(studies(resnet=made(rows({})), rule_product=rule))[0].verdict == NOT_MEASURED


@pytest.mark.parametrize(
    ("ramped", "spread", "expected"), [(7.0, 0.01, TRUE), (9.0, 0.01, FALSE), (11.0, 0.01, FALSE), (9.0, WIDE, OPEN)]
)
def test_a_decay_that_ramps_up(ramped: float, spread: float, expected: str) -> None:
    plain = rows({"adamw": 9.0}, ("adamw",), spread)
    ramp = rows({"adamw": ramped}, ("adamw",), spread, fresh=OTHERS, settings={"wd_schedule": "beta2_ramp"})
    assert quality.ramp(studies(ramp=made([*plain, *ramp]))).verdict == expected


def _failing(given: Sequence[Row], share: Mapping[str, float], **as_what: object) -> list[Row]:
    """The search's rows with so large a share of others, by optimizer; it differs between replicates."""
    found = []
    for number, row in enumerate(given):
        wanted = share.get(str(row["optimizer"]), 0.0) * (0.9 + 0.04 * int(str(row.get("replicate", 0))))
        gone = row["phase"] == "search" and row["lr"] != LRS[3] and (number * 0.6180339887) % 1 < wanted
        found.append({**row, **as_what} if gone else row)
    return found


DIVERGED = {"status": "diverged", "val_error": 90.0, "test_error": None}
LEARNED_NOTHING = {"val_error": 88.0, "test_error": 88.0}


def _spreading(spread: Best) -> list[Row]:
    return [
        {**row, "test_error": 9.0 + spread[str(row["optimizer"])] * float(str(row["seed"])[-1]) * (1 + 0.02 * k)}
        for k in range(6)
        for row in rows({}, count=6)
        if row["replicate"] == k
    ]


@pytest.mark.parametrize(
    ("spread", "diverged", "expected"),
    [
        ({"adam": 0.1, "adamw": 0.01}, {"adam": 0.6, "adamw": 0.1}, TRUE),
        ({"adam": 0.1, "adamw": 0.01}, {"adam": 0.3, "adamw": 0.3}, PARTLY),
        ({"adam": 0.01, "adamw": 0.1}, {"adam": 0.1, "adamw": 0.6}, FALSE),
    ],
)
def test_more_stable(spread: Best, diverged: Best, expected: str) -> None:
    given = _failing(_spreading(spread), diverged, **DIVERGED)
    assert stability.more_stable(on_both(made(given))).verdict == expected


def test_too_much_decay_is_no_instability() -> None:
    """A cell of the search at the error of guessing is none that diverged, in whatever arm's grid it lies."""
    for share in ({"adamw": 0.4}, {"adam": 0.4}, {}):
        given = _failing(_spreading({"adam": 0.1, "adamw": 0.01}), share, **LEARNED_NOTHING)
        found = stability.more_stable(on_both(made(given)))
        assert found.value.count("diverged runs: not measured (none in either arm)") == 2


def _warmed(with_: float, without: float, lrs: Sequence[float] = LRS, **as_what: object) -> Study:
    """Adam without decay, of which such shares fail with and without a warm-up; with decay, half of all do."""
    found: list[Row] = []
    for epochs, share, rates in ((2.0, with_, lrs), (0.0, without, LRS)):
        own = rows({}, ("adam",), fresh=(), lrs=rates, settings={"schedule.warmup_epochs": epochs})
        plain = [row for row in own if not row["wd"]]
        decayed = [row for row in own if row["wd"] and epochs]
        found += _failing(plain, {"adam": share}, **as_what) + _failing(decayed, {"adam": 0.5}, **as_what)
    return made(found)


@pytest.mark.parametrize("as_what", [DIVERGED, LEARNED_NOTHING])
@pytest.mark.parametrize(("with_", "without", "expected"), [(0.05, 0.5, TRUE), (0.5, 0.05, FALSE)])
def test_warm_up_against_failing_runs(with_: float, without: float, expected: str, as_what: Row) -> None:
    found = stability.warm_up(studies(no_warmup=_warmed(with_, without, **as_what)))
    assert found.verdict == expected
    assert "rates " in found.value


def test_where_no_run_without_decay_fails_warm_up_had_nothing_to_prevent() -> None:
    found = stability.warm_up(studies(no_warmup=_warmed(0, 0, **LEARNED_NOTHING)))
    assert found.verdict == NOT_MEASURED
    assert "nothing to prevent" in found.value


def test_warm_up_is_judged_at_equal_rates() -> None:
    assert "other rates" in stability.warm_up(studies(no_warmup=_warmed(0.1, 0.5, LRS[1:], **DIVERGED))).value
    assert stability.warm_up(studies()).verdict == NOT_MEASURED
