"""A study that version 0.1.0 began goes on under the ids of its files."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

from runner.records.read import read
from runner.rerun import rebuilt, settings_of
from runner.trials.older import as_on_record
from tests.records.test_older_records import FOLDERS, copied


def test_trials_of_an_older_study_keep_its_ids(tmp_path: Path) -> None:
    folder = copied("digits", tmp_path)
    flat = settings_of(read(folder).iloc[0].to_dict())
    trial, _ = rebuilt(flat, FOLDERS["digits"], {})
    other = replace(trial, seed=10**9)
    known = as_on_record(folder, {t.id: t for t in (trial, other)})
    assert list(known) == [trial.id[:10], other.id]
    assert [t.seed for t in known.values()] == [trial.seed, other.seed]
    assert pickle.loads(pickle.dumps(known[trial.id[:10]])).id == trial.id[:10]  # as it travels to workers
    assert replace(known[trial.id[:10]], seed=10**9).id == other.id
    # One that was begun and has no row yet has a place in the plan.
    (folder / "plan.csv").write_text(f"stack,slot,trial\nabc,0,{other.id[:10]}\n")
    assert list(as_on_record(folder, {t.id: t for t in (trial, other)})) == [trial.id[:10], other.id[:10]]


def test_a_row_of_another_trial_with_the_same_short_id_is_not_taken_for_this_one(tmp_path: Path) -> None:
    folder = copied("digits", tmp_path)
    row = read(folder).iloc[0].to_dict()
    trial, _ = rebuilt(settings_of(row), FOLDERS["digits"], {})
    path = folder / "trials.csv"
    lines = path.read_text().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if row["trial"] in line)
    lines[at] = lines[at].replace('""seed"":', '""seed"":7')
    path.write_text("".join(lines))
    assert list(as_on_record(folder, {trial.id: trial})) == [trial.id]
