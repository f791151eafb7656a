"""Claims about curves, the mechanism and scale come out each way."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest

from runner.claims.claim import Claim
from runner.claims.few import ONE_REPLICATE
from tests.claims.made_up import Row, curves_of, judged, replicated, study, verdict
from tests.claims.test_best_cells import world
from tests.report.studies import in_replicate, noise, trial


def _late(early: float, late: float, points: Iterable[int] = range(1, 21)) -> list[Claim]:
    """Claim 14 on eight replicates whose curves differ by so many points in each half."""
    rows = replicated(world(adam=5.0, adamw=4.0, plain=6.0), spread=0.02)

    def error(row: Row, epoch: int) -> float:
        gap = early if epoch <= 10 else late
        return 20 - 0.2 * epoch + (gap if row["optimizer"] == "adamw" else 0) + 0.05 * noise(row["trial"], epoch)

    curves = curves_of([row for row in rows if row["phase"] == "final"], error)
    return [c for c in judged(rows, [row for row in curves if row["epoch"] in points]) if c.claim == "14"]


@pytest.mark.parametrize(("early", "late", "expected"), [(0.0, -1.0, "confirmed"), (4.0, 2.0, "refuted")])
def test_late_separation(early: float, late: float, expected: str) -> None:
    alike, ahead = _late(early, late)
    assert (alike.verdict, ahead.verdict) == (expected, expected)
    assert ahead.evidence is not None
    assert ahead.evidence.n == 8  # replicates, each with six fresh seeds
    # In percent of the other's mean over the half, which is 16.9.
    assert ahead.evidence.value == pytest.approx(100 * late / 16.9, rel=0.02)


@pytest.mark.parametrize("points", [(), (20,), range(2, 21, 2), range(2, 21)])
def test_a_study_does_not_speak_to_curves_of_which_a_half_has_fewer_than_ten_evaluations(points: Iterable[int]) -> None:
    """It had two rows, undecided for '0 replicates' where eight were there."""
    assert _late(0.0, -1.0, points) == []


def test_what_is_short_of_curves_is_not_called_short_of_replicates() -> None:
    rows = replicated(world(adam=5.0, adamw=4.0, plain=6.0), spread=0.02)
    some = [row for row in rows if row["phase"] == "final" and int(str(row["replicate"])) < 3]
    found = [claim for claim in judged(rows, curves_of(some, lambda row, epoch: 9.0)) if claim.claim == "14"]
    assert [claim.why for claim in found] == ["3 replicates with both curves; 4 are needed"] * 2


def test_curves_of_one_replicate_decide_nothing_about_optimizers() -> None:
    rows = study(world(adam=5.0, adamw=4.0, plain=6.0), spread=0.02)
    curves = curves_of([row for row in rows if row["phase"] == "final"], lambda row, epoch: 9.0)
    found = [claim for claim in judged(rows, curves) if claim.claim == "14"]
    assert [claim.verdict for claim in found] == ["undecided"] * 2
    assert all("one replicate decides nothing" in claim.why for claim in found)


def test_the_runs_that_are_left_do_not_stand_for_those_that_diverged() -> None:
    """AdamW's surviving runs are ahead, and one fresh run in each replicate diverges in the second half."""
    rows = replicated(world(adam=5.0, adamw=4.0, plain=6.0), spread=0.02)
    first = {row["replicate"]: row["seed"] for row in reversed(rows) if row["phase"] == "final"}
    lost = [
        row["phase"] == "final" and row["optimizer"] == "adamw" and row["seed"] == first[row["replicate"]]
        for row in rows
    ]
    chance = {"status": "diverged", "val_error": 90.0, "test_error": 90.0}
    curves = []
    for row, diverged in zip(rows, lost, strict=True):
        if row["phase"] == "final":
            ahead = 1.0 if row["optimizer"] == "adamw" else 0.0
            line = curves_of([row], lambda row, epoch, ahead=ahead: 20 - ahead + 0.05 * noise(row["trial"], epoch))
            curves += [one for one in line if not diverged or int(str(one["epoch"])) <= 12]
    rows = [row | chance if diverged else row for row, diverged in zip(rows, lost, strict=True)]
    _, late = [claim for claim in judged(rows, curves) if claim.claim == "14"]
    assert late.evidence is not None
    # One of six fresh runs has 90 % in eight epochs of ten, all others 19; the rival has 20.
    assert late.evidence.value == pytest.approx(100 * ((19 + 71 * 0.8 / 6) / 20 - 1), abs=0.5)
    assert late.verdict == "refuted"


@pytest.mark.parametrize(("gap", "expected"), [(-0.8, "confirmed"), (0.8, "refuted"), (0.0, "undecided")])
def test_lower_error_at_equal_training_loss(gap: float, expected: str) -> None:
    one, several = [], []
    for made, into in ((study, one), (replicated, several)):
        for row in made(world(adam=5.0, adamw=5.0, plain=5.0), spread=0.02):
            loss = 10 ** (-2 + noise(row["lr"], row["wd"], row["optimizer"]))
            error = 7 + math.log10(loss) + (gap if row["optimizer"] == "adamw" else 0) + 0.1 * noise(row["trial"])
            into.append({**row, "train_loss": loss, "test_error": error})
    (claim,) = [c for c in judged(one) if "At equal training loss" in c.name]
    assert (claim.verdict, claim.why) == ("undecided", ONE_REPLICATE)
    (claim,) = [c for c in judged(several) if "At equal training loss" in c.name]
    assert claim.verdict == expected
    assert claim.evidence is not None
    assert claim.evidence.n == 8
    assert claim.evidence.value == pytest.approx(100 * gap / 5, abs=3)  # in percent of about 5


