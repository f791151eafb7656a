"""Whatever kills a run, and whenever: the same command ends with the rows of an undisturbed one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from runner.records.read import read
from runner.records.schema import TIMING
from tests.damage import check_went_on, command, commands
from tests.killing import job, work
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.campaign

KILLS = 60
ORDER = {
    "trials": ["trial"],
    "curves": ["trial", "epoch"],
    "cycles": ["trial", "cycle"],
    "dynamics": ["trial", "epoch", "layer"],
}
WORDS = ["-m", "optimizer=adam,adamw", "lr=1e-3,1e-2", "wd=0.1", "model.width=4"]
COMMAND = [sys.executable, "-m", "runner", *WORDS]
SLOW = ["epochs=50", "dataset.train=100", "eval_every=10", "study=s"]


def rows(folder: Path, table: str) -> pd.DataFrame:
    """All cells as text: bit for bit, and nothing about time or place."""
    frame = pd.read_csv(folder / f"{table}.csv", dtype=str, keep_default_na=False)
    return frame.drop(columns=["study", *TIMING], errors="ignore").sort_values(ORDER[table]).reset_index(drop=True)


def leftovers(folder: Path) -> list[str]:
    files = [p for p in folder.rglob("*") if p.is_file() and p.suffix != ".csv"]
    return [p.name for p in files if p.name not in ("records.lock", "claims.lock", "study.yaml")]


def test_60_sigkills_at_random_instants_leave_no_trace_in_the_rows(tmp_path: Path) -> None:
    work(job(tmp_path / "calm"), lambda kind, content: None)
    # As a module: beside a script in tests/, tests/optim would hide the package.
    words = [sys.executable, "-m", "tests.killing", str(tmp_path / "killed"), str(KILLS), "0"]
    root = {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | root)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) >= KILLS
    assert "Traceback" not in done.stderr
    for folder in tmp_path.glob("killed*"):
        for table in ORDER:
            pd.testing.assert_frame_equal(rows(folder, table), rows(tmp_path / "calm", table))
        assert leftovers(folder) == []


def heed() -> None:
    """In a new process: not to ignore Ctrl-C, as what a shell starts in the background does."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def calm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study of an undisturbed command, in a folder that is named after its last word."""
    folder = tmp_path_factory.mktemp("calm") / request.param
    folder.mkdir()
    check_went_on(command(folder, *WORDS, *SLOW, "workers=1", "stack=2", request.param))
    return folder / "results" / "s"


# Either signal, and either way to train, which know nothing of each other; and more processes than one.
@pytest.mark.parametrize(
    ("calm", "number", "code", "workers"),
    [
        ("exact=true", signal.SIGINT, 130, 1),
        ("exact=false", signal.SIGTERM, 143, 1),
        ("exact=false", signal.SIGINT, 130, 2),
    ],
    indirect=["calm"],
)
def test_a_signal_saves_the_state_and_the_command_goes_on_from_it(
    tmp_path: Path, number: int, code: int, workers: int, calm: Path
) -> None:
    words = [*SLOW, f"workers={workers}", "stack=2", calm.parent.parent.name]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = subprocess.Popen([*COMMAND, *words], cwd=tmp_path, text=True, preexec_fn=heed, **pipes)
    curves = tmp_path / "results" / "s" / "curves.csv"
    until(curves.exists, running)
    running.send_signal(number)
    _, said = running.communicate(timeout=PATIENCE)
    assert running.returncode == code, said
    assert "Traceback" not in said
    assert said.count("the same command goes on from there") == 1
    assert len(list((curves.parent / ".state" / "stacks").glob("*.pt"))) == workers
    if workers == 1:
        check_went_on(command(tmp_path, *WORDS, *words))
    else:  # a fork of ours may start no workers
        again = subprocess.run([*COMMAND, *words], cwd=tmp_path, capture_output=True, text=True)
        assert again.returncode == 0, again.stderr
    for table in ("trials", "curves"):
        pd.testing.assert_frame_equal(rows(curves.parent, table), rows(calm, table))
    assert not list((curves.parent / ".state" / "stacks").iterdir())


def test_eight_processes_at_once_train_every_trial_exactly_once(tmp_path: Path) -> None:
    quick = ["seed=0,1,2", "epochs=4", "eval_every=2", "dataset.train=100", "study=s", "workers=1", "stack=2"]
    # Forks that have imported everything meet in training; an import would take each of them longer than its trials.
    for said in commands(8, tmp_path, *WORDS, *quick):
        check_went_on(said)
    frame = read(tmp_path / "results" / "s")
    assert len(frame) == frame["trial"].nunique() == 12
    curves = read(tmp_path / "results" / "s", "curves")
    assert len(curves) == 24
    assert not curves.duplicated(["trial", "epoch"]).any()


def workers_of(command: int) -> list[int]:
    """The processes that train for a command: children of the fork server, which is its child."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    parents = {int(pid): int(parent) for pid, parent in (line.split() for line in listed.splitlines()[1:])}
    return sorted(pid for pid, parent in parents.items() if parents.get(parent) == command)


def test_a_worker_that_is_killed_gives_its_trials_back(tmp_path: Path) -> None:
    words = [*COMMAND, *SLOW, "workers=2", "stack=2"]
    running = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    curves = tmp_path / "results" / "s" / "curves.csv"
    # A second worker may begin long after the first one's rows are there; the one that is killed has begun.
    until(lambda: curves.exists() and workers_of(running.pid), running)
    os.kill(workers_of(running.pid)[0], signal.SIGKILL)
    _, said = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, said
    assert len(read(curves.parent)) == 4
    assert (read(curves.parent)["status"] == "ok").all()
