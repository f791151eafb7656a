"""Claims about curves, restarts, the mechanism, scale and grokking come out each way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import pytest
from scipy import stats

from runner.analysis.protocol import Protocol
from runner.claims.claim import Claim
from runner.claims.few import ONE_REPLICATE
from tests.claims.made_up import Row, judged, replicated, study, verdict
from tests.claims.test_best_cells import world
from tests.report.studies import in_replicate, noise, trial


def _curves(rows: list[Row], error: Callable[[Row, int], float], column: str = "val_error") -> list[Row]:
    return [
        {"trial": row["trial"], "epoch": epoch, "step": 7 * epoch, "val_error": 1.0, column: error(row, epoch)}
        for row in rows
        for epoch in range(1, int(str(row["epochs"])) + 1)
    ]


def _late(early: float, late: float, points: Iterable[int] = range(1, 21)) -> list[Claim]:
    """Claim 14 on eight replicates whose curves differ by so many points in each half."""
    rows = replicated(world(adam=5.0, adamw=4.0, plain=6.0), spread=0.02)

    def error(row: Row, epoch: int) -> float:
        gap = early if epoch <= 10 else late
        return 20 - 0.2 * epoch + (gap if row["optimizer"] == "adamw" else 0) + 0.05 * noise(row["trial"], epoch)

    curves = _curves([row for row in rows if row["phase"] == "final"], error)
    return [c for c in judged(rows, [row for row in curves if row["epoch"] in points]) if c.claim == "14"]


@pytest.mark.parametrize(("early", "late", "expected"), [(0.0, -1.0, "confirmed"), (4.0, 2.0, "refuted")])
def test_late_separation(early: float, late: float, expected: str) -> None:
    alike, ahead = _late(early, late)
    assert (alike.verdict, ahead.verdict) == (expected, expected)
    assert ahead.evidence is not None
    assert ahead.evidence.n == 8  # replicates, each with six fresh seeds
    # In percent of the other's mean over the half, which is 16.9.
    assert ahead.evidence.value == pytest.approx(100 * late / 16.9, rel=0.02)


def test_a_few_points_of_a_curve_are_no_halves() -> None:
    found = _late(0.0, -1.0, range(2, 21, 2))
    assert [claim.verdict for claim in found] == ["undecided"] * 2
    assert all("evaluations in a half of the run: 5; 10 are needed" in claim.why for claim in found)


def test_curves_of_one_replicate_decide_nothing_about_optimizers() -> None:
    rows = study(world(adam=5.0, adamw=4.0, plain=6.0), spread=0.02)
    curves = _curves([row for row in rows if row["phase"] == "final"], lambda row, epoch: 9.0)
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
            line = _curves([row], lambda row, epoch, ahead=ahead: 20 - ahead + 0.05 * noise(row["trial"], epoch))
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


def _with_restarts(first: float, last: float, count: int = 6) -> tuple[list[Row], list[Row], list[Row]]:
    """Replicates of AdamW with and without restarts: errors after the first and last cycle of AdamWR, the
    former higher by one in every other replicate; AdamW's falls from 20.5 by one each epoch."""
    rows: list[Row] = []
    for schedule in ("cosine", "restarts"):
        for seed in range(2 * count):
            changes = {"wd_convention": "normalized", "schedule": schedule, "settings": {"schedule": schedule}}
            rows.append(trial("adamw", 0.01, 0.1, seed, replicate=seed // 2, **changes))
    curves = _curves([r for r in rows if r["schedule"] == "cosine"], lambda row, epoch: 20.5 - epoch, "test_error")
    cycles: list[Row] = [
        {"trial": row["trial"], "cycle": cycle, "epoch": epoch, "test_error": error + 0.01 * noise(row["trial"], cycle)}
        for row in rows
        if row["schedule"] == "restarts"
        for cycle, epoch, error in ((1, 4, first + int(str(row["replicate"])) % 2), (2, 12, last))
    ]
    return rows, curves, cycles


def _restarted(*errors: float, **more: int) -> list[Claim]:
    return [c for c in judged(*_with_restarts(*errors, **more)) if c.claim == "15"]


def test_restarts_help_early_and_end_alike() -> None:
    sooner, end = _restarted(5.0, 0.5)
    assert (sooner.verdict, end.verdict) == ("confirmed", "confirmed")
    assert sooner.evidence is not None
    # AdamW has 5 % after 16 epochs and 6 % after 15, AdamWR after 4, and later than after 20 it cannot be.
    assert sooner.evidence.value == pytest.approx((math.log2(16 / 4) + math.log2(15 / 4)) / 2 / math.log2(5))
    assert sooner.evidence.n == 6
    assert sooner.remark == "the ceiling is 5.0 times the first cycle"
    sooner, end = _restarted(18.0, 3.0)
    assert (sooner.verdict, end.verdict) == ("refuted", "refuted")


def test_an_error_that_is_never_reached_is_the_ceiling_and_a_better_end_is_as_good() -> None:
    sooner, end = _restarted(0.1, 0.4)
    assert end.verdict == "confirmed"
    assert sooner.evidence is not None
    assert end.evidence is not None
    assert sooner.evidence.value == 1
    assert end.evidence.value == pytest.approx(-20, abs=2)  # 0.4 in place of 0.5, in percent of that


def test_what_the_paper_has_of_restarts_is_relative_too() -> None:
    sooner, end = _restarted(5.0, 0.5)
    assert sooner.paper_value.startswith("0.80 ")  # log2(10) of log2(18)
    assert end.paper_value.startswith("+5.4 %")  # 3.3 and 3.13 %


def _diverged(rows: list[Row], schedule: str) -> list[Row]:
    """The rows with the first run of each replicate under this schedule diverged."""
    chance = {"status": "diverged", "val_error": 90.0, "test_error": 90.0}
    return [row | chance if row["schedule"] == schedule and int(str(row["seed"])) % 2 == 0 else row for row in rows]


def test_restarts_that_diverge_count_at_chance_whenever_they_do() -> None:
    """In the first cycle they left no trace at all, later that of the cycle before."""
    rows, curves, cycles = _with_restarts(5.0, 0.5)
    rows = _diverged(rows, "restarts")
    lost = {row["trial"] for row in rows if row["status"] == "diverged"}
    for last in (0, 1):
        kept = [row for row in cycles if row["trial"] not in lost or int(str(row["cycle"])) <= last]
        sooner, end = [c for c in judged(rows, curves, kept) if c.claim == "15"]
        assert (sooner.verdict, end.verdict) == ("confirmed" if last else "refuted", "refuted")
        assert end.evidence is not None
        assert end.evidence.value == pytest.approx(100 * ((90 + 0.5) / 2 / 0.5 - 1), rel=0.01)


def test_a_run_without_restarts_that_diverges_never_reaches_the_error() -> None:
    """Its length was that at which it died, and its end the error of the epoch before."""
    rows, curves, cycles = _with_restarts(5.0, 0.5)
    rows = _diverged(rows, "cosine")
    lost = {row["trial"] for row in rows if row["status"] == "diverged"}
    curves = [row for row in curves if row["trial"] not in lost or int(str(row["epoch"])) <= 8]
    sooner, end = [c for c in judged(rows, curves, cycles) if c.claim == "15"]
    assert sooner.evidence is not None
    assert end.evidence is not None
    reached = (math.log2(16 / 4) + math.log2(15 / 4)) / 2 / math.log2(5)
    assert sooner.evidence.value == pytest.approx((1 + reached) / 2)
    assert end.verdict == "confirmed"
    assert end.evidence.value == pytest.approx(100 * (0.5 / ((90 + 0.5) / 2) - 1), abs=0.1)


def test_a_first_cycle_that_is_the_whole_run_is_no_restart() -> None:
    rows, curves, cycles = _with_restarts(5.0, 0.5)
    whole = [row | {"epoch": 20} for row in cycles if row["cycle"] == 1]
    for claim in judged(rows, curves, whole):
        if claim.claim == "15":
            assert (claim.verdict, claim.why) == ("undecided", "the first cycle is the whole run")


def test_four_replicates_are_enough_for_a_t_test_as_they_are_between_best_cells() -> None:
    for claim in _restarted(5.0, 0.5, count=3):
        assert claim.verdict == "undecided"
        assert claim.why == "3 common replicates; 4 are needed"
    assert [claim.verdict for claim in _restarted(5.0, 0.5, count=4)] == ["confirmed", "confirmed"]


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