def _followed(
    correlation: float, ratio: float, uneven: float, cv: float = 1e-16, seeds: int = 8
) -> tuple[list[Row], list[Row]]:
    rows: list[Row] = []
    lines: list[Row] = []
    for optimizer in ("adam", "adamw"):
        for seed in range(seeds):
            convention = "paper" if optimizer == "adamw" else "l2"
            changes = {"wd_convention": convention, "schedule": "constant", "settings": {"schedule": "constant"}}
            row = trial(optimizer, 0.01, 0.02, seed, **changes)
            rows.append(row)
            for epoch in range(1, 21):
                spot = 0.02 * noise(seed, epoch, optimizer)
                line: dict[str, object] = {"trial": row["trial"], "epoch": epoch, "step": 7 * epoch}
                extra = {"decay_cv": cv} if optimizer == "adamw" else {"decay_rank_correlation": correlation + spot}
                lines.append({**line, "layer": "all", "kind": "all", **extra})
                cvs = 0.3 + spot + (uneven if optimizer == "adam" else 0)
                angle = {"update_angle": 0.02 * (ratio + spot), "predicted_angle": 0.02} if optimizer == "adamw" else {}
                lines.append({**line, "layer": "conv", "kind": "normalised", "angle_cv": cvs, **angle})
    return rows, lines


@pytest.mark.parametrize(
    ("correlation", "ratio", "uneven", "expected"),
    [(-0.6, 1.0, 0.2, "confirmed"), (0.4, 1.6, -0.2, "refuted")],
)
def test_the_mechanism(correlation: float, ratio: float, uneven: float, expected: str) -> None:
    rows, lines = _followed(correlation, ratio, uneven)
    claims = judged(rows, dynamics=lines)
    for words in (
        "Adam + L2 decays weights with large gradients less",
        "AdamW rotates weights as predicted",
        "Neurons rotate less alike under Adam + L2",
    ):
        assert verdict(claims, words) == expected, words


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_few_followed_trials_decide_nothing(seeds: int) -> None:
    rows, lines = _followed(-0.6, 1.0, 0.2, seeds=seeds)
    found = [claim for claim in judged(rows, dynamics=lines) if claim.claim in ("18", "19")]
    assert len(found) == 3
    assert {claim.verdict for claim in found} == {"undecided"}
    assert all("; 4 are needed" in claim.why for claim in found)


def test_networks_of_one_split_are_counted_by_seeds_and_those_of_several_by_replicates() -> None:
    """Two cells with the same seeds were two trials each, and runs of one replicate as many independent ones."""
    rows, lines = _followed(-0.6, 1.0, 0.2)
    twins = [trial(**{**_own(row), "lr": 0.02}) for row in rows]
    ids = {row["trial"]: twin["trial"] for row, twin in zip(rows, twins, strict=True)}
    both = [*lines, *({**line, "trial": ids[line["trial"]]} for line in lines)]
    several = [in_replicate(row, int(str(row["seed"])) // 2) for row in rows]
    ids = {row["trial"]: one["trial"] for row, one in zip(rows, several, strict=True)}
    renamed = [{**line, "trial": ids[line["trial"]]} for line in lines]
    for made, followed, n, said in (
        ([*rows, *twins], both, 8, "over seeds in one split of the data"),
        (several, renamed, 4, ""),
    ):
        found = [claim for claim in judged(made, dynamics=followed) if claim.claim in ("18", "19")]
        assert len(found) == 3
        for claim in found:
            assert claim.evidence is not None
            assert (claim.evidence.n, claim.verdict, claim.remark) == (n, "confirmed", said)


def _own(row: Row) -> dict[str, object]:
    """What `trial` makes such a row of."""
    names = ("optimizer", "lr", "wd", "seed", "wd_convention", "schedule")
    return {name: row[name] for name in names} | {"settings": {"schedule": row["schedule"]}}


def test_rotation_under_a_schedule_is_not_judged() -> None:
    rows, lines = _followed(-0.6, 1.0, 0.2)
    rows = [
        {**row, "schedule": "cosine", "settings": str(row["settings"]).replace("constant", "cosine")} for row in rows
    ]
    (claim,) = [c for c in judged(rows, dynamics=lines) if "rotates" in c.name]
    assert claim.verdict == "undecided"
    assert "not constant" in claim.why


@pytest.mark.parametrize(("adam", "adamw", "expected"), [(1.0, 0.0, "confirmed"), (0.0, 1.0, "refuted")])
def test_scale_freeness(adam: float, adamw: float, expected: str) -> None:
    rows = []
    for factor in (1, 100):
        for optimizer, change in (("adam", adam), ("adamw", adamw)):
            for seed in range(6):
                error = 5.0 + change * (factor > 1) + 0.05 * noise(optimizer, seed, factor)
                settings = {"loss_multiplier": 100.0} if factor > 1 else {}
                rows.append(trial(optimizer, 0.01, 0.1, seed, error=error, settings=settings))
    claims = judged(rows)
    assert verdict(claims, "A loss times 100 changes Adam + L2's error") == expected
    assert verdict(claims, "A loss times 100 does not change AdamW's error") == expected
