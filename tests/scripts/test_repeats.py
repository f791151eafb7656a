"""Claims about the repetitions of a study: each is judged as if it were the whole study, and none is left out."""

from __future__ import annotations

import pandas as pd
import pytest

from runner.analysis.blocks import split
from runner.analysis.primary import primary
from runner.analysis.protocol import Protocol
from runner.analysis.results import results
from runner.errors import UserError
from scripts.repeats import repeats
from tests.analysis.test_results import with_finals
from tests.analysis.test_select import frame
from tests.report.studies import replicated

PROTOCOL = Protocol(4)


def study() -> pd.DataFrame:
    return frame(replicated(with_finals(-0.5, 0.6, seeds=range(100, 109))))


def test_each_run_is_judged_as_if_it_were_the_whole_study() -> None:
    trials = study()
    found = repeats(trials, 4, PROTOCOL)
    assert list(found["run"]) == [1, 2]
    assert list(found["replicates"]) == ["0-3", "4-7"]  # the ninth replicate begins a run that is not there
    for row, first in zip(found.to_dict("records"), (0, 4), strict=True):
        (block,) = split(trials[trials["replicate"].isin(range(first, first + 4))])
        main = primary(results(block, "", PROTOCOL).arms)
        assert main is not None
        assert main.difference is not None
        assert (row["verdict"], row["arm"]) == (main.verdict, "AdamW")
        assert row["difference"] == main.difference.difference.mean
    assert found["difference"].nunique() == 2


def test_replicates_that_are_no_two_runs_are_refused() -> None:
    for size in (0, -1, 5, 9, 100):
        with pytest.raises(UserError, match=f"no two runs of {size}"):
            repeats(study(), size, PROTOCOL)
