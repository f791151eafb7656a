"""The table of folklore: `python -m runner.folklore [FOLDER] [--checks]`, by default results/folklore.

Measures checks.csv if it is not there (or with --checks), then writes folklore.csv, folklore.md and table.csv from the
studies in the folder.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from runner.errors import UserError
from runner.folklore.judge import STUDIES, verdicts
from runner.folklore.verdict import Verdict
from runner.report.table import pipe

USAGE = "usage: python -m runner.folklore [FOLDER] [--checks]"
TABLE = "test_error epochs_to_target train_loss gap_loss".split()


def main() -> int:
    """0 done; 2 refused in one line."""
    words = [word for word in sys.argv[1:] if word != "--checks"]
    if len(words) > 1 or any(word.startswith("-") for word in words):
        print(USAGE, file=sys.stderr)
        return 2
    folder = Path(words[0] if words else "results/folklore")
    try:
        if "--checks" in sys.argv or not (folder / "checks.csv").exists():
            _measure(folder)
        found = verdicts(folder)
        costs = table(folder)
        costs.to_csv(folder / "table.csv", index=False, lineterminator="\n")
        rows = pd.DataFrame([asdict(verdict) for verdict in found])
        rows.to_csv(folder / "folklore.csv", index=False, lineterminator="\n")
        (folder / "folklore.md").write_text(markdown(found, costs), encoding="utf-8")
    except (UserError, OSError) as error:
        print(f"runner.folklore: {error}", file=sys.stderr)
        return 2
    print(markdown(found, costs))
    return 0


def _measure(folder: Path) -> None:
    from runner.folklore.checks import measured

    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(measured()).to_csv(folder / "checks.csv", index=False, lineterminator="\n")


def table(folder: Path) -> pd.DataFrame:
    """Claim 9's columns for our own runs: test error, epochs to target, step time and bytes of state, by network."""
    checks = dict(pd.read_csv(folder / "checks.csv")[["check", "value"]].itertuples(index=False, name=None))
    rows = []
    for name in STUDIES[:2]:
        found = pd.read_csv(folder / name / "generalization.csv")
        for row in found.to_dict("records"):
            kind = "adamw" if row["arm"].startswith("AdamW") else "adam" if row["arm"].startswith("Adam") else ""
            rows.append(
                {"network": name, "setting": row.get("block_label"), "arm": row["arm"]}
                | {key: row.get(key) if key in row else row.get(f"{key}_mean") for key in TABLE}
                | {"step_us": checks.get(f"{name}_{kind}_step"), "state_bytes": checks.get(f"{name}_{kind}_state")}
            )
    return pd.DataFrame(rows)


def markdown(found: list[Verdict], costs: pd.DataFrame) -> str:
    """folklore.md."""
    head = ["#", "said", "what was measured", "value", "verdict", "behind it"]
    lines = [[str(v.number), v.said, v.measured, v.value, v.verdict, v.behind] for v in found]
    cost_lines = [[_cell(value) for value in row] for row in costs.to_numpy()]
    return (
        "# What practitioners say, measured\n\n"
        "Verdicts are given by code from the CSV files beside this page, and could have come out either way "
        "(`python -m runner.folklore`). Distances are relative to how far training moved the weights.\n\n"
        f"{pipe(head, lines)}\n\n## Costs and errors of our own runs (claim 9)\n\n"
        f"{pipe(list(costs.columns), cost_lines)}\n"
    )


def _cell(value: object) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
