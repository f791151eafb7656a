"""Sweeps on a real Slurm of two nodes, made on this machine: every row once, though a node dies half-way.

Skipped where Slurm is not installed; `scripts/slurm/cluster.sh install` does that on Debian, as root.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from runner.records import parts
from runner.records.read import exists, read
from tests.waiting import PATIENCE, until

ROOT = Path(__file__).resolve().parents[3]
CLUSTER = ROOT / "scripts" / "slurm" / "cluster.sh"
LACKING = [name for name in ("slurmctld", "slurmd", "sbatch", "munged") if not shutil.which(name)]
pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(bool(LACKING), reason=f"Slurm is not installed here (no {', '.join(LACKING)})"),
]
pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the cluster extra")

# 24 trials in 4 shards of 6, each shard 3 stacks of 2 on one core.
SWEEP = (
    "-m optimizer=adam,adamw lr=1e-3,1e-2 wd=1e-2,0.1 seed=0,1,2 stack=2 model.width=4 dataset.train=100 eval_every=5 "
    "hydra.launcher.cpus_per_task=1 hydra.launcher.timeout_min=120"
).split()
PLAIN = ["hydra/launcher=submitit_slurm", "shards=4"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run([CLUSTER, "start", folder], capture_output=True, text=True)
    assert started.returncode == 0, started.stderr
    yield folder
    subprocess.run([CLUSTER, "stop", folder], check=True)


def environment(cluster: Path) -> dict[str, str]:
    """What `. DIR/env` sets, and the checkout on the path of the jobs."""
    path = f"{cluster / 'bin'}:{os.environ['PATH']}"
    return os.environ | {"SLURM_CONF": str(cluster / "slurm.conf"), "PATH": path, "PYTHONPATH": str(ROOT)}


def start(cluster: Path, cwd: Path, *more: str, path: str = "") -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "runner", *SWEEP, *more]
    known = environment(cluster)
    known["PYTHONPATH"] = f"{path}:{known['PYTHONPATH']}"
    return subprocess.Popen(words, cwd=cwd, env=known, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def rows(folder: Path) -> int:
    return len(read(folder)) if exists(folder) else 0


def report(folder: Path) -> str:
    done = subprocess.run([sys.executable, "-m", "runner.report", folder], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shards(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / ".state" / "shards.csv")


def test_four_jobs_on_two_nodes_train_every_trial_once_and_the_winners_after(cluster: Path, tmp_path: Path) -> None:
    process = start(cluster, tmp_path, *PLAIN, "epochs=5", "final_seeds=2")
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
    assert parts.of(folder) == []
    assert len(pd.read_csv(folder / "trials.csv")) == 28


# What each task of a job does when its Python starts.
TELL_GPU = """
import os, pathlib
if "SLURM_PROCID" in os.environ and "SLURM_STEP_ID" in os.environ:
    name = "-".join(os.environ[f"SLURM_{n}"] for n in ("JOB_ID", "PROCID"))
    pathlib.Path(FOLDER, f"{name}.gpu").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make the devices that Slurm takes for GPUs")
def test_tasks_with_a_gpu_each_share_the_shard_of_their_job(cluster: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(TELL_GPU.replace("FOLDER", repr(str(tmp_path))))
    wanted = (
        "+cluster=slurm_gpu device=cpu shards=2 epochs=5 hydra.launcher.mem_gb=null hydra.launcher.tasks_per_node=2"
    )
    process = start(cluster, tmp_path, *wanted.split(), path=str(tmp_path))
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    assert "24 search trials in 2 shards" in said
    frame = read(tmp_path / "results" / "digits-resnet")
    assert len(frame) == 24
    assert frame["trial"].is_unique
    seen = {path.stem: path.read_text() for path in tmp_path.glob("*.gpu")}
    assert sorted(name.split("-")[1] for name in seen) == ["0", "0", "1", "1"]  # two tasks in each of two jobs
    assert sorted(seen.values()) == ["0", "0", "1", "1"]


def test_what_is_lost_with_a_node_is_trained_by_the_same_command_once(cluster: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "digits-resnet"
    process = start(cluster, tmp_path, *PLAIN, "epochs=50")
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
    assert re.search(r"shard \d/4: job \d+_\d: .*NODE_FAIL", said), said
    survived = read(folder)
    lost = 24 - len(survived)
    assert lost > 0
    assert f"{lost} of 24 search trials without a row; the same command goes on" in said

    process = start(cluster, tmp_path, *PLAIN, "epochs=50")
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    frame, launches = read(folder), shards(folder)
    assert len(frame) == 24
    assert frame["trial"].is_unique
    # What was there stays as it was, and only the rest was handed out again.
    old = frame[frame["trial"].isin(survived["trial"])].sort_values("trial", ignore_index=True)
    pd.testing.assert_frame_equal(old, survived.sort_values("trial", ignore_index=True))
    assert set(launches["trial"][24:]) == set(frame["trial"]) - set(survived["trial"])
    assert len(launches) == 24 + lost
