"""Claims about the shape of maps and about budgets come out each way."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from runner.analysis.blocks import replicates, split
from runner.analysis.landscape import landscape, lowest, noise_of
from runner.analysis.maps import maps
from runner.claims.few import ONE_REPLICATE
from runner.records.schema import TRIALS
from runner.report.claims_table import frame, markdown
from tests.claims.made_up import LRS, WDS, Row, judged, of_replicate, replicated, study, verdict
from tests.claims.made_up import frame as made_up_frame


def basin(tilt: float, best: float = 3.0, cross: float = 0.0) -> Callable[[str, float, float], float]:
    """A truth whose best decay moves by `tilt` octaves for each octave of the learning rate."""

    def truth(optimizer: str, lr: float, wd: float) -> float:
        x = math.log2(lr / LRS[3])
        y = (math.log2(wd / WDS[3]) if wd else -4.0) - tilt * x
        return best * math.exp(0.03 * x**2 + 0.05 * y**2 + cross * x * y)

    return truth


def both(l2: float, decoupled: float) -> Callable[[str, float, float], float]:
    return lambda optimizer, lr, wd: basin(decoupled if optimizer.endswith("w") else l2)(optimizer, lr, wd)


def test_a_diagonal_and_an_aligned_basin_are_told_apart() -> None:
    claims = judged(replicated(both(-0.9, 0.0), ("sgd", "sgdw"), spread=0.05))
    assert verdict(claims, "SGD + L2's basin is diagonal") == "confirmed"
    assert verdict(claims, "SGDW's basin is along the lr axis") == "confirmed"
    assert verdict(claims, "map is more separable") == "confirmed"


def test_the_opposite_landscape_refutes_the_same_claims() -> None:
    claims = judged(replicated(both(0.0, -0.9), ("sgd", "sgdw"), spread=0.05))
    assert verdict(claims, "SGD + L2's basin is diagonal") == "refuted"
    assert verdict(claims, "SGDW's basin is along the lr axis") == "refuted"
    assert verdict(claims, "map is more separable") == "refuted"


def _bent(optimizer: str, lr: float, wd: float) -> float:
    """L2's best decay stays where it is, but at the largest learning rate it lies far lower."""
    distance = math.log2(wd / WDS[3]) + (5.0 if lr > LRS[1] else 0.0) if wd else 6.0
    return 3.0 * math.exp(0.01 * distance**2)


def test_a_verdict_that_the_window_makes_is_none() -> None:
    """With the outermost rate the valley falls and without it does not: undecided, for that reason."""
    wds = [WDS[3] / 2**k for k in range(-4, 9)]
    rows = replicated(_bent, ("sgd", "sgdw"), count=4, spread=0.02, lrs=LRS[:5], wds=wds)
    (claim,) = [c for c in judged(rows) if "SGD + L2's basin" in c.name]
    assert claim.evidence is not None
    assert claim.evidence.high < -0.5  # alone it would be confirmed
    assert claim.windows is not None
    assert claim.windows[1] == pytest.approx(0, abs=0.1)
    assert claim.verdict == "undecided"
    assert claim.why == "other windows of the grid do not bear it out"


def test_the_least_and_largest_value_in_other_windows_stand_beside_a_maps_own() -> None:
    claims = judged(study(both(-0.9, 0.0), ("sgd", "sgdw"), spread=0.05))
    (claim,) = [c for c in claims if "SGD + L2's basin" in c.name]
    assert claim.windows is not None
    assert claim.evidence is not None
    low, high, count = claim.windows
    assert count == 6
    assert low == pytest.approx(-0.9, abs=0.1)
    assert high == pytest.approx(-0.9, abs=0.1)
    assert f" {low:.3g} to {high:.3g} in 6 other windows |" in markdown([claim])
    (row,) = frame([claim]).to_dict("records")
    assert (row["windows_low"], row["windows_high"], row["windows"]) == (low, high, 6)


def test_the_papers_slope_is_that_of_its_circles() -> None:
    claims = judged(study(both(-0.9, 0.0), ("adam", "adamw", "sgd", "sgdw"), spread=0.05))
    found = {c.name: c.paper_value.split(" (")[0] for c in claims if "basin" in c.name}
    assert found == {
        "Adam + L2's basin is diagonal": "-1.65",
        "AdamW's basin is along the lr axis": "0.00",
        "SGD + L2's basin is diagonal": "-0.91",
        "SGDW's basin is along the lr axis": "-0.10",
    }


