"""Sweeps on a real Slurm of two nodes, made on this machine: every row once, though a node dies half-way.

Skipped where Slurm is not installed; `scripts/slurm/cluster.sh install` does that on Debian, as root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from runner.records import read

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "scripts" / "slurm" / "cluster.sh"
LACKING = [name for name in ("slurmctld", "slurmd", "sbatch", "munged") if not shutil.which(name)]
pytestmark = pytest.mark.skipif(bool(LACKING), reason=f"Slurm is not installed here (no {', '.join(LACKING)})")
pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the cluster extra")

# 24 trials in 4 shards of 6, each shard 3 stacks of 2 on one core.
SWEEP = (
    "-m optimizer=adam,adamw lr=1e-3,1e-2 wd=1e-2,0.1 seed=0,1,2 stack=2 model.width=4 dataset.train=100 eval_every=5 "
    "hydra/launcher=submitit_slurm shards=4 hydra.launcher.cpus_per_task=1 hydra.launcher.timeout_min=10"
).split()
PATIENCE = 240.0  # seconds; a busy machine takes long to import torch four times


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run([CLUSTER, "start", folder], capture_output=True, text=True, timeout=120)
    assert started.returncode == 0, started.stderr
    yield folder
    subprocess.run([CLUSTER, "stop", folder], check=True)


def environment(cluster: Path) -> dict[str, str]:
    """What `. DIR/env` sets, and the checkout on the path of the jobs."""
    path = f"{cluster / 'bin'}:{os.environ['PATH']}"
    return os.environ | {"SLURM_CONF": str(cluster / "slurm.conf"), "PATH": path, "PYTHONPATH": str(ROOT)}


def start(cluster: Path, cwd: Path, *more: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "runner", *SWEEP, *more]
    return subprocess.Popen(
        words, cwd=cwd, env=environment(cluster), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def until(done: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, "nothing happened in time"
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)


def rows(folder: Path) -> int:
    try:
        return (folder / "trials.csv").read_bytes().count(b"\n") - 1
    except OSError:
        return 0


def report(folder: Path) -> str:
    done = subprocess.run([sys.executable, "-m", "runner.report", folder], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shards(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / ".state" / "shards.csv")


def test_four_jobs_on_two_nodes_train_every_trial_once_and_the_winners_after(cluster: Path, tmp_path: Path) -> None:
    process = start(cluster, tmp_path, "epochs=5", "final_seeds=2")
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    assert "24 search trials in 4 shards" in said
    folder = tmp_path / "results" / "digits-resnet"
    frame = read(folder)
    assert frame["trial"].is_unique
    assert frame["phase"].value_counts().to_dict() == {"search": 24, "final": 4}
    assert (frame["status"] == "ok").all()
    assert sorted(shards(folder).groupby(["phase", "shard"]).size()) == [1, 1, 1, 1, 6, 6, 6, 6]
    assert "Partial" not in report(folder)
    assert {path.name for path in tmp_path.iterdir()} == {"results"}


def test_what_is_lost_with_a_node_is_trained_by_the_same_command_once(cluster: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "digits-resnet"
    process = start(cluster, tmp_path, "epochs=50")
    until(lambda: rows(folder) >= 4, process)
    subprocess.run([CLUSTER, "kill", cluster, "n2"], check=True)
    partial = report(folder)
    assert process.poll() is None  # jobs still run, or Slurm has not noticed yet
    assert "of 24 planned trials have a row" in partial
    assert "Partial: " in partial
    assert "Shards launched last: 1/4: " in partial
    assert (folder / "generalization.md").exists()

    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, said
    assert "NODE_FAIL" in said
    survived = read(folder)
    lost = 24 - len(survived)
    assert lost > 0
    assert f"{lost} of 24 search trials without a row; the same command goes on" in said

    process = start(cluster, tmp_path, "epochs=50")
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    frame, launches = read(folder), shards(folder)
    assert len(frame) == 24
    assert frame["trial"].is_unique
    # What was there stays as it was, and only the rest was handed out again.
    pd.testing.assert_frame_equal(frame[: len(survived)], survived)
    assert set(launches["trial"][24:]) == set(frame["trial"][len(survived) :])
    assert len(launches) == 24 + lost
