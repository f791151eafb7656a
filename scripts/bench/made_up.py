"""A study of made-up rows under the trials' own ids, for `bench plan` and `bench records`: `study(folder, ...)`."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from hydra import compose, initialize_config_module

from runner.config.compose import from_config
from runner.data.load import load
from runner.records.schema import CURVES, TRIALS
from runner.trials.described import described
from runner.trials.trial import Facts, expand
from scripts.bench.common import ROOT

ROW = ROOT / "results" / "digits-cpu" / "trials.csv"
# The cells of a row of curves.csv after trial, epoch and step, as long as real ones.
CURVE = "0.01,0.001,0.12345678901234567,,,0.2345678901234567,3.4068136272545093,,,18.757717408857665,0.02558,0.41"


def study(folder: Path, trials: int, epochs: int) -> list[str]:
    """Write trials.csv and curves.csv to `folder`; the trials' ids.

    The rows are as after `-m seed=range(0,TRIALS) epochs=EPOCHS study=s`.
    """
    with initialize_config_module("configs", version_base="1.3"):
        settings = from_config(compose("config", [f"epochs={epochs}"]))
    (first,) = expand(settings, Facts.of(load(settings.dataset)))
    with ROW.open(newline="") as file:
        known = {name: cell for name, cell in next(csv.DictReader(file)).items() if name in TRIALS}
    ids = []
    folder.mkdir(parents=True)
    with (folder / "trials.csv").open("w", newline="") as rows, (folder / "curves.csv").open("w") as curves:
        writer = csv.DictWriter(rows, TRIALS, lineterminator="\n")
        writer.writeheader()
        curves.write(",".join(CURVES) + "\n")
        for seed in range(trials):
            trial = replace(first, seed=seed)
            own = described(trial) | {"study": "s", "phase": "search", "status": "ok"}
            writer.writerow(known | own | {"val_error": 3 + seed % 17 / 16})
            curves.write("".join(f"{trial.id},{epoch},{13 * epoch},{CURVE}\n" for epoch in range(1, epochs + 1)))
            ids.append(trial.id)
    return ids
