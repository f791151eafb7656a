"""Benchmarks and studies for machines that no test runs on can at least be started, also where nothing is installed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
OTHERS = {"scripts.parity.peers"}  # imports Keras and optax, which the project does without, where it is called
IMPORT = """
import importlib, sys
sys.path.insert(0, sys.argv.pop(1))
for name in sys.argv[1:]:
    importlib.import_module(name)
    print(name)
"""


def not_installed() -> dict[str, str]:
    """An environment in which -S, which leaves out the links to editable installs, still finds other packages."""
    packages = [path for path in sys.path if path.endswith("-packages")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(packages)}


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-S", *words]
    return subprocess.run(command, cwd=SCRIPTS, env=not_installed(), capture_output=True, text=True, check=False)


def modules() -> list[str]:
    paths = [path for path in SCRIPTS.rglob("*.py") if path.stem not in ("__main__", "__init__")]
    return sorted(".".join(path.relative_to(SCRIPTS.parent).with_suffix("").parts) for path in paths)


def test_every_module_finds_what_it_imports_where_the_project_is_not_installed() -> None:
    names = modules()
    assert {"scripts.bench.stack", "scripts.bench.step", "scripts.parity.table"} <= set(names)
    done = run("-c", IMPORT, SCRIPTS.parent, *names)
    assert done.stdout.split() == names, done.stderr


@pytest.mark.parametrize("words", [["bench", "growth"], ["parity", "tools"], ["cifar_16px.py"], ["figure2.py"]])
def test_a_command_starts_where_the_project_is_not_installed(words: list[str]) -> None:
    done = run(*words, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: {' '.join(words)} ")


@pytest.mark.parametrize("folder", ["bench", "parity"])
def test_without_a_name_a_folder_lists_its_commands(folder: str) -> None:
    done = run(folder)
    listed = [line.split()[0] for line in done.stdout.splitlines()[2:]]
    with_main = {
        path.stem
        for path in (SCRIPTS / folder).glob("*.py")
        if path.stem != "__main__"
        and any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in ast.parse(path.read_text()).body)
    }
    assert set(listed) == with_main
    assert run(folder, "nonsense").returncode == 1
