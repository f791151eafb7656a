"""What was measured along the runs that stand for an arm, diverged ones included: `by_run(table, arm, column)`."""

from __future__ import annotations

import pandas as pd

from runner.analysis.study_results import ArmResult


def by_run(table: pd.DataFrame, arm: ArmResult, column: str) -> pd.DataFrame:
    """[epoch, seed] of a column of curves.csv or cycles.csv, for the runs that are reported.

    A run that diverged has no rows after that, and without it the rest would flatter. So it counts with what its row of
    trials.csv has from there on, as everywhere: chance of an error, no number of a loss. Epochs at which a run that
    ended well was not evaluated are left out.
    """
    rows = of_reported(table, arm)
    if arm.rows is None or rows.empty:
        return pd.DataFrame()
    runs = rows.pivot_table(index="epoch", columns="seed", values=column)
    ended = arm.rows.set_index("seed")
    diverged = ended["status"] == "diverged"
    runs = runs.dropna(subset=[seed for seed in runs.columns if not diverged[seed]])
    lost = ended.loc[diverged, column]
    return runs.reindex(columns=[seed for seed in ended.index if diverged[seed] or seed in runs.columns]).fillna(lost)


def by_unit(runs: pd.DataFrame, arm: ArmResult) -> pd.DataFrame:
    """[epoch, unit] of what `by_run` has: the mean over the runs of each unit, which has none where one has none."""
    units = unit_of(arm)
    seeds = {unit: [seed for seed in runs if units[int(str(seed))] == unit] for unit in dict.fromkeys(units.values())}
    return pd.DataFrame({unit: runs[of].mean(axis=1, skipna=False) for unit, of in seeds.items() if of})


def unit_of(arm: ArmResult) -> dict[int, int]:
    """By seed the replicate; where there is one, the seed."""
    if arm.rows is None:
        return {}
    return {int(seed): int(unit) for seed, unit in zip(arm.rows["seed"], arm.rows[arm.unit], strict=True)}


def of_reported(table: pd.DataFrame, arm: ArmResult) -> pd.DataFrame:
    """The rows of curves.csv or cycles.csv of the runs that are reported, with their `seed`."""
    if arm.rows is None or table.empty:
        return pd.DataFrame()
    return table.drop(columns="seed", errors="ignore").merge(arm.rows[["trial", "seed"]], on="trial")
