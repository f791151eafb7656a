"""Benchmarks and studies for machines that no test runs on can at least be started, also where nothing is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
OWN_PACKAGES = {"parity_peers"}  # imports Keras and optax, which the project does without; parity imports it
IMPORT = """
import importlib, sys
kept = list(sys.path), set(sys.modules)
for name in sys.argv[1:]:
    # Each as if it were the first: what one script has done to the path must not help the next. Others' packages stay.
    sys.path[:] = kept[0]
    for module in set(sys.modules) - kept[1]:
        if module.partition(".")[0] in ("optim", "runner", "configs", *sys.argv[1:], "root"):
            del sys.modules[module]
    importlib.import_module(name)
    print(name)
"""


def not_installed() -> dict[str, str]:
    """An environment in which -S, which leaves out the links to editable installs, still finds other packages."""
    packages = [path for path in sys.path if path.endswith("-packages")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(packages)}


def started() -> list[str]:
    """The scripts that are commands; the other modules beside them are imported by these."""
    commands = {path.stem for path in SCRIPTS.glob("*.py") if '__name__ == "__main__"' in path.read_text()}
    return sorted(commands - OWN_PACKAGES)


def test_every_script_starts_where_the_project_is_not_installed() -> None:
    names = started()
    assert {"bench_stack", "bench_step", "bench_trials"} <= set(names)
    command = [sys.executable, "-S", "-c", IMPORT, *names]
    said = subprocess.run(command, cwd=SCRIPTS, env=not_installed(), capture_output=True, text=True, check=False)
    assert said.stdout.split() == names, said.stderr


def test_every_module_beside_the_scripts_finds_what_it_imports() -> None:
    names = sorted({path.stem for path in SCRIPTS.glob("*.py")} - OWN_PACKAGES)
    said = subprocess.run(
        [sys.executable, "-S", "-c", f"import root, {', '.join(names)}"],
        cwd=SCRIPTS,
        env=not_installed(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
