"""Which arm is easier to tune is judged by replicate, in windows that are alike, and never by the window."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from runner.claims.claim import OTHERWISE, Claim, decided, in_all_windows
from runner.claims.evidence import below
from runner.claims.few import ONE_REPLICATE
from tests.claims.made_up import LRS, WDS, Row, judged
from tests.report.studies import noise, trial

STEEP, SHALLOW = 0.2, 0.05  # how fast the error grows per squared octave away from the best cell


def rows(
    steepness: dict[str, float],
    replicates: int = 4,
    wds: dict[str, Sequence[float]] | None = None,
    seeds: int = 2,
    moved: float = 0.0,
) -> list[Row]:
    """A search of 7 x 7 cells of each optimizer with a best error of 5 in the middle, or `moved` octaves of lr off."""
    made = []
    for optimizer, steep in steepness.items():
        for number in range(replicates):
            for seed in range(number * 1_000_000, number * 1_000_000 + seeds):
                for lr in LRS:
                    for wd in (wds or {}).get(optimizer, WDS):
                        far = (math.log2(lr / LRS[3]) - moved) ** 2 + math.log2(wd / WDS[3]) ** 2
                        error = 5 * (1 + steep * far) * (1 + 0.05 * noise(optimizer, lr, wd, seed))
                        convention = "paper" if optimizer.endswith("w") else "l2"
                        more = {"wd_convention": convention, "error": error, "replicate": number}
                        made.append(trial(optimizer, lr, wd, seed, **more))
    return made


def claim_of(made: Sequence[Row], claim: str = "25") -> Claim:
    (found,) = [one for one in judged(made) if one.claim == claim]
    return found


@pytest.mark.parametrize(
    ("adam", "adamw", "expected"),
    [(STEEP, SHALLOW, "confirmed"), (SHALLOW, STEEP, "refuted"), (STEEP, STEEP, "undecided")],
)
def test_the_arm_whose_error_grows_slower_is_easier_to_tune(adam: float, adamw: float, expected: str) -> None:
    found = claim_of(rows({"adam": adam, "adamw": adamw}))
    assert found.verdict == expected
    assert found.name == "AdamW is easier to tune than Adam + L2"
    assert found.figure == "not in the paper (Dodge et al. 2019)"
    assert found.evidence is not None
    assert found.evidence.n == 4
    # Both windows lie around the best cell already.
    size = number_after(found.remark, "each arm's best: ")
    assert size == pytest.approx(found.evidence.value, abs=0.006)


def number_after(text: str, words: str) -> float:
    return float(text.partition(words)[2].partition(";")[0])


def test_the_value_is_the_mean_over_octaves_of_the_budget() -> None:
    """Two cells of the same error 5 and 9 by each arm's validation: k = 1 has the mean, k = 2 the smaller."""
    made = []
    for number, shift in enumerate((0.0, 0.2, 0.4, 0.6)):
        for optimizer, errors in (("adam", (5.0, 9.0)), ("adamw", (4.0, 6.0))):
            for wd, error in zip(WDS[3:5], errors, strict=True):
                error += shift if optimizer == "adam" else 0
                made.append(trial(optimizer, 0.01, wd, number, error=error, replicate=number))
    found = claim_of(made)
    assert found.evidence is not None
    by_replicate = [((5.0 - 7 - s) + (4 - 5 - s)) / 2 for s in (0.0, 0.2, 0.4, 0.6)]
    assert found.evidence.value == pytest.approx(np.mean(by_replicate))
    assert "for k = 1: -2.30" in found.remark


def test_sgd_is_a_variant_of_the_claim() -> None:
    found = claim_of(rows({"sgd": STEEP, "sgdw": SHALLOW}), "25 (SGD)")
    assert (found.verdict, found.name) == ("confirmed", "SGDW is easier to tune than SGD + L2")


def test_one_replicate_decides_nothing_and_shows_its_band() -> None:
    found = claim_of(rows({"adam": STEEP, "adamw": SHALLOW}, replicates=1))
    assert (found.verdict, found.why) == ("undecided", ONE_REPLICATE)
    assert found.evidence is not None
    assert found.evidence.low < found.evidence.value < found.evidence.high


def test_few_replicates_are_too_few() -> None:
    found = claim_of(rows({"adam": STEEP, "adamw": SHALLOW}, replicates=3))
    assert (found.verdict, found.why) == ("undecided", "3 common replicates; 4 are needed")


def test_windows_of_different_size_decide_nothing() -> None:
    """The same valley in a window of twice the octaves looks harder to find."""
    wide = [wd * 2.0 ** (k - 3) for k, wd in enumerate(sorted(WDS))]  # steps of two octaves around the same middle
    found = claim_of(rows({"adam": STEEP, "adamw": STEEP}, wds={"adam": wide}))
    assert found.evidence is not None
    assert found.evidence.high < 0
    assert (found.verdict, found.why) == (
        "undecided",
        "the searches' windows differ (octaves of wd: AdamW 6, Adam + L2 12)",
    )
    assert abs(number_after(found.remark, "each arm's best: ")) < 0.3 * abs(found.evidence.value)


def test_a_sign_that_the_place_of_the_window_makes_is_no_verdict() -> None:
    """AdamW's valley is as steep, but its best lies in a corner of the same window, far from many of its cells."""
    beside = {"adam": [WDS[3] * 2.0**k for k in range(-3, 4)], "adamw": [WDS[3] * 2.0**k for k in range(-5, 2)]}
    found = claim_of(rows({"adam": STEEP, "adamw": 0.9 * STEEP}, wds=beside))
    assert found.evidence is not None
    assert found.evidence.low > 0
    assert (found.verdict, found.why) == ("undecided", OTHERWISE)


def test_other_windows_have_noise_of_their_own() -> None:
    """One whose sign is by chance neither forbids a verdict that its noise would, nor allows one that it does not."""
    values = np.array([[-1.0, -1.1, -0.9, -1.05], [-0.9, 0.3, -0.8, 0.6]])
    own, other = below(values[0]), below(values[1])
    assert own is not None
    assert other is not None
    assert other.value < 0
    (claim,) = decided([in_all_windows(Claim("easier-to-tune", "made up", "", None, ()), own, [other])])
    assert (claim.verdict, claim.why) == ("undecided", OTHERWISE)
    assert claim.evidence is not None
    assert claim.evidence.against_null == other.against_null
    assert claim.evidence.value == own.value


def test_a_best_cell_on_the_edge_decides_nothing() -> None:
    found = claim_of(rows({"adam": STEEP, "adamw": SHALLOW}, moved=3.0))
    assert found.verdict == "undecided"
    assert "on its grid's edge" in found.why


def test_a_single_cell_of_each_arm_is_no_search() -> None:
    made = [row for row in rows({"adam": STEEP, "adamw": SHALLOW}) if row["lr"] == LRS[3] and row["wd"] == WDS[3]]
    assert not [claim for claim in judged(made) if claim.number == 25]


def test_one_seed_reports_itself_and_says_so() -> None:
    found = claim_of(rows({"adam": STEEP, "adamw": SHALLOW}, seeds=1))
    assert found.verdict == "confirmed"
    assert "with one seed the chosen run reports itself" in found.remark