def test_where_no_decay_is_as_good_as_any_there_is_no_slope() -> None:
    def truth(optimizer: str, lr: float, wd: float) -> float:
        return 3.0 * math.exp(0.03 * math.log2(lr / LRS[3]) ** 2)

    (claim,) = [c for c in judged(study(truth, ("sgd", "sgdw"), spread=0.05)) if "SGD + L2's basin" in c.name]
    assert (claim.verdict, claim.evidence) == ("undecided", None)
    assert "rates where decay helps" in claim.why
    assert claim.remark == "decay helps at 0 of 7 learning rates; in one split of the data"


def test_one_split_describes_maps_and_decides_nothing_about_optimizers() -> None:
    claims = [c for c in judged(study(both(-0.9, 0.0), ("sgd", "sgdw"), spread=0.05)) if c.number in (5, 6)]
    assert len(claims) == 3
    for claim in claims:
        assert (claim.verdict, claim.why) == ("undecided", ONE_REPLICATE)
        assert claim.evidence is not None
        assert claim.windows is not None
    assert claims[0].evidence is not None
    assert claims[0].evidence.high < -0.5
    assert claims[0].remark.endswith("; in one split of the data")


def test_maps_of_three_replicates_are_too_few() -> None:
    claims = judged(replicated(both(-0.9, 0.0), ("sgd", "sgdw"), count=3, spread=0.05))
    assert {c.why for c in claims if c.number in (5, 6)} == {"3 common replicates; 4 are needed"}


def test_slopes_are_measured_in_paper_units_whatever_the_convention() -> None:
    """A basin along the lr axis in torch's units is one of slope 1 in the paper's."""
    (claim,) = [
        c
        for c in judged(replicated(both(0.0, 0.0), ("adamw",), count=4, spread=0.02, wd_convention="torch"))
        if "basin is along the lr axis" in c.name and c.evidence
    ]
    assert claim.evidence is not None
    assert claim.evidence.value == pytest.approx(1.0, abs=0.1)
    assert claim.verdict == "refuted"


def test_one_seed_maps_have_no_interval_until_some_cells_are_replicated() -> None:
    rows = [row for row in study(both(-0.9, 0.0), ("sgd", "sgdw"), spread=0.05, fresh=()) if row["seed"] == 0]
    (claim,) = [c for c in judged(rows) if "SGD + L2's basin" in c.name]
    assert claim.verdict == "undecided"
    assert "noise unknown" in claim.why
    assert claim.evidence is None
    everything = study(both(-0.9, 0.0), ("sgd", "sgdw"), spread=0.05, fresh=())
    good = sorted({str((r["lr"], r["wd"])) for r in rows if float(str(r["val_error"])) < 4.5})[:12]
    extra = [
        {**row, "phase": "final", "trial": f"final-{row['trial']}", "seed": int(str(row["seed"])) + 1000}
        for row in everything
        if str((row["lr"], row["wd"])) in good
    ]
    (claim,) = [c for c in judged([*rows, *extra]) if "SGD + L2's basin" in c.name]
    assert claim.evidence is not None
    assert claim.evidence.high < -0.5


def test_a_slope_that_differs_from_split_to_split_is_as_uncertain_as_that() -> None:
    """Six splits, each with a valley of its own slope: the interval is that of six slopes, not of 1,500 runs."""
    tilts = (-0.7, -0.3, -0.6, -1.0, -0.2, -0.8)
    rows = [
        row
        for number, tilt in enumerate(tilts)
        for row in study(both(tilt, 0.0), ("sgd", "sgdw"), spread=0.02, **of_replicate(number))
    ]
    claims = judged(rows)
    (claim,) = [c for c in claims if "SGD + L2's basin" in c.name]
    assert claim.evidence is not None
    spread = stats.t.interval(0.95, 5, np.mean(tilts), np.std(tilts, ddof=1) / math.sqrt(6))
    assert (claim.evidence.low, claim.evidence.high) == pytest.approx(spread, abs=0.06)
    assert claim.verdict == "undecided"
    assert "replicates would decide it, 6 are there" in claim.why
    # The other arm's valley is the same in all splits, which its own map shows.
    assert verdict(claims, "SGDW's basin is along the lr axis") == "confirmed"


