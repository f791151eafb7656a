"""folklore.md: `markdown(...)`, and the table of costs beside the verdicts, `costs(...)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from runner.analysis.measures import number, short
from runner.folklore.resume import kink
from runner.folklore.speed import needed, reached
from runner.folklore.studies import COMMANDS, NETWORKS, Studies, values
from runner.folklore.verdict import Verdict
from runner.report.table import Table

CHECKS = {"step_us": "step", "state_bytes": "state", "peak_kib": "peak"}


def costs(studies: Studies, checks: Mapping[str, float]) -> pd.DataFrame:
    """Statement 9's columns for our own runs: a row for each network and arm of its longest runs under a cosine."""
    rows = []
    for name, network in NETWORKS.items():
        block = studies[name].main
        if block is None:
            continue
        for arm in block.arms:
            # Without decay both twins have the same runs, and the checks those of Adam.
            optimizer = arm.optimizer.removesuffix("w") if not arm.wd_convention else arm.optimizer
            means = [_mean(values(arm, column)) for column in ("test_error", "train_loss", "gap_loss")]
            rows.append(
                {"network": network, "arm": arm.arm, "replicates": len(arm.replicates)}
                | dict(zip(("test_error", "train_loss", "gap_loss"), means, strict=True))
                | {"epochs_to_target": _mean(needed(block, arm)), "reached": reached(arm)}
                | {column: checks.get(f"{name}_{optimizer}_{check}") for column, check in CHECKS.items()}
            )
    return pd.DataFrame(rows)


def markdown(rows: Sequence[Verdict], costs: pd.DataFrame, resumes: pd.DataFrame, again: Mapping[int, str]) -> str:
    """The page.

    Args:
        rows: of `runner.folklore.judge.verdicts`.
        costs: of `costs`.
        resumes: resume.csv.
        again: the verdicts of studies that were trained with other splits and seeds, by number; may be empty.
    """
    columns = ["#", "said", "what was measured", "value", "verdict", "again", "behind it"]
    lines = [[str(v.number), v.said, v.measured, v.value, v.verdict, again.get(v.number, "–"), v.behind] for v in rows]
    if not again:
        for line in (columns, *lines):
            del line[5]
    said = Table("What practitioners say, measured", columns, lines, words=range(1, len(columns)))
    lost = kink(resumes)
    return "\n\n".join(
        [
            "# What practitioners say, measured",
            _INTRODUCTION,
            *([_AGAIN] if again else []),
            said.markdown(),
            "## Costs and errors of our own runs",
            _table(costs),
            _COSTS,
            "## Classic resume error: the optimizer state is not restored",
            "The runner restores it. Where only the weights are restored, the training loss of the next steps is "
            f"{number(lost['kink'], 3)} nats higher "
            f"[{number(lost['low'], 3)}, {number(lost['high'], 3)}] (resume.csv). "
            "Adam's first steps are as large as the rate, whatever the gradient.",
            "![Loss and step size around the moment of resuming](resume.png)",
            "## How it was made",
            "```sh\n" + "\n".join([*COMMANDS.values(), "python -m runner.folklore results/folklore"]) + "\n```\n",
        ]
    )


_INTRODUCTION = """\
Code gives every verdict from the CSV files beside this page, and each check can come out either way. All runs are of
small networks on digits, so a verdict is about these.

- **True**: a test shows the statement, at the 2.5 % level of each side.
- **False**: a test shows that it does not hold: a difference has the other sign, or is smaller than a margin. A wide
  interval is never false.
- **Partly true**: a part is true, and the rest is false or undecided.
- **Undecided**: neither was shown. **Not measured**: nothing here can show it.

A replicate is a split of the data with a search and winners of its own, and the unit of every test. In brackets are
95 % intervals over replicates. No correction is made for the number of statements.

Margins are 5 % of the other arm's error or loss, 10 % of its epochs, 25 % of its spread, and 5 points of a share. An
arm that is best on the edge of its grid might do better outside, and a verdict that this could turn is withheld. Where
an arm has several rivals, the best is chosen on the other replicates. Distances between trajectories are relative to
how far training moved the weights."""

_AGAIN = """\
**Again** is what came out when the studies were trained once more, with other splits and seeds: the commands below
with `results=mine dataset.split=100` and `'seed=[500000,500001]'`, for the mechanism `seed=500000`. Its values are in
[again.csv](again.csv)."""

_COSTS = """\
Errors and losses are means over replicates. `epochs_to_target` counts a run that did not reach the target as one epoch
more than it had; `reached` is the share that did. `step_us` is the fastest of many steps of the optimizer alone.
`state_bytes` are kept for each parameter. `peak_kib` is the most that a training step of batch 32 holds beyond the
weights."""


def _table(costs: pd.DataFrame) -> str:
    if costs.empty:
        return "Not measured."
    lines = [[_cell(value) for value in row] for row in costs.to_numpy()]
    return Table("Costs and errors", list(costs.columns), lines, words=(1,)).markdown()


def _cell(value: object) -> str:
    if value is None or value != value:
        return ""
    return short(value) if isinstance(value, float) else str(value)


def _mean(by_unit: Mapping[int, float]) -> float:
    return sum(by_unit.values()) / len(by_unit) if by_unit else float("nan")
