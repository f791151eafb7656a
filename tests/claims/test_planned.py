"""Which claims a study will speak to is known before anything is trained, and a command says so of its primary one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runner.claims.listed import LISTED
from runner.claims.planned import spoken_to
from runner.finalists import blocks_of
from runner.records.read import read
from runner.trials.trial import Facts, expand, unique
from tests.claims.made_up import curves_of, judged, one_by_one
from tests.config.test_experiments import NAMES, composed
from tests.damage import check_refused, command
from tests.helpers import optimizer
from tests.test_replicates import done

SMALL = ("model.width=4", "dataset.train=20", "dataset.test=1700", "epochs=1", "workers=1", "study=s")
SGD = ("-m", "optimizer=sgd,sgdw", "lr=0.01,0.02", *SMALL)


def planned(name: str, family: str = "", diagnostics: bool = False) -> list[str]:
    """Of an experiment that has no rows yet, and whose optimizers are of another family where one is named."""
    trials = [trial for s in composed(name) for trial in expand(s, _facts(s.dataset.name))]
    if family:
        trials = [replace(t, optimizer=optimizer(family + "w" * t.optimizer.name.endswith("w"))) for t in trials]
    every = composed(name)[0].run.eval_every
    return spoken_to(blocks_of(None, unique(trials), planned=True, alone=False), diagnostics, every)


def _facts(name: str) -> Facts:
    return Facts(name, name, 10, 5000, 500, 900, 64)


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_will_speak_to_the_claim_that_it_is_for(name: str) -> None:
    run = composed(name)[0].run
    found = planned(name, diagnostics=run.diagnostics)
    if name == "paper/supp2":  # its second command adds the cosine that a long run at a fixed rate is compared with
        assert not found
    else:
        assert not run.primary or run.primary in found


def test_what_follows_layers_is_foreseen_where_layers_are_followed() -> None:
    assert "decay-by-gradient" in planned("mechanism", diagnostics=True)
    assert "decay-by-gradient" not in planned("mechanism")


def test_the_claims_that_are_foreseen_are_those_that_the_rows_are_judged_by() -> None:
    """The plan of a study of the same cells as its rows, whose errors are others."""

    def truth(optimizer: str, lr: float, wd: float) -> float:
        return 5.0 + lr + wd

    rows = one_by_one(truth, ("adam", "adamw", "sgd", "sgdw"))
    fresh = curves_of([row for row in rows if row["phase"] == "final"], lambda row, epoch: 5.0)
    for every in (1, 2):
        curves = [line for line in fresh if int(str(line["epoch"])) % every == 0]
        found = {claim.id for claim in judged(rows, curves)}
        assert found == set(spoken_to(_blocks(rows), False, every))
        assert {"best-cell", "best-cell-sgd", "adamw-rivals-sgdw", "easier-to-tune"} <= found
        assert ("ahead-late" in found) == (every == 1)  # ten evaluations in each half of 20 epochs


def _blocks(rows: list) -> list:
    from runner.analysis.blocks import split
    from tests.analysis.test_select import frame

    return split(frame(rows))


@pytest.mark.parametrize("family", ["adam", "sgd"])
@pytest.mark.parametrize("experiment", ["claims", "mechanism", "restarts", "scale_free"])
def test_no_study_speaks_to_a_claim_about_a_family_that_it_has_not(experiment: str, family: str) -> None:
    """So a command may be refused for lacking it."""
    found = planned(experiment, family, diagnostics=True)
    assert not [id for id in found if LISTED[id].family not in ("", family)]


@pytest.mark.parametrize("more", [(), ("dry_run=true",), ("replicates=4",)])
def test_a_primary_claim_about_optimizers_that_are_not_there_is_refused_before_training(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    """It was accepted without a word, and the study had no verdict on it."""
    said = check_refused(command(tmp_path, *SGD, "wd=0.1,0.2", "primary=best-cell", *more))
    assert "primary=best-cell: needs optimizer=adam or adamw, which results/s will not have" in said
    assert "it will speak to best-cell-sgd, " in said
    assert not (tmp_path / "results" / "s" / "trials.csv").exists()


def test_a_primary_claim_that_a_later_command_may_complete_is_told_before_training_and_judged_then(
    tmp_path: Path,
) -> None:
    half = ("-m", "optimizer=adam", "lr=0.01,0.02", "wd=0.1,0.2", "primary=best-cell", *SMALL)
    line = "primary=best-cell: results/s will not speak to it by this command"
    for more in (("dry_run=true",), ()):
        said = done(command(tmp_path, *half, *more))
        assert said.startswith(line), said
    assert line not in done(command(tmp_path, *half))
    page = tmp_path / "results" / "s" / "report.html"
    assert "that this study is for, best-cell, is" in page.read_text()
    assert "primary=" not in done(command(tmp_path, "-m", "optimizer=adamw", *half[2:]))
    assert "that this study is for: AdamW&#39;s best cell" in page.read_text()
    assert set(read(tmp_path / "results" / "s")["optimizer"]) == {"adam", "adamw"}


def test_what_a_later_command_lays_down_otherwise_is_told_at_the_command_in_one_line(tmp_path: Path) -> None:
    first = ("-m", "optimizer=adam,adamw", "lr=0.01,0.02", "wd=0.1", "alpha=0.1", *SMALL)
    assert "without effect" not in done(command(tmp_path, *first))
    late = ("alpha=0.2", "prior_g=4", "equal_within=3", "primary=best-cell")
    wanted = (
        "results/s: prior_g=4.0, alpha=0.2, equal_within=3.0, primary=best-cell: without effect; the study's first "
        "command has laid down prior_g=1.0, alpha=0.1, equal_within=5.0; no primary, and a claim that is named later "
        "is none; study=NAME begins another\n"
    )
    for more in (("dry_run=true",), (), ()):
        assert done(command(tmp_path, *first[:-6], *SMALL, *late, *more)).startswith(wanted)
    assert "without effect" not in done(command(tmp_path, *first))
    assert "without effect" not in done(command(tmp_path, *first, *late[1:], "fresh=true", "dry_run=true"))
