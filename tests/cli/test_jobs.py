"""Jobs of a launcher that fail: each is named with its reason, and the others are waited for."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.cli.submitit_jobs import reason, together
from runner.execution.cluster.launch import ShardOutcome
from tests.damage import check_refused, check_went_on, command, process

TRACE = """Job (task=0) failed during processing with trace:
----------------------
Traceback (most recent call last):
  File "x.py", line 1, in <module>
hydra.errors.ConfigCompositionException: Could not override 'hydra.launcher.mem_gb'.
----------------------
You can check full logs with 'job.stderr(0)'"""


def test_the_reason_is_the_exception_of_a_traceback_or_what_is_said_first() -> None:
    assert reason(RuntimeError(TRACE)).startswith("hydra.errors.ConfigCompositionException: Could not override")
    assert reason(RuntimeError("Job 7 has no output\n(state: NODE_FAIL)\n and more")) == (
        "RuntimeError: Job 7 has no output (state: NODE_FAIL)"
    )
    assert reason(RuntimeError("")) == "RuntimeError:"


def test_what_one_task_left_to_another_is_not_late() -> None:
    tasks = [ShardOutcome(late=4), ShardOutcome(late=1, problem="a"), ShardOutcome(problem="a")]
    assert together(tasks) == ShardOutcome(0, "a")


WORDS = "-m optimizer=adam,adamw seed=0,1 epochs=1 model.width=4 dataset.train=40 study=s".split()


@pytest.mark.campaign
def test_every_job_is_waited_for_though_the_first_has_died(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the cluster extra")
    # The first job that begins is killed when its Python starts.
    (tmp_path / "sitecustomize.py").write_text(
        "import os\n"
        "if os.environ.get('SUBMITIT_EXECUTOR') == 'local' and os.environ.get('SUBMITIT_LOCAL_JOB_ID'):\n"
        "    try: os.close(os.open('died', os.O_CREAT | os.O_EXCL))\n"
        "    except FileExistsError: pass\n"
        "    else: os._exit(1)\n"
    )
    root = str(Path(__file__).parents[2])
    words = ["hydra/launcher=submitit_local", "hydra.launcher.cpus_per_task=1", "shards=2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{tmp_path}:{root}")
        said = process(tmp_path, *WORDS, *words)
    assert (tmp_path / "died").exists(), said.text
    assert said.code == 1, said.text
    assert said.out.count("/2: job ") == 1
    assert "2 of 4 search trials without a row" in said.out
    check_went_on(command(tmp_path, *WORDS, "workers=1"))  # without a launcher, whose jobs each import everything
    assert (tmp_path / "results" / "s" / "trials.csv").read_text().count("\n") == 5


def test_a_job_that_would_be_told_to_end_as_it_begins_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the cluster extra")
    said = command(tmp_path, *WORDS, "hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=2")
    assert said.err.count("\n") == 1
    check_refused(said, "hydra.launcher.timeout_min=2: a job is told to end hydra.launcher.signal_delay_s=120 seconds")
