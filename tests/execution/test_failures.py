"""Where something failed is told once on the terminal, and with the trial's id in `.state/errors.log`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import runner.training.step as step_module
from runner.execution import failures
from runner.records.read import read
from runner.training import cuda
from tests.damage import QUICK, TWO, Said, command

SWEEP = ["-m", "seed=0,1", "stack=1", *QUICK]


def with_a_typo() -> None:
    def losses(*_: Any) -> Any:
        return self.hiden  # type: ignore[name-defined] # noqa: F821

    step_module.losses = losses


def check_told(said: Said, folder: Path, count: int = 1) -> str:
    assert said.code == 1, said.text
    assert said.err.count("Traceback (most recent call last)") == count, said.err
    assert "test_failures.py" in said.err
    assert "return self.hiden" in said.err
    log = (folder / "results" / "s" / ".state" / "errors.log").read_text()
    rows = read(folder / "results" / "s")
    assert list(rows["status"]) == ["failed"] * len(rows)
    assert all(trial in log for trial in rows["trial"])
    assert "return self.hiden" in log
    return log


@pytest.mark.parametrize("words", [TWO, SWEEP], ids=["one stack", "stacks of one"])
def test_a_typo_in_a_network_is_shown_with_file_and_line_once(words: list[str], tmp_path: Path) -> None:
    said = command(tmp_path, *words, before=with_a_typo)
    log = check_told(said, tmp_path)
    assert log.count("Traceback") == 1
    assert "errors.log" in said.err


def test_worker_processes_tell_once_together(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    # A worker finds its main function in this module, which breaks the network when it is imported.
    (tmp_path / "site" / "broken.py").write_text(
        "import runner.training.step as step\n"
        "def losses(*_):\n    return self.hiden  # test_failures.py\n"
        "step.losses = losses\n"
        "from runner.execution.pool import _main\n"
    )
    code = (
        "import sys, broken, runner.execution.pool as workers\n"
        "workers._main.__module__ = 'broken'\n"
        "from runner.__main__ import main\n"
        "sys.argv[0] = 'runner'\n"
        "main()\n"
    )
    words = [word for word in SWEEP if not word.startswith("workers")]
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "workers=2"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""},
        capture_output=True,
        text=True,
    )
    check_told(Said(done.returncode, done.stdout, done.stderr), tmp_path)


def test_errors_are_distinct_by_where_they_are_raised_and_the_log_grows(tmp_path: Path) -> None:
    told: list[tuple[str, Any]] = []
    found = failures.Failures(tmp_path, failures.once(lambda kind, content: told.append((kind, content))))

    def fail(number: int) -> Exception:
        try:
            if number % 2:
                raise ValueError(f"odd: {number}")
            raise ValueError(f"even: {number}")
        except ValueError as error:
            return error

    for number in range(4):
        found.note(fail(number), [f"trial{number}"])
    assert [kind for kind, _ in told] == ["note", "note"]
    log = (tmp_path / ".state" / "errors.log").read_text()
    assert log.count("Traceback") == 2
    assert all(f"trial{number}" in log for number in range(4))
    assert "ValueError: odd: 3" in log
    failures.Failures(tmp_path).note(fail(0), ["again"])  # another process
    assert (tmp_path / ".state" / "errors.log").read_text().startswith(log)


def test_a_log_that_cannot_be_written_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / ".state" / "errors.log").mkdir(parents=True)
    told: list[str] = []
    failures.Failures(tmp_path, lambda kind, content: told.append(content[1])).note(KeyError("x"), [])
    assert "KeyError" in told[0]


def with_a_dead_gpu() -> None:
    def losses(*_: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    def synchronize(*_: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with TORCH_USE_CUDA_DSA")

    step_module.losses = losses
    torch.cuda.synchronize = synchronize
    probe = cuda.refuse_broken
    cuda.refuse_broken = lambda device: probe(torch.device("cuda"))


def test_a_gpu_that_has_failed_for_good_ends_the_command_in_one_line_without_a_row(tmp_path: Path) -> None:
    said = command(tmp_path, *SWEEP, "workers=1", before=with_a_dead_gpu)
    assert said.code != 0
    assert "the GPU has failed" in said.err
    assert "an illegal memory access was encountered" in said.err
    assert "Traceback" not in said.err
    assert not (tmp_path / "results" / "s" / "trials.csv").exists()
