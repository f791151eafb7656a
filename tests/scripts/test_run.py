"""`scripts/run` runs the code of its own checkout, wherever it is called from and whatever PYTHONPATH says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runner.system import called

ROOT = Path(__file__).parents[2]


def checkout(folder: Path, name: str) -> Path:
    """A clone with the real `scripts/run`, whose `runner` says which clone it is of; its environment is ours."""
    made = folder / name
    (made / "scripts").mkdir(parents=True)
    for script in ("run", "venv.sh"):
        shutil.copy(ROOT / "scripts" / script, made / "scripts" / script)
    for file in ("constraints.txt", "pyproject.toml"):
        (made / file).touch()
    for package in ("runner", "optim", "configs"):
        (made / package).mkdir()
        (made / package / "__init__.py").write_text(f"NAME = {name!r}\n")
    (made / "runner" / "__main__.py").write_text(
        "import runner, optim, configs\nprint(runner.NAME, optim.NAME, configs.NAME)"
    )
    (made / ".venv" / "bin").mkdir(parents=True)
    (made / ".venv" / "bin" / "python").symlink_to(sys.executable)
    state = subprocess.run("cat constraints.txt pyproject.toml | cksum", shell=True, cwd=made, capture_output=True)
    (made / ".venv" / ".installed").write_bytes(state.stdout.rstrip(b"\n"))
    return made


@pytest.mark.parametrize("path", ["", "other"])
def test_it_never_runs_another_checkouts_code(path: str, tmp_path: Path) -> None:
    mine, other = checkout(tmp_path, "mine"), checkout(tmp_path, "other")
    env = os.environ | ({"PYTHONPATH": str(tmp_path / path)} if path else {})
    done = subprocess.run([mine / "scripts" / "run"], cwd=other, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "mine mine mine\n"), done.stderr


def test_commands_that_are_printed_begin_with_its_own_name_as_it_was_typed(tmp_path: Path) -> None:
    """It printed `python -m runner ...`, which is another Python's, or nobody's."""
    mine = checkout(tmp_path, "mine")
    (mine / "runner" / "__main__.py").write_text("import os\nprint(os.environ['ADAMW_RUNNER_SCRIPT'])")
    for typed, folder in (
        ("scripts/run", mine),
        ("./run", mine / "scripts"),
        (str(mine / "scripts" / "run"), tmp_path),
    ):
        done = subprocess.run([typed], cwd=folder, capture_output=True, text=True, check=True)
        assert done.stdout == f"{typed}\n"
    assert called.SCRIPT == "ADAMW_RUNNER_SCRIPT"
