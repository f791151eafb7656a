"""The script for a GPU runs all its steps on a CPU, leaves what each wrote, and decides by its rules."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from scripts.bench.stack_ways import decision
from tests.scripts.test_imports import SCRIPTS, not_installed

# Each step of a run, and what it leaves in the archive beside its log.
RUNS: dict[int, dict[str, str]] = {
    1: {
        "kernel": "",
        "graph": "",
        "conv": "conv.csv",
        "stack": "stack.csv",
        "step-warm": "step-warm.csv",
        "step-cold": "step-cold.csv",
        "plot": "",
    },
    2: {
        "wide": "wide.csv",
        "wide-modular": "wide-modular.csv",
        "many": "many.csv",
        "trials-cifar": "trials-cifar.csv",
        "trials-modular": "trials-modular.csv",
        "compile": "compile.csv",
    },
    3: {"figure2": ""},
}


def gpu(run: int, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Quick, on the CPU, with an interpreter that does not have the project installed."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S "$@"\n')
    python.chmod(0o755)
    data = {"GPU_SH_QUICK": "1", "GPU_SH_DATA": str(folder / "none"), "CUDA_VISIBLE_DEVICES": ""}
    env = os.environ | not_installed() | data | {"PYTHON": str(python)} | more
    command = [str(SCRIPTS / "gpu.sh"), str(run), str(folder / "out")]
    return subprocess.run(command, cwd=SCRIPTS.parent, env=env, capture_output=True, text=True, check=False)


def packed(folder: Path) -> set[str]:
    with tarfile.open(folder / "out" / "all.tgz") as archive:
        return {name.removeprefix("./") for name in archive.getnames()}


@pytest.mark.campaign
@pytest.mark.parametrize("run", RUNS)
def test_every_step_of_a_run_ends_well_and_is_packed(run: int, tmp_path: Path) -> None:
    done = gpu(run, tmp_path)
    summary = (tmp_path / "out" / "summary.txt").read_text()
    for step in RUNS[run]:
        (line,) = [line for line in summary.splitlines() if line.split()[:1] == [step]]
        assert line.endswith("exit 0"), done.stdout
    logs = {"about.log", "summary.txt", *(f"{step}.log" for step in RUNS[run])}
    assert logs | set(filter(None, RUNS[run].values())) <= packed(tmp_path)
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"all.tgz", "summary.txt"} | ({"step.png"} if run == 1 else set())


@pytest.mark.campaign
def test_a_step_out_of_time_leaves_its_log_and_lets_the_next_run(tmp_path: Path) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text("import time\nprint('begun')\ntime.sleep(60)\n")
    # What stands in for the interpreter sleeps where the first step begins, and has little to say about the machine.
    python = tmp_path / "slow"
    stands = f'case "$*" in *test_kernel_cuda*) set -- {slow} ;; -) set -- --version ;; esac'
    python.write_text(f'#!/bin/sh\n{stands}\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    gpu(1, tmp_path, PYTHON=str(python), GPU_SH_STEPS="kernel conv", GPU_SH_LIMIT="16")
    summary = (tmp_path / "out" / "summary.txt").read_text()
    assert "out of time" in summary
    assert "conv             not run: no time left" in summary
    assert {"kernel.log", "about.log"} <= packed(tmp_path)


def test_what_is_not_there_costs_its_own_step_only(tmp_path: Path) -> None:
    gpu(2, tmp_path, GPU_SH_QUICK="0", GPU_SH_STEPS="trials-cifar")
    assert (tmp_path / "out" / "summary.txt").read_text().split() == "trials-cifar not run: no CIFAR-10".split()


def test_an_unknown_run_is_refused_with_the_usage(tmp_path: Path) -> None:
    done = gpu(4, tmp_path)
    assert done.returncode == 2
    assert "scripts/gpu.sh RUN OUT_DIR" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("ms", "chosen"),
    [
        ({"stack": 1.0, "lanes": 0.89, "lanes+benchmark": 0.86}, "lanes"),
        ({"stack": 1.0, "lanes": 0.89, "lanes+benchmark": 0.8}, "lanes+benchmark"),
        ({"stack": 1.0, "stack+benchmark": 0.9, "lanes": 0.91, "lanes+benchmark": 0.2}, "stack+benchmark"),
        ({"stack": 1.0, "stack+benchmark": 0.96, "lanes": 1.2}, "stack"),
        ({"stack": 1.0}, "stack"),
        ({"lanes": 1.0}, "not"),
    ],
)
def test_lanes_need_a_tenth_and_benchmark_a_twentieth(ms: dict[str, float], chosen: str) -> None:
    assert decision(ms).split()[0] == chosen
