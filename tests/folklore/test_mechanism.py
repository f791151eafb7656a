"""Statements about what decay does to the weights, and about memory: each comes out either way."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from runner.errors import UserError
from runner.folklore import mechanism, memory
from runner.folklore.judge import verdicts
from runner.folklore.page import costs, markdown
from runner.folklore.studies import COMMANDS, Study, read_all
from runner.folklore.verdict import FALSE, NOT_MEASURED, OPEN, PARTLY, TRUE
from tests.claims.made_up import Row
from tests.claims.made_up import study as one_study
from tests.claims.test_map_shape import both, replicated
from tests.folklore.made_up import made, studies
from tests.report.studies import in_replicate, noise, trial


def _followed(correlation: float, cv: float, late: float, wide: float = 0.02, count: int = 6) -> Study:
    """Trials whose L2 removes `late` times as much of a weight at the end as at first, give or take `wide`."""
    rows: list[Row] = []
    lines: list[Row] = []
    for replicate in range(count):
        for optimizer, convention in (("adam", "l2"), ("adamw", "paper")):
            changes = {"wd_convention": convention, "schedule": "constant", "settings": {"schedule": "constant"}}
            row = in_replicate(trial(optimizer, 0.01, 0.02, 0, **changes), replicate)
            rows.append(row)
            for epoch in range(1, 17):
                spot = wide * noise(replicate, optimizer)
                decay = 0.01 * (late * (1 + spot) if epoch > 8 else 1.0)
                own = {"decay_cv": cv} if optimizer == "adamw" else {"decay_rank_correlation": correlation + spot}
                line = {"trial": row["trial"], "epoch": epoch, "step": 7 * epoch, "layer": "all", "kind": "all"}
                lines.append({**line, **own, **{f"decay_{k}": decay for k in range(1, 6)}})
    return made(rows, lines)


@pytest.mark.parametrize(
    ("correlation", "cv", "wide", "expected"),
    [(-0.6, 1e-16, 0.02, TRUE), (0.4, 0.3, 0.02, FALSE), (-0.6, 0.3, 0.02, PARTLY), (-0.1, 0.3, 0.9, OPEN)],
)
def test_uneven_decay(correlation: float, cv: float, wide: float, expected: str) -> None:
    assert mechanism.uneven(studies(mechanism=_followed(correlation, cv, 1.0, wide))).verdict == expected


@pytest.mark.parametrize(
    ("late", "wide", "expected"), [(2.0, 0.02, TRUE), (1.0, 0.02, FALSE), (0.5, 0.02, FALSE), (1.1, 0.9, OPEN)]
)
def test_l2_weak_early_and_strong_late(late: float, wide: float, expected: str) -> None:
    found = mechanism.strong_late(studies(mechanism=_followed(-0.6, 1e-16, late, wide)))
    assert found.verdict == expected


def test_what_was_not_followed_is_not_measured_and_one_trial_decides_nothing() -> None:
    assert mechanism.uneven(studies()).verdict == NOT_MEASURED
    assert mechanism.strong_late(studies()).verdict == NOT_MEASURED
    alone = mechanism.strong_late(studies(mechanism=_followed(-0.6, 1e-16, 2.0, count=1)))
    assert alone.verdict == OPEN
    assert "4 are needed" in alone.value


@pytest.mark.parametrize(("l2", "adamw", "expected"), [(-0.9, 0.0, PARTLY), (0.0, -0.9, FALSE)])
def test_whether_the_rate_sets_the_strength_of_decay(l2: float, adamw: float, expected: str) -> None:
    (part,) = mechanism.of_maps("made up", made(replicated(both(l2, adamw), ("adam", "adamw"), spread=0.05)))
    assert part.word == expected


def test_maps_of_one_replicate_leave_it_open() -> None:
    (part,) = mechanism.of_maps("made up", made(one_study(both(-0.9, 0.0), spread=0.03)))
    assert (part.word, part.why) == (OPEN, "1 replicate; 4 are needed")


@pytest.mark.parametrize(
    ("shares", "expected"), [((0.9, 0.8), TRUE), ((0.9, 0.1), PARTLY), ((0.2, 0.1), FALSE), ((0.9,), TRUE)]
)
def test_what_lomo_saves(shares: tuple[float, ...], expected: str, tmp_path: Path) -> None:
    assert memory.lomo(tmp_path).verdict == NOT_MEASURED
    place = tmp_path / "lomo-cpu"
    place.mkdir()
    rows = [
        {"tokens": 4**k, "gradient_bytes": 100, "sgd_peak_bytes": 100, "saving_bytes": 200 * share}
        for k, share in enumerate(shares)
    ]
    pd.DataFrame(rows).to_csv(place / "bench.csv", index=False)
    assert memory.lomo(tmp_path).verdict == expected


@pytest.mark.parametrize("text", ["", "tokens\n4\n", "tokens,gradient_bytes,sgd_peak_bytes,saving_bytes\n4,1,nan,1\n"])
def test_a_damaged_bench_is_refused_in_a_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "lomo-cpu").mkdir()
    (tmp_path / "lomo-cpu" / "bench.csv").write_text(text)
    with pytest.raises(UserError, match="not the table of python scripts/bench lomo"):
        memory.lomo(tmp_path)


def test_a_folder_without_any_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no study here; python -m runner"):
        read_all(tmp_path)


def test_the_page_has_a_verdict_for_every_statement_and_the_commands(tmp_path: Path) -> None:
    from runner.folklore.judge import NAMES

    pd.DataFrame({"check": NAMES, "value": 1.0}).to_csv(tmp_path / "checks.csv", index=False)
    nothing = studies()
    found = verdicts(tmp_path, nothing)
    assert [one.number for one in found] == list(range(1, 22))
    steps = [
        {"seed": s, "way": w, "step": k, "loss": 1.0 + 0.1 * s * k}
        for s in range(3)
        for k in range(55, 75)
        for w in ("state restored", "state lost")
    ]
    text = markdown(found, costs(nothing, {}), pd.DataFrame(steps), {})
    assert "Not measured." in text
    assert "| again |" not in text
    second = markdown(found, costs(nothing, {}), pd.DataFrame(steps), {2: "false", 8: "partly true"})
    lines = [line for line in second.splitlines() if line.startswith("| ") and line.split()[1].isdigit()]
    assert [line.split(" | ")[-2] for line in lines] == [
        {2: "false", 8: "partly true"}.get(n, "–") for n in range(1, 22)
    ]
    assert all(command in text for command in COMMANDS.values())
