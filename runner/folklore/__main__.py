"""The table of folklore: `python -m runner.folklore [FOLDER] [--checks]`, by default results/folklore.

Measures checks.csv and resume.csv if they are not there (or with --checks), then writes folklore.csv, folklore.md,
table.csv and resume.png from them and the studies in the folder.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # before torch: else every profile announces itself
import pandas as pd

from runner.analysis.measures import number
from runner.errors import UserError
from runner.folklore.judge import AGAIN, STUDIES, place, read_checks, verdicts
from runner.folklore.resume import draw, kink, resumed
from runner.folklore.verdict import Verdict
from runner.report.table import Table
from runner.system.streams import guarded

USAGE = "usage: python -m runner.folklore [FOLDER] [--checks]"
COSTS = {"step_us": "step", "state_bytes": "state", "peak_kib": "peak"}
TABLE = "test_error epochs_to_target epochs_to_target_n n train_loss gap_loss".split()


def main() -> int:
    """0 done; 2 refused in one line."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(USAGE)
        return 0
    words = [word for word in sys.argv[1:] if word != "--checks"]
    if len(words) > 1 or any(word.startswith("-") for word in words):
        print(USAGE, file=sys.stderr)
        return 2
    folder = Path(words[0] if words else "results/folklore")
    try:
        for name in STUDIES:
            place(folder, name)  # before anything is measured
        _measure(folder, again="--checks" in sys.argv)
        rows, costs, resumes = verdicts(folder), table(folder), _resumes(folder)
        costs.to_csv(folder / "table.csv", index=False, lineterminator="\n")
        pd.DataFrame([asdict(row) for row in rows]).to_csv(folder / "folklore.csv", index=False, lineterminator="\n")
        text = markdown(rows, costs, resumes)
        draw(resumes, folder / "resume.png")
        (folder / "folklore.md").write_text(text, encoding="utf-8")
    except (UserError, OSError) as error:
        print(f"runner.folklore: {error}", file=sys.stderr)
        return 2
    print(text)
    return 0


def _measure(folder: Path, again: bool) -> None:
    """What is not in a study: trajectories, costs, and a resumed run."""
    from runner.folklore.checks import measured

    folder.mkdir(parents=True, exist_ok=True)
    for name, make in (("checks.csv", lambda: pd.DataFrame(measured())), ("resume.csv", resumed)):
        if again or not (folder / name).exists():
            make().to_csv(folder / name, index=False, lineterminator="\n")


def _resumes(folder: Path) -> pd.DataFrame:
    path = folder / "resume.csv"
    try:
        resumes = pd.read_csv(path)
        kink(resumes)
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not the trajectories of resumed runs ({str(error)[:60]}); {AGAIN}") from error
    return resumes


def table(folder: Path) -> pd.DataFrame:
    """Claim 9's columns for our own runs: test error, epochs to target, step time and bytes of state, by network."""
    checks = read_checks(folder)
    rows = []
    for name in STUDIES[:2]:
        for row in pd.read_csv(place(folder, name) / "generalization.csv").to_dict("records"):
            # Without decay both twins have the same runs, and the checks those of Adam.
            optimizer = row["optimizer"].removesuffix("w") if row["wd"] == 0 else row["optimizer"]
            rows.append(
                {"network": name, "setting": row.get("block_label"), "arm": row["arm"]}
                | {key: row.get(key) if key in row else row.get(f"{key}_mean") for key in TABLE}
                | {column: checks.get(f"{name}_{optimizer}_{check}") for column, check in COSTS.items()}
            )
    return pd.DataFrame(rows)


def markdown(rows: list[Verdict], costs: pd.DataFrame, resumes: pd.DataFrame) -> str:
    """folklore.md."""
    lost = kink(resumes)
    said = Table(
        "What practitioners say, measured",
        ("#", "said", "what was measured", "value", "verdict", "behind it"),
        [[str(v.number), v.said, v.measured, v.value, v.verdict, v.behind] for v in rows],
        words=(1, 2, 3, 4, 5),
    )
    lines = [[_cell(value) for value in row] for row in costs.to_numpy()]
    costs_table = Table("Costs and errors", list(costs.columns), lines, words=(1, 2))
    return (
        "# What practitioners say, measured\n\n"
        "Verdicts are given by code from the CSV files beside this page (`python -m runner.folklore`), and each check "
        "can come out either way. Distances are relative to how far training moved the weights; in brackets are 95 % "
        "intervals over seeds.\n\n"
        f"{said.markdown()}\n\n## Costs and errors of our own runs (claim 9)\n\n"
        f"{costs_table.markdown()}\n\n"
        "`epochs_to_target` is the mean over the `epochs_to_target_n` of `n` runs that reached it (claims 9 and 12 "
        "count a run that did not as one epoch more than it had). `step_us`: the fastest of many steps of the "
        "optimizer alone; `state_bytes` for each parameter; `peak_kib`: the most that a training step of batch 32 "
        "holds beyond the weights.\n\n"
        "## Classic resume error: the optimizer state is not restored\n\n"
        "The runner restores it. Where only the weights are restored, the training loss of the next 10 steps is "
        f"{number(lost['kink'], 3)} nats higher [{number(lost['low'], 3)}, {number(lost['high'], 3)}] (resume.csv), "
        "because Adam's first steps are as large as the rate, whatever the gradient.\n\n"
        "![Loss and step size around the moment of resuming](resume.png)\n"
    )


def _cell(value: object) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    with guarded("runner.folklore"):
        sys.exit(main())
