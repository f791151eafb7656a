"""Claims about the repetitions of a study: each is judged as if it were the whole study, and none is left out."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from runner.analysis.blocks import split
from runner.analysis.primary import primary
from runner.analysis.protocol import Protocol
from runner.analysis.results import results
from runner.errors import UserError
from runner.report.write import write_report
from scripts.repeats import claims_again, repeats, run_once
from tests.analysis.test_results import with_finals
from tests.analysis.test_select import frame
from tests.report.studies import replicated, write

PROTOCOL = Protocol(4)


def study() -> pd.DataFrame:
    return frame(replicated(with_finals(-0.5, 0.6, seeds=range(100, 109))))


def test_each_run_is_judged_as_if_it_were_the_whole_study() -> None:
    trials = study()
    found = repeats([trials], 4, PROTOCOL)
    assert list(found["run"]) == [1, 2]
    assert list(found["replicates"]) == ["0-3", "4-7"]  # the ninth replicate begins a run that is not there
    for row, first in zip(found.to_dict("records"), (0, 4), strict=True):
        (block,) = split(trials[trials["replicate"].isin(range(first, first + 4))])
        main = primary(results(block, "", PROTOCOL))
        assert main is not None
        assert main.difference is not None
        assert (row["verdict"], row["arm"]) == (main.verdict, "AdamW")
        assert row["difference"] == main.difference.difference.mean
    assert found["difference"].nunique() == 2


def test_a_study_of_its_own_may_be_the_second_run() -> None:
    trials = study()
    number = trials["replicate"]
    halves = [trials[number < 4], trials[number.between(4, 7)].assign(replicate=number - 4)]
    found = repeats(halves, 4, PROTOCOL)
    assert list(found["replicates"]) == ["0-3", "0-3"]
    assert list(found["difference"]) == list(repeats([trials], 4, PROTOCOL)["difference"])
    with pytest.raises(UserError, match="4 and 4 replicates are no two runs of 5"):
        repeats(halves, 5, PROTOCOL)


def test_replicates_that_are_no_two_runs_are_refused() -> None:
    for size in (0, -1, 5, 9, 100):
        with pytest.raises(UserError, match=f"no two runs of {size}"):
            repeats([study()], size, PROTOCOL)


def folder(path: Path, first: int, last: int, *asked: int) -> Path:
    """The study's replicates from `first` to `last`, and commands that asked for so many."""
    rows = replicated(with_finals(-0.5, 0.1, seeds=range(100, 109)))
    write(path, [row for row in rows if first <= int(str(row["replicate"])) <= last])
    (path / "study.yaml").write_text("".join(f"---\nsettings: [{{replicates: {count}}}]\n" for count in asked))
    return path


@pytest.mark.parametrize("asked", [(4, 9), (9,)])
def test_each_run_is_claimed_of_what_it_would_be_were_it_the_whole_study(
    asked: tuple[int, ...], tmp_path: Path
) -> None:
    found = claims_again([folder(tmp_path / "all", 0, 8, *asked)], 4)
    alone = folder(tmp_path / "alone", 0, 3, 4)
    write_report(alone)
    own = pd.read_csv(alone / "claims.csv", dtype={"claim": str})
    first = found[found["run"] == 1].reset_index(drop=True)
    for name in ("claim", "name", "scope", "verdict"):
        assert list(first[name]) == list(own[name])
    assert list(first["value"]) == pytest.approx(list(own["value"]), nan_ok=True)
    assert "confirmed" in set(first["verdict"])
    assert list(found.groupby("run")["replicates"].unique().map(list)) == [["0-3"], ["4-7"]]


def test_a_run_is_judged_by_the_level_that_the_first_command_has_laid_down(tmp_path: Path) -> None:
    """It was 0.05 whatever that said."""
    path = folder(tmp_path, 0, 8)
    (path / "study.yaml").write_text(
        "---\nsettings: [{replicates: 9, alpha: 0.01, equal_within: 2.0, final_seeds: 1}]\n"
    )
    assert run_once(path, 4, 2) == Protocol(
        4, alpha=0.01, equal_within=2.0, comparisons=2, final_seeds=1, all_fresh=True
    )


def test_a_study_of_which_nothing_was_laid_down_has_no_claims_to_repeat(tmp_path: Path) -> None:
    path = folder(tmp_path, 0, 8)
    (path / "study.yaml").unlink()
    with pytest.raises(UserError, match=r"has no study\.yaml"):
        claims_again([path], 4)


def test_a_study_that_compares_nothing_is_refused() -> None:
    trials = study()
    with pytest.raises(UserError, match="no two arms"):
        repeats([trials[trials["optimizer"] == "adamw"]], 4, PROTOCOL)
