"""The memory of a stack is known before it starts, and a stack that has no room is not tried."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from runner.execution.worker import Job, work
from runner.models.settings import ModelSettings, ResNetSettings, TransformerSettings
from runner.records.read import exists, read
from runner.system import shortage
from runner.training import memory
from runner.trials.stack_size import rough_bytes
from runner.trials.trial import Trial
from tests.helpers import images, tokens, trial

CPU = torch.device("cpu")
CASES: dict[str, tuple[ModelSettings, int, int]] = {  # model, batch size, trials
    "resnet": (ResNetSettings("resnet", 20, 16), 64, 2),
    "transformer": (TransformerSettings("transformer", 2, 128, 4), 256, 4),
}

MEASURE = """
import json, sys
from pathlib import Path
import torch
from tests.training import test_memory
from runner.system.memory import keep_freed_memory
from runner.training.memory import predicted
from runner.training.train import train

def peak(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024

torch.set_num_threads(1)
trials, dataset = test_memory.stack(sys.argv[1])
keep_freed_memory()
guess, before = predicted(trials, dataset, test_memory.CPU), peak("VmRSS")
for report in train(trials, dataset, test_memory.CPU):
    pass
print(json.dumps([guess, peak("VmHWM") - before]))
"""


def stack(case: str) -> tuple[list[Trial], object]:
    model, batch, count = CASES[case]
    dataset = images(256, 64, 32) if case == "resnet" else tokens(512, 64, 4)
    return [replace(trial(dataset, seed=s, epochs=1), model=model, batch_size=batch) for s in range(count)], dataset


@pytest.mark.campaign
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux how much memory a process has had")
@pytest.mark.parametrize("case", CASES)
def test_peak_memory_is_predicted_and_at_most_a_third_too_high(case: str) -> None:
    found = subprocess.run([sys.executable, "-c", MEASURE, case], capture_output=True, text=True, check=True)
    guess, real = json.loads(found.stdout)
    # The real figure varies by a tenth, with what the system takes back meanwhile and what was mapped before.
    assert 0.85 * real < guess < 4 / 3 * real


@pytest.mark.parametrize("case", CASES)
def test_the_rough_figure_is_never_too_small(case: str) -> None:
    trials, dataset = stack(case)
    first = trials[0]
    rough = rough_bytes(first.model, first.batch_size, first.positions, len(trials))
    assert rough > memory.predicted(trials, dataset, CPU)  # type: ignore[arg-type]


def test_a_stack_without_room_is_halved_and_a_trial_without_room_is_left_open_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = images()
    trials = [trial(dataset, seed=seed, epochs=1) for seed in range(4)]
    need = {n: memory.predicted(trials[:n], dataset, CPU) for n in (1, 2, 4)}
    told: list[tuple[str, object]] = []

    def train_with(free: float, folder: str) -> list[str]:
        monkeypatch.setattr(memory, "available", lambda device: free)
        told.clear()
        job = Job(tmp_path / folder, [trials], {trials[0].dataset: dataset}, "cpu", {"study": "s", "phase": "search"})
        work(job, lambda kind, content: told.append((kind, content)))
        return list(read(tmp_path / folder)["status"]) if exists(tmp_path / folder) else []

    monkeypatch.setattr(shortage, "WAITS", (0.01,))
    assert train_with(need[1] - 1, "none") == []
    ((left, why),) = [content for kind, content in told if kind == "open"]  # type: ignore[misc]
    assert sorted(left) == sorted(one.id for one in trials)
    assert "GiB" in why
    assert train_with(need[4] - 1, "some") == ["ok"] * 4
    assert set(read(tmp_path / "some")["stack"]) == {2}
    assert any(kind == "note" and "halves" in str(content) for kind, content in told)
    assert (tmp_path / "some" / "plan.csv").read_text().count("\n") == 1 + 4
    assert train_with(need[4] + 1, "all") == ["ok"] * 4
    assert set(read(tmp_path / "all")["stack"]) == {4}
