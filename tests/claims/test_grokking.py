"""Whether decay generalizes from less data is judged by signs over replicates, each way."""

from __future__ import annotations

import pytest
from scipy import stats

from runner.analysis.protocol import Protocol
from tests.claims.made_up import Row, judged, verdict
from tests.report.studies import noise, trial


def _modular(least: dict[str, float], count: int = 6) -> list[Row]:
    """Replicates over training fractions; each arm learns the rest from its own smallest fraction on."""
    rows: list[Row] = []
    for fraction in (0.3, 0.4, 0.6):
        settings = {"dataset": "modular", "model": "transformer", "dataset.fraction": fraction}
        for optimizer, wd, kind in (("adam", 0.0, "plain"), ("adam", 1e-3, "l2"), ("adamw", 1.0, "adamw")):
            for number in range(count):
                error = 0.0 if fraction >= least[kind] else 60 + noise(number)
                seed = number * 1_000_000
                rows.append(trial(optimizer, 3e-3, wd, seed, error=error, settings=settings, replicate=number))
    return rows


def test_grokking_from_less_data() -> None:
    claims = judged(_modular({"plain": 0.6, "l2": 0.4, "adamw": 0.3}, count=8))
    assert verdict(claims, "AdamW generalizes from less data than Adam without decay") == "confirmed"
    assert verdict(claims, "Adam + L2 generalizes from less data") == "confirmed"
    claims = judged(_modular({"plain": 0.3, "l2": 0.4, "adamw": 0.6}, count=8))
    assert verdict(claims, "AdamW generalizes from less data") == "refuted"
    claims = judged(_modular({"plain": 0.9, "l2": 0.9, "adamw": 0.9}, count=8))
    (claim,) = [c for c in claims if c.name.startswith("AdamW generalizes")]
    assert (claim.verdict, claim.why) == ("undecided", "neither reached it at any fraction")


def test_a_fraction_that_was_never_enough_is_larger_than_all_that_were() -> None:
    """It gets no number of its own: all that is known is that it is larger."""
    (claim, same) = [c for c in judged(_modular({"plain": 0.9, "l2": 0.9, "adamw": 0.6})) if c.claim == "22"]
    assert claim.verdict == "confirmed"
    assert claim.evidence is not None
    assert claim.evidence.value == 1
    assert claim.evidence.against_null == pytest.approx(2.0**-6)
    assert claim.remark == "medians 0.60 and more than 0.60; never reached: 0 of 6 and 6 of 6"
    assert (same.verdict, same.why) == ("undecided", "neither reached it at any fraction")


def test_replicates_are_pairs_because_they_share_their_split() -> None:
    """In each AdamW needs one fraction less; what it needs itself differs, which blurred the ranks of both together."""
    rows = []
    for kind, (plain, adamw) in enumerate(((0.4, 0.3), (0.6, 0.4))):
        made = _modular({"plain": plain, "l2": plain, "adamw": adamw}, count=8)
        rows += [row for row in made if int(str(row["replicate"])) % 2 == kind]
    (claim, same) = [c for c in judged(rows) if c.claim == "22"]
    assert claim.evidence is not None
    assert (claim.verdict, claim.evidence.value, claim.evidence.n) == ("confirmed", 1.0, 8)
    assert claim.evidence.against_null == pytest.approx(stats.binomtest(8, 8, alternative="greater").pvalue)
    assert same.evidence is None
    assert same.why == "0 of 8 replicates differ: no exact test of so few reaches 2.5 %; 6 are needed"


def test_grokking_is_judged_where_one_could_look_too() -> None:
    """By the test martingale of signs: of eight alike its e-value is 57, of seven 32, where 40 are needed."""
    for count, verdict_ in ((7, "undecided"), (8, "confirmed")):
        rows = _modular({"plain": 0.6, "l2": 0.6, "adamw": 0.3}, count=count)
        protocol = Protocol(0, looks=True, primary="less-data")
        (claim, _) = [c for c in judged(rows, protocol=protocol) if c.claim == "22"]
        assert claim.evidence is not None
        assert (claim.verdict, claim.evidence.value) == (verdict_, 1.0)
        assert (claim.evidence.low > 0.5) == (verdict_ == "confirmed")


def test_grokking_in_three_replicates_is_not_judged_and_in_one_is_none_of_optimizers() -> None:
    (few, _) = [c for c in judged(_modular({"plain": 0.6, "l2": 0.4, "adamw": 0.3}, count=3)) if c.claim == "22"]
    words = "3 of 3 replicates differ: no exact test of so few reaches 2.5 %; 6 are needed"
    assert (few.verdict, few.why) == ("undecided", words)
    (one, _) = [c for c in judged(_modular({"plain": 0.6, "l2": 0.4, "adamw": 0.3}, count=1)) if c.claim == "22"]
    assert "one replicate decides nothing" in one.why