def test_a_map_over_replicates_is_the_mean_of_theirs_on_the_seeds_of_each() -> None:
    rows = replicated(both(-0.9, 0.0), ("sgd", "sgdw"), count=3, spread=0.05)
    (block,) = split(made_up_frame(rows, TRIALS))
    noise = noise_of(block)
    assert (noise.replicates, noise.obstacle) == (3, "")
    whole = landscape(block, maps(block)[0], noise)
    parts = [landscape(one, maps(one)[0], noise_of(one)) for one in replicates(block).values()]
    assert whole.by_replicate == pytest.approx(np.stack([one.log_error for one in parts]))
    assert whole.log_error == pytest.approx(np.mean([one.log_error for one in parts], axis=0))
    assert whole.zero == pytest.approx(np.mean([one.zero for one in parts], axis=0))
    assert (whole.units == 3).all()
    # Noise of a cell's mean over five seeds, without what a split does to all cells: 5 % uniform is sd 0.05 / sqrt(3).
    assert noise.sd == pytest.approx(0.05 / math.sqrt(3) / math.sqrt(5), rel=0.3)
    assert np.cov(whole.drawn().reshape(1000, -1).T)[0, 0] == pytest.approx(
        whole.by_replicate[:, 0, 0].var(ddof=1) / 3, rel=0.15
    )


def _budgets(power: float, spread: float = 0.03, count: int = 4) -> list[Row]:
    """Raw and normalized searches whose best raw decay falls as epochs^-power, in so many replicates."""
    rows: list[Row] = []
    for epochs in (25, 100, 400):
        updates = 400 * epochs / 64

        def raw(optimizer: str, lr: float, wd: float, epochs: int = epochs) -> float:
            best = WDS[3] * (epochs / 100) ** -power
            return 3.0 * math.exp(0.05 * math.log2(lr / LRS[3]) ** 2 + 0.08 * math.log2(wd / best) ** 2)

        def normalized(optimizer: str, lr: float, wd: float, updates: float = updates, raw=raw) -> float:
            return raw(optimizer, lr, wd / math.sqrt(updates))

        wds = [wd * math.sqrt(400 * 100 / 64) for wd in WDS]
        for number in range(count):
            own = of_replicate(number)
            # Each budget has noise of its own, which made-up rows take from their seeds.
            own |= {name: [seed + 1000 * epochs for seed in own[name]] for name in ("search", "fresh")}
            own |= {"epochs": epochs, "settings": {"epochs": epochs}, "spread": spread, "lrs": LRS[2:5]}
            rows += study(raw, ("adamw",), **own)
            other = study(normalized, ("adamw",), wds=wds, wd_convention="normalized", **own)
            rows += [{**row, "wd_convention": "normalized"} for row in other]
    return rows


def test_the_best_raw_decay_falls_as_the_root_of_the_budget() -> None:
    claims = judged(_budgets(0.5))
    (claim,) = [c for c in claims if c.claim == "10"]
    assert claim.evidence is not None
    assert claim.evidence.value == pytest.approx(0.5, abs=0.1)
    assert claim.verdict == "confirmed"
    assert "0.5 (the paper)" in claim.remark
    assert verdict(claims, "best normalized decay is stable from 25 to 400") == "confirmed"
    assert verdict(claims, "Reusing a short run's best decay costs less when it is normalized") == "confirmed"


def test_a_raw_decay_that_does_not_move_refutes_what_follows_from_normalization() -> None:
    claims = judged(_budgets(0.0))
    (claim,) = [c for c in claims if c.claim == "10"]
    assert claim.verdict == "undecided"
    assert "0 (constant timescale)" in claim.remark
    assert verdict(claims, "best normalized decay is stable") == "refuted"
    assert verdict(claims, "Reusing a short run's best decay") == "refuted"


@pytest.mark.parametrize(("count", "why"), [(1, ONE_REPLICATE), (3, "3 common replicates; 4 are needed")])
def test_budgets_of_few_replicates_decide_nothing_about_optimizers(count: int, why: str) -> None:
    found = [c for c in judged(_budgets(0.5, count=count)) if c.number in (10, 11)]
    assert len(found) == 3
    for claim in found:
        assert (claim.verdict, claim.why) == ("undecided", why)
        assert claim.evidence is not None
    assert found[0].evidence is not None
    assert found[0].evidence.value == pytest.approx(0.5, abs=0.1)


def test_the_optimum_lies_between_the_points_of_an_octave_grid() -> None:
    wd = np.arange(-3.0, 4.0)
    for truth in (-1.3, 0.0, 0.4, 2.2):
        assert lowest(wd, 0.1 * (wd - truth) ** 2) == pytest.approx(truth, abs=1e-9)
    assert lowest(wd, -wd) == 3.0
