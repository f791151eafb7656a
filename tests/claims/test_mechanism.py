"""Claims about curves, restarts, the mechanism, scale and grokking come out each way."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from tests.claims.made_up import FRESH, Row, judged, study, verdict
from tests.claims.test_best_cells import world
from tests.report.studies import noise, trial


def _curves(rows: list[Row], error: Callable[[Row, int], float], column: str = "val_error") -> list[Row]:
    return [
        {"trial": row["trial"], "epoch": epoch, "step": 7 * epoch, "val_error": 1.0, column: error(row, epoch)}
        for row in rows
        for epoch in range(1, int(str(row["epochs"])) + 1)
    ]


@pytest.mark.parametrize(("early", "late", "expected"), [(0.0, -1.0, "confirmed"), (2.0, 1.0, "refuted")])
def test_late_separation(early: float, late: float, expected: str) -> None:
    rows = study(world(adam=5.0, adamw=4.0, plain=6.0), spread=0.02)

    def error(row: Row, epoch: int) -> float:
        gap = early if epoch <= 10 else late
        return 10 - 0.2 * epoch + (gap if row["optimizer"] == "adamw" else 0) + 0.05 * noise(row["trial"], epoch)

    claims = judged(rows, _curves([row for row in rows if row["phase"] == "final"], error))
    assert verdict(claims, "are alike in the first half") == expected
    assert verdict(claims, "is ahead of Adam + L2 in the second half") == expected


def test_two_points_of_a_curve_are_no_halves() -> None:
    rows = study(world(adam=5.0, adamw=4.0, plain=6.0), spread=0.02)
    finals = [row for row in rows if row["phase"] == "final"]
    curves = [row for row in _curves(finals, lambda row, epoch: 9.0) if row["epoch"] in (10, 20)]
    found = [claim for claim in judged(rows, curves) if claim.claim == "14"]
    assert [claim.verdict for claim in found] == ["undecided"] * 2
    assert all("evaluations in a half of the run: 1; 3 are needed" in claim.why for claim in found)


@pytest.mark.parametrize(("gap", "expected"), [(-0.8, "confirmed"), (0.8, "refuted"), (0.0, "undecided")])
def test_lower_error_at_equal_training_loss(gap: float, expected: str) -> None:
    rows = []
    for row in study(world(adam=5.0, adamw=5.0, plain=5.0), spread=0.02):
        loss = 10 ** (-2 + noise(row["lr"], row["wd"], row["optimizer"]))
        error = 5 + math.log10(loss) + (gap if row["optimizer"] == "adamw" else 0) + 0.1 * noise(row["trial"])
        rows.append({**row, "train_loss": loss, "test_error": error})
    assert verdict(judged(rows), "At equal training loss") == expected


def _with_restarts(first: float, last: float) -> tuple[list[Row], list[Row], list[Row]]:
    """Five seeds of AdamW with and without restarts: errors after the first and last cycle of AdamWR; AdamW's
    falls from 20 by one each epoch."""
    rows: list[Row] = []
    for schedule in ("cosine", "restarts"):
        for seed in range(5):
            settings = {"schedule": schedule}
            rows.append(
                trial("adamw", 0.01, 0.1, seed, wd_convention="normalized", schedule=schedule, settings=settings)
            )
    curves = _curves([r for r in rows if r["schedule"] == "cosine"], lambda row, epoch: 20.0 - epoch, "test_error")
    cycles: list[Row] = [
        {"trial": row["trial"], "cycle": cycle, "epoch": epoch, "test_error": error + 0.01 * noise(row["trial"], cycle)}
        for row in rows
        if row["schedule"] == "restarts"
        for cycle, epoch, error in ((1, 4, first), (2, 12, last))
    ]
    return rows, curves, cycles


def test_restarts_help_early_and_end_alike() -> None:
    claims = judged(*_with_restarts(first=4.5, last=0.05))
    assert verdict(claims, "AdamWR has after its first cycle") == "confirmed"
    assert verdict(claims, "AdamWR's last cycle ends as good") == "confirmed"
    factor = next(c for c in claims if "first cycle" in c.name).evidence
    assert factor is not None
    assert factor.value == pytest.approx(2.0)  # AdamW has 4.5 % after 16 epochs, AdamWR after 4
    claims = judged(*_with_restarts(first=18.5, last=3.0))
    assert verdict(claims, "AdamWR has after its first cycle") == "refuted"
    assert verdict(claims, "AdamWR's last cycle ends as good") == "refuted"


def _followed(
    correlation: float, ratio: float, uneven: float, cv: float = 1e-16, seeds: int = 6
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
    ("correlation", "ratio", "uneven", "cv", "expected"),
    [(-0.6, 1.0, 0.2, 1e-16, "confirmed"), (0.4, 1.6, -0.2, 0.3, "refuted")],
)
def test_the_mechanism(correlation: float, ratio: float, uneven: float, cv: float, expected: str) -> None:
    rows, lines = _followed(correlation, ratio, uneven, cv)
    claims = judged(rows, dynamics=lines)
    for words in (
        "Adam + L2 decays weights with large gradients less",
        "AdamW decays all weights alike",
        "AdamW rotates weights as predicted",
        "Neurons rotate less alike under Adam + L2",
    ):
        assert verdict(claims, words) == expected, words


def test_one_followed_trial_decides_nothing() -> None:
    rows, lines = _followed(-0.6, 1.0, 0.2, seeds=1)
    found = [claim for claim in judged(rows, dynamics=lines) if claim.claim in ("18", "19")]
    assert len(found) == 4
    assert {claim.verdict for claim in found} == {"undecided"}
    assert all("5 are needed" in claim.why for claim in found)


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


def _modular(least: dict[str, float]) -> list[Row]:
    """Runs over training fractions; each arm learns the rest from its own smallest fraction on."""
    rows: list[Row] = []
    for fraction in (0.3, 0.4, 0.6):
        settings = {"dataset": "modular", "model": "transformer", "dataset.fraction": fraction}
        for optimizer, wd, kind in (("adam", 0.0, "plain"), ("adam", 1e-3, "l2"), ("adamw", 1.0, "adamw")):
            for seed in FRESH:
                error = 0.0 if fraction >= least[kind] else 60 + noise(seed)
                rows.append(trial(optimizer, 3e-3, wd, seed, error=error, settings=settings))
    return rows


def test_grokking_from_less_data() -> None:
    # Seeds that all agree leave no spread, which is certainty: the fractions are exact.
    claims = judged(_modular({"plain": 0.6, "l2": 0.4, "adamw": 0.3}))
    assert verdict(claims, "AdamW generalizes from less data than Adam without decay") == "confirmed"
    assert verdict(claims, "Adam + L2 generalizes from less data") == "confirmed"
    claims = judged(_modular({"plain": 0.3, "l2": 0.4, "adamw": 0.6}))
    assert verdict(claims, "AdamW generalizes from less data") == "refuted"
    claims = judged(_modular({"plain": 0.9, "l2": 0.9, "adamw": 0.9}))
    (claim,) = [c for c in claims if c.name.startswith("AdamW generalizes")]
    assert (claim.verdict, claim.why) == ("undecided", "neither reached it at any fraction")
