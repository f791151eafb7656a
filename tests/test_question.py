"""Claims about what a study asks: its first command lays it down; what is asked afterwards is called exploratory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from runner.config.settings import SEEDS_APART
from runner.finalists import FRESH
from runner.training import train
from runner.trials.trial import Trial
from tests.damage import Said, command

SMALL = ("model.width=4", "dataset.train=60", "dataset.test=1500", "study=s", "workers=1", "exact=true", "epochs=3")
ARMS = ("-m", "optimizer=adam,adamw", "lr=0.01", *SMALL)


def done(said: Said) -> str:
    assert said.code == 0, said.text
    return " ".join(said.out.split())


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beside Adam without decay, AdamW and an L2 with decays that leave nothing of a weight."""
    folder = tmp_path_factory.mktemp("asked")
    done(command(folder, *ARMS, "wd=0,50", "replicates=6", "reference=adam"))
    return folder


def references(folder: Path) -> set[str]:
    """The arms that others are compared with in the table."""
    return set(pd.read_csv(folder / "results" / "s" / "generalization.csv")["reference"].dropna())


def test_a_report_compares_with_what_the_first_command_named(asked: Path) -> None:
    said = done(command(asked, "results/s", module="runner.report"))
    assert references(asked) == {"Adam, no decay"}
    assert "AdamW generalizes worse than Adam, no decay" in said
    assert "Exploratory" not in said


def test_beside_another_reference_a_verdict_is_called_exploratory_everywhere(asked: Path) -> None:
    said = done(command(asked, "results/s", "--reference", "no decay", module="runner.report"))
    assert "Exploratory" not in said  # the same arm by another of its names
    said = done(command(asked, "results/s", "--reference", "l2", module="runner.report"))
    assert "Exploratory, for the study asks for AdamW against Adam, no decay" in said
    text = (asked / "results" / "s" / "generalization.md").read_text()
    assert "The study asks for AdamW against Adam, no decay, so these are exploratory." in text
    assert "(exploratory)" in text


def test_auto_does_not_go_on_for_another_question(asked: Path) -> None:
    auto = (*ARMS, "wd=0,50", "replicates=auto", "max_replicates=8")
    said = command(asked, *auto, "reference=l2")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "reference=l2: the study's first command has laid down reference='adam', which holds" in said.err
    said = command(asked, *auto, "primary=best-cell")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "already done" in done(command(asked, *auto, "reference=no decay"))  # the same arm by another of its names
    assert "already done" in done(command(asked, *auto))


def test_replicates_of_two_splits_that_would_share_splits_are_refused_in_one_line(tmp_path: Path) -> None:
    said = command(tmp_path, *ARMS, "wd=0.1", "dataset.split=0,1", "replicates=4")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "dataset.split=0,1: each has 4 replicates" in said.err
    assert not (tmp_path / "results").exists()
    said = command(tmp_path, *ARMS, "wd=0.1", "dataset.split=0,100,102", "replicates=4")
    assert "dataset.split=100,102: each has 4 replicates" in said.err
    for apart in (("dataset.split=0,4", "replicates=4"), ("dataset.split=0,1",)):
        done(command(tmp_path, *ARMS, "wd=0.1", *apart, "dry_run=true"))


def test_replicates_that_would_share_splits_with_those_of_another_command_are_refused(asked: Path) -> None:
    begun = 1 + max(pd.read_csv(asked / "results" / "s" / "trials.csv")["replicate"])
    said = command(asked, *ARMS, "wd=0,50", f"dataset.split={begun - 1}", "replicates=2")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert f"dataset.split={begun - 1}: its 2 replicates take that and the next ones" in said.err
    assert f"has {begun} that begin at split 0" in said.err
    for apart in ((f"dataset.split={begun}", "replicates=2"), ("dataset.split=1",)):  # one replicate gets no verdict
        done(command(asked, *ARMS, "wd=0,50", *apart, "dry_run=true"))


def fresh_runs_fail() -> None:
    """Every trial of AdamW with a fresh seed fails."""
    whole = train.train

    def failing(stack: Sequence[Trial], *arguments: Any, **named: Any) -> Iterator[Any]:
        if any(one.optimizer.name == "adamw" and one.seed % SEEDS_APART >= FRESH for one in stack):
            raise RuntimeError("fails")
        return whole(stack, *arguments, **named)

    train.train = failing


@pytest.mark.parametrize("count", ["replicates=4", "replicates=auto"])
def test_fresh_runs_that_fail_are_no_result_and_the_command_says_so_with_its_status(tmp_path: Path, count: str) -> None:
    """Each arm has one cell, so its search runs would be a result if no fresh ones had been asked for."""
    arms = ("-m", "optimizer=adam,adamw", "lr=0.01", "wd=1", *SMALL, count, "max_replicates=5", "final_seeds=1")
    said = command(tmp_path, *arms, before=fresh_runs_fail)
    assert said.code == 1
    runs = 4 if count == "replicates=4" else 5
    assert f"{runs} of {4 * runs} trials failed" in said.out
    assert "the fresh runs of AdamW failed" in " ".join(said.out.split())
    assert "no fresh seeds" not in said.out
