"""`python -m runner.report results/<study> [more]`: the table in the terminal, and where the files are."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from runner.errors import UserError
from runner.system.streams import guarded


def main(arguments: Sequence[str] | None = None) -> int:
    """Report every folder given; returns the exit status: 0, or 2 if one of them could not be reported."""
    parser = argparse.ArgumentParser(
        prog="python -m runner.report",
        description="Tables and plots of a study from its CSV files, without training.",
        epilog="Writes generalization.csv, generalization.md, report.html and plots/*.png into the study's folder.",
    )
    parser.add_argument("study", nargs="+", type=Path, help="folder of a study, such as results/digits-resnet")
    parser.add_argument(
        "--reference",
        default="",
        metavar="ARM",
        help="the arm that the others are compared with: adamw, l2, 'Adam + L2'; default: Adam + L2, Adam, the first",
    )
    parser.add_argument(
        "--claims",
        action="store_true",
        help="show the paper's claims in report.html also for data that are not the paper's",
    )
    given = parser.parse_args(arguments)
    folders = given.study
    status = 0
    from runner.records.read import exists
    from runner.records.regular import check_files
    from runner.report.progress import progress_note
    from runner.report.write import write_report

    for number, folder in enumerate(folders):
        try:
            check_files(folder)
            if note := progress_note(folder):
                print("\n".join([*([""] if number else []), note]), flush=True)
            if note and not exists(folder):
                continue  # jobs have begun, and no trial has ended
            report = write_report(folder, given.reference, given.claims)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            status = 2
            continue
        table, _, answer = report.terminal.rpartition("\n\n")  # the answer comes last of all
        lines = [*([""] if number else []), *([table] if table else []), *([""] if report.files else [])]
        lines += [*(f"wrote {path}" for path in report.files), *report.skipped, *([""] if report.files else []), answer]
        print("\n".join(lines), flush=True)
    return status


if __name__ == "__main__":
    with guarded("runner.report"):
        try:
            code = main()
        except KeyboardInterrupt:
            code = 130
    sys.exit(code)
