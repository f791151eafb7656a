"""The table of folklore: `python -m runner.folklore [FOLDER] [--checks]`, by default results/folklore.

Measures checks.csv and resume.csv if they are not there (or with --checks), then writes folklore.csv, folklore.md,
table.csv and resume.png from them and the studies in the folder. What was not run is not measured, and said so.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # before torch: else every profile announces itself
import pandas as pd

from runner.errors import UserError
from runner.folklore.judge import AGAIN, read_checks, verdicts
from runner.folklore.page import costs, markdown
from runner.folklore.resume import draw, kink, resumed
from runner.folklore.studies import read_all
from runner.system.streams import guarded

USAGE = "usage: python -m runner.folklore [FOLDER] [--checks]"


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
        studies = read_all(folder)  # before anything is measured
        _measure(folder, again="--checks" in sys.argv)
        rows, table, resumes = verdicts(folder, studies), costs(studies, read_checks(folder)), _resumes(folder)
        table.to_csv(folder / "table.csv", index=False, lineterminator="\n")
        pd.DataFrame([asdict(row) for row in rows]).to_csv(folder / "folklore.csv", index=False, lineterminator="\n")
        text = markdown(rows, table, resumes, _again(folder))
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


def _again(folder: Path) -> dict[int, str]:
    """The verdicts of other splits and seeds, from again.csv: columns of the folklore.csv of those studies."""
    path = folder / "again.csv"
    if not path.exists():
        return {}
    try:
        return {int(row["number"]): str(row["verdict"]) for row in pd.read_csv(path).to_dict("records")}
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: needs columns number and verdict ({str(error)[:60]})") from error


def _resumes(folder: Path) -> pd.DataFrame:
    path = folder / "resume.csv"
    try:
        resumes = pd.read_csv(path)
        kink(resumes)
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not the trajectories of resumed runs ({str(error)[:60]}); {AGAIN}") from error
    return resumes


if __name__ == "__main__":
    with guarded("runner.folklore"):
        sys.exit(main())
