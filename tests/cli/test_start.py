"""Our own code and configs run, whatever lies in the current folder, on PYTHONPATH or in the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from runner.execution import provenance
from tests.damage import TWO

ROOT = Path(__file__).parents[2]
STRANGER = "import sys; sys.exit('a stranger was imported')\n"


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """A folder with what a stranger's project may have: packages, modules and folders with our names, and Python's."""
    for name in ("configs", "results_of_mine"):
        (tmp_path / name).mkdir()
    (tmp_path / "configs" / "config.yaml").write_text("epochs_of_mine: 3\n")
    (tmp_path / "configs" / "__init__.py").write_text(STRANGER)
    for name in ("optim.py", "hydra.py", "torch.py", "random.py", "yaml.py"):
        (tmp_path / name).write_text(STRANGER)
    return tmp_path


def run(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, env=os.environ | environment, check=False)


def console(folder: Path) -> Path:
    """The script that pip makes of the console command."""
    if (ROOT / "pyproject.toml").exists():
        import tomllib

        entry = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["runner"]
    else:
        (entry,) = (one.value for one in metadata.entry_points(group="console_scripts") if one.name == "runner")
    module, _, function = entry.partition(":")
    path = folder / "bin" / "start"
    path.parent.mkdir()
    call = f'if __name__ == "__main__":\n    sys.exit({function}())\n'
    path.write_text(f"import sys\nfrom {module} import {function}\n{call}")
    return path


def check_trained(done: subprocess.CompletedProcess[str], folder: Path, trials: int = 2) -> None:
    assert (done.returncode, "stranger" in done.stdout + done.stderr) == (0, False), done.stdout + done.stderr
    assert (folder / "results" / "s" / "trials.csv").read_text().count("\n") == 1 + trials


def test_python_m_in_a_strangers_folder_is_ours_and_so_are_its_workers(strange: Path) -> None:
    words = [word for word in TWO if not word.startswith("workers")]
    done = run(strange, sys.executable, "-m", "runner", *words, "workers=2", "stack=1")
    check_trained(done, strange)


@pytest.mark.parametrize("module", ["report", "rerun", "folklore"])
def test_the_other_commands_are_ours_in_a_strangers_folder_too(module: str, strange: Path) -> None:
    done = run(strange, sys.executable, "-m", f"runner.{module}", "nothing", *["x"] * (module == "rerun"))
    assert (done.returncode, "stranger" in done.stderr, "Traceback" in done.stderr) == (2, False, False), done.stderr
    assert "nothing" in done.stderr


def test_the_console_command_is_safe_in_any_folder_and_beside_any_pythonpath(strange: Path, tmp_path: Path) -> None:
    for name in ("hydra.py", "torch.py", "random.py", "yaml.py"):  # which PYTHONPATH would give to any program
        (strange / name).unlink()
    (strange / "runner").mkdir()
    (strange / "runner" / "__init__.py").write_text(STRANGER)
    words = [word for word in TWO if not word.startswith("workers")]
    path = os.pathsep.join([str(strange), str(ROOT)])  # ours comes last, as site-packages does
    done = run(strange, sys.executable, str(console(tmp_path)), *words, "workers=2", "stack=1", PYTHONPATH=path)
    check_trained(done, strange)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="about a clone")
def test_another_repository_in_the_environment_is_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = provenance.commit()
    other = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    subprocess.run([*other, "init", "-q"], check=True)
    subprocess.run([*other, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path))
    assert provenance.commit() == mine != ""
