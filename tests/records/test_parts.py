"""Part files: rows of jobs on any machine are read at once and merged once, whoever dies in between."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import UserError
from runner.execution.cluster import merge
from runner.execution.cluster.merge import Merger, merging
from runner.records import parts
from runner.records.read import read
from runner.records.records import Records
from runner.records.schema import CURVES
from runner.system.files import append
from runner.trials.plan import Layout, StoredPlan
from tests.damage import check_went_on, command
from tests.helpers import images, trial
from tests.waiting import until

ELSEWHERE = "20260102T030405Z-0001-another_node-77"
QUICK = "model.width=4 epochs=2 dataset.train=100 eval_every=1 study=s".split()
SWEEP = "-m optimizer=adam,adamw lr=1e-3,1e-2 wd=0,0.1 final_seeds=2".split()


def trials(*names: str) -> list[dict[str, object]]:
    return [{"study": "s", "trial": name, "phase": "search", "status": "ok"} for name in names]


def epochs(name: str, *numbers: int) -> list[dict[str, object]]:
    return [{"trial": name, "epoch": number, "step": 10 * number} for number in numbers]


def job(folder: Path, shard: int = 1) -> tuple[Records, Path]:
    """The records of a job of this process, and its part."""
    part = parts.new("20260102T030405Z", shard)
    return Records(folder, part), parts.home(folder, part)


def test_rows_of_a_running_job_are_read_with_the_studys_and_merged_when_it_has_ended(tmp_path: Path) -> None:
    Records(tmp_path).append_trials(trials("a"))
    records, part = job(tmp_path)
    records.append_curves(epochs("b", 1, 2))
    records.append_trials(trials("a", "b"))
    assert list(read(tmp_path)["trial"]) == ["a", "b"]
    assert records.done() == Records(tmp_path).done() == {"a", "b"}
    assert (tmp_path / "trials.csv").read_text().count("\n") == 2
    Merger(tmp_path).merge()
    assert (tmp_path / "trials.csv").read_text().count("\n") == 3
    assert part.exists()
    records.append_trials(trials("c"))
    parts.end(part)
    Merger(tmp_path).merge()
    assert not part.exists()
    assert list(read(tmp_path)["trial"]) == ["a", "b", "c"]
    assert list(read(tmp_path, "curves")["epoch"]) == [1, 2]


def test_a_study_of_which_only_parts_are_written_can_be_read(tmp_path: Path) -> None:
    records, _ = job(tmp_path)
    records.append_curves(epochs("a", 1))
    records.append_trials(trials("a"))
    assert not (tmp_path / "trials.csv").exists()
    assert list(read(tmp_path)["trial"]) == ["a"]
    assert list(read(tmp_path, "curves", only=["a"])["epoch"]) == [1]


def test_a_killed_job_of_this_machine_has_ended_in_a_minute_and_one_of_another_in_a_week(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    here = parts.home(tmp_path, parts.new("20260102T030405Z", 1).rpartition("-")[0] + f"-{gone.pid}")
    there = parts.home(tmp_path, ELSEWHERE)
    for part, name in ((here, "a"), (there, "b")):
        Records(tmp_path, part.name).append_trials(trials(name))
    Merger(tmp_path).merge()
    assert here.exists()  # a worker of it may still write
    for part, rest, gone_now in ((here, parts.SHORT, True), (there, parts.SHORT, False), (there, parts.LONG, True)):
        before = time.time() - 2 * rest
        for path in (*part.iterdir(), part):
            os.utime(path, (before, before))
        Merger(tmp_path).merge()
        assert part.exists() != gone_now
    assert sorted(read(tmp_path)["trial"]) == ["a", "b"]


def test_what_a_job_writes_after_a_merge_is_in_the_next(tmp_path: Path) -> None:
    records, part = job(tmp_path)
    merger = Merger(tmp_path)
    for number in range(1, 5):
        records.append_curves(epochs("a", number))
        merger.merge()
    with (part / "curves.csv").open("a") as file:
        file.write("a,5,50,torn")
    parts.end(part)
    merger.merge()
    assert list(read(tmp_path, "curves")["epoch"]) == [1, 2, 3, 4]


def test_a_merge_that_is_cut_short_is_done_again_without_a_row_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, part = job(tmp_path)
    records.append_curves(epochs("a", 1, 2, 3))
    records.append_trials(trials("a"))
    parts.end(part)

    def full(path: Path, data: bytes) -> None:
        if path.name == "trials.csv":
            raise UserError(f"{path}: cannot append (No space left on device)")
        append(path, data)

    monkeypatch.setattr("runner.records.table.append", full)
    with pytest.raises(UserError, match="No space left"):
        Merger(tmp_path).merge()
    assert part.exists()
    assert list(read(tmp_path)["trial"]) == ["a"]
    monkeypatch.undo()
    Merger(tmp_path).merge()
    assert (tmp_path / "curves.csv").read_text().count("\n") == 4
    assert (tmp_path / "trials.csv").read_text().count("\n") == 2
    assert not part.exists()


@settings(max_examples=60)
@given(data=st.data())
def test_whatever_the_order_of_jobs_and_merges_every_row_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("study")
    names = ["20260102T030405Z-0001-n1-1", "20260102T030405Z-0002-n2-1", "20260103T030405Z-0001-n1-2"]
    jobs = {name: Records(folder, name) for name in names} | {"": Records(folder)}
    merger, wrote = Merger(folder), set()
    for _ in range(data.draw(st.integers(1, 12))):
        who = data.draw(st.sampled_from([*jobs, "merge", "merge anew"]))
        if who.startswith("merge"):
            merger = merger if who == "merge" else Merger(folder)
            merger.merge()
            continue
        trial, epoch = data.draw(st.sampled_from("ab")), data.draw(st.integers(1, 6))
        jobs[who].append_curves(epochs(trial, epoch))
        wrote.add((trial, epoch))
        if who and data.draw(st.booleans()):
            parts.end(parts.home(folder, who))
            del jobs[who]
    curves = read(folder, "curves")
    assert sorted(zip(curves["trial"], curves["epoch"], strict=True)) == sorted(wrote)
    for name in jobs.keys() - {""}:
        parts.end(parts.home(folder, name))
    Merger(folder).merge()
    lines = (folder / "curves.csv").read_text().splitlines() if wrote else [",".join(CURVES)]
    assert sorted(tuple(line.split(",")[:2]) for line in lines[1:]) == sorted((t, str(e)) for t, e in wrote)
    assert parts.of(folder) == []


def test_a_job_whose_study_was_begun_again_ends(tmp_path: Path) -> None:
    records, part = job(tmp_path)
    records.append_curves(epochs("a", 1))
    shutil.rmtree(part)
    for call in (records.done, lambda: records.append_curves(epochs("a", 2))):
        with pytest.raises(UserError, match=r"is gone .*begun again, or moved.*this job ends"):
            call()
    assert not part.exists()


RIGHT_HEADER = (",".join(CURVES) + "\na,one" + "," * (len(CURVES) - 2) + "\n").encode()


@pytest.mark.parametrize("damage", [b"\x00\xff rubbish\n", b"a,b\n1,2\n", RIGHT_HEADER])
def test_a_damaged_file_of_one_job_stops_no_other(
    damage: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (one, bad), (other, good) = job(tmp_path, 1), job(tmp_path, 2)
    for records, name in ((one, "a"), (other, "b")):
        records.append_curves(epochs(name, 1, 2))
        records.append_trials(trials(name))
    (bad / "curves.csv").write_bytes(damage)
    assert Records(tmp_path).has_curves(["b"], {1, 2})
    assert list(read(tmp_path, "curves")["trial"]) == ["b", "b"]
    assert ("it is left out" if damage is RIGHT_HEADER else "it is passed over") in capsys.readouterr().out
    for part in (bad, good):
        parts.end(part)
    Merger(tmp_path).merge()
    assert f"what else is in it stays in {bad.name}.old1" in capsys.readouterr().out
    assert (bad.with_name(f"{bad.name}.old1") / "curves.csv").read_bytes() == damage
    assert sorted(read(tmp_path)["trial"]) == ["a", "b"]
    assert "does not have all rows of 1 trials" not in capsys.readouterr().err
    assert list(read(tmp_path, "curves")["trial"]) == ["b", "b"]


def test_a_part_is_read_whole_before_it_goes(tmp_path: Path) -> None:
    records, part = job(tmp_path)
    records.append_trials(trials("a"))
    path = part / "trials.csv"
    right = path.read_bytes()
    path.write_bytes(right.replace(b"search", b"\0\0\0\0\0\0"))  # as another machine may see it for a while
    merger = Merger(tmp_path)
    merger.merge()
    path.write_bytes(right)
    parts.end(part)
    merger.merge()
    assert list(read(tmp_path)["trial"]) == ["a"]
    assert not part.exists()


def test_a_checkpoint_is_not_gone_on_from_where_curves_before_it_are_missing(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.append_curves(epochs("a", 1, 2, 4))
    assert records.has_curves(["a"], {1, 2, 4})
    assert not records.has_curves(["a"], {1, 2, 3, 4})


def test_the_plan_of_a_job_is_merged_too(tmp_path: Path) -> None:
    mine = [trial(images(), seed=seed) for seed in range(4)]
    records, part = job(tmp_path)
    stacks = StoredPlan(tmp_path, records.lock, part.name).follow(mine, Layout("cpu", 2, 1))
    assert not (tmp_path / "plan.csv").exists()
    for _ in range(2):
        Merger(tmp_path).merge()
    assert (tmp_path / "plan.csv").read_text().count("\n") == 1 + 4
    assert StoredPlan(tmp_path, Records(tmp_path).lock).known(mine) == (stacks, [])


def test_rows_are_merged_while_jobs_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "EVERY", 0.05)
    records, _ = job(tmp_path)
    with merging(tmp_path):
        records.append_trials(trials("a"))
        until((tmp_path / "trials.csv").exists)
        assert (tmp_path / "trials.csv").read_text().count("\n") == 2


# What flock does on a shared file system: nothing that another machine would notice, or refuse.
LOCKS = """
import fcntl, os
real = fcntl.flock
def flock(descriptor, operation):
    if not os.readlink(f"/proc/self/fd/{descriptor}").startswith(PLACE):
        return real(descriptor, operation)
    if REFUSE:
        raise OSError(37, "No locks available")
