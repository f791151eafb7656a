"""What the program says to type begins as it was called itself: by scripts/run, `runner` or `python -m runner`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner.system import called

SHOWN = (
    "from runner.system import called; "
    "print(called.command('-m', 'wd=[1, 2]')); print(called.report('results/my study'))"
)


@pytest.fixture(autouse=True)
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(called.SCRIPT, raising=False)


@pytest.mark.parametrize("typed", ["python", "python3", "../.venv/bin/python"])
@pytest.mark.parametrize("module", ["runner", "runner.report"])
def test_a_module_is_called_again_by_the_interpreter_that_was_typed(
    typed: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "orig_argv", [typed, "-X", "dev", "-m", module, "wd=0"])
    assert called.command("-m", "wd=1,2") == f"{typed} -m runner -m wd=1,2"
    assert called.report("results/s") == f"{typed} -m runner.report results/s"


def test_the_console_command_is_called_by_its_name_where_that_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "runner"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(program), "wd=0"])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert called.command("-m", "wd=1,2") == "runner -m wd=1,2"
    monkeypatch.setenv("PATH", "/nowhere")
    assert called.command("-m", "wd=1,2") == f"{program} -m wd=1,2"


@pytest.mark.parametrize("name", ["scripts/run", "./run", "/opt/my clone/scripts/run"])
def test_the_script_is_called_by_the_name_that_was_typed(name: str, tmp_path: Path) -> None:
    env = os.environ | {called.SCRIPT: name}
    done = subprocess.run([sys.executable, "-c", SHOWN], env=env, capture_output=True, text=True, check=True)
    quoted = f"'{name}'" if " " in name else name
    assert done.stdout.splitlines()[0] == f"{quoted} -m 'wd=[1, 2]'"
    if name == "scripts/run":
        assert done.stdout.splitlines()[1] == ".venv/bin/python -m runner.report 'results/my study'"


def test_anything_else_says_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["runner"])
    monkeypatch.setattr(sys, "orig_argv", ["/usr/bin/python3.12", "-c", "..."])
    assert called.command("wd=1") == "python -m runner wd=1"