fcntl.flock = flock
"""


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study of one process on a file system with locks."""
    folder = tmp_path_factory.mktemp("calm")
    check_went_on(command(folder, *SWEEP, *QUICK, "exact=true", "workers=1"))
    return folder / "results" / "s"


@pytest.mark.campaign
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.parametrize("refuse", [False, True])
def test_jobs_need_no_lock_of_the_shared_file_system(refuse: bool, calm: Path, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs the cluster extra")
    patch = LOCKS.replace("PLACE", repr(str(tmp_path))).replace("REFUSE", str(refuse))
    (tmp_path / "sitecustomize.py").write_text(patch)
    changed = os.environ | {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"}
    more = ["hydra/launcher=joblib", "shards=2", "hydra.launcher.n_jobs=2"]
    words = [sys.executable, "-m", "runner", *SWEEP, *QUICK, "exact=true", *more]
    done = subprocess.run(words, cwd=tmp_path, env=changed, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ("a file system without locks (No locks available)" in done.stdout + done.stderr) == refuse
    study = tmp_path / "results" / "s"
    for table, key in {"trials": ["trial"], "curves": ["trial", "epoch"]}.items():
        mine, wanted = (
            pd.read_csv(folder / f"{table}.csv").sort_values(key, ignore_index=True) for folder in (study, calm)
        )
        assert list(map(tuple, mine[key].to_numpy())) == list(map(tuple, wanted[key].to_numpy()))
        assert mine["val_loss"].to_list() == wanted["val_loss"].to_list()
    assert parts.of(study) == []
