#!/usr/bin/env python3
"""Put the tables of committed studies, and of the columns of records, into the pages that show them (`PAGES`)."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pandas as pd

from runner.analysis.primary import results_of
from runner.records.column import Text
from runner.records.read import read
from runner.records.schema import TABLES
from runner.report.setting import NAMES
from scripts.claims_page import came_again, claims
from scripts.error_rates.tables import tables as error_rates

ROOT = Path(__file__).resolve().parents[1]
PAGES = tuple(
    ROOT / page for page in ("README.md", "results/README.md", "results/columns.md", "results/protocol-cpu/README.md")
)
MARKS = r"(<!-- {name} -->\n).*?(<!-- end -->)"
# What a verdict on AdamW beside Adam + L2 answers to the title's question.
ANSWERS = {"lower": "yes", "higher": "no, it generalizes worse", "equal": "no, both do alike"}


def table(results: pd.DataFrame) -> str:
    """A table from the rows of a study's generalization.csv."""
    lines = [
        "| | best lr | best wd | fresh seeds | test error (%) | gap in loss | against Adam + L2 (points) |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    row: Any
    for row in results.itertuples():
        in_torch = f" = {row.wd / row.lr:g} (torch)" if row.wd_convention == "paper" else ""
        against = f"{_difference(row)}: {row.verdict}" if pd.notna(row.difference) else "–"
        lines.append(
            f"| {row.arm} | {row.lr:g} | {_decay(row)}{in_torch} | {row.n} | {_error(row)} | {row.gap_loss:.3f} "
            f"| {against} |"
        )
    lines.append("")
    lines.append(
        f"± is the 95 % t-interval over seeds; {results.trials.sum()} search runs chose the cells by validation "
        f"error; one of the {results.test_size[0]:g} test images is {100 / results.test_size[0]:.2f} points."
    )
    return "\n".join(lines) + "\n"


def _error(row: Any) -> str:
    """'9.77 ± 1.03', an arm's test error with half its interval."""
    return f"{row.test_error:.2f} ± {(row.test_error_high - row.test_error_low) / 2:.2f}"


def _difference(row: Any, digits: int = 2) -> str:
    """'-4.16 ± 0.84', an arm's difference to its reference with half the interval that it is judged by."""
    return f"{_signed(row.difference, digits)} ± {(row.difference_high - row.difference_low) / 2:.{digits}f}"


def _decay(row: Any) -> str:
    """'0.016 (paper)', a decay with what it means."""
    return f"{row.wd:g} ({'L2' if row.wd_convention == 'l2' else row.wd_convention})" if row.wd else f"{row.wd:g}"


def answers(results: pd.DataFrame) -> str:
    """The answer of each network of the digits study in words, from the rows of its generalization.csv."""
    lines = []
    adamw: Any
    other: Any
    for name, rows in results.groupby("model", sort=False):
        (adamw,) = rows[rows["arm"] == "AdamW"].itertuples()
        (other,) = rows[rows["arm"] == adamw.reference].itertuples()
        lines.append(
            f"* **Small {NAMES[str(name)]}: {ANSWERS.get(adamw.verdict, 'undecided')}.** AdamW errs on "
            f"{adamw.test_error:.1f} % of the test images, {other.arm} on {other.test_error:.1f} %. The difference is "
            f"{_difference(adamw, 1)} points."
        )
    return "\n".join(lines) + "\n"


def repeated(runs: pd.DataFrame, claims: pd.DataFrame) -> str:
    """How often the digits experiment comes to its verdicts on the Transformer again.

    `runs`: the rows of repeats.csv; `claims`: those of repeats_claims.csv.
    """
    tuning = claims[claims["claim"] == "25"]
    counts = runs["verdict"].str.split(" (", regex=False).str[0].value_counts()
    (arm,), (other,) = runs["arm"].unique(), runs["reference"].unique()
    words = " and ".join(f"{word} in {count}" for word, count in counts.items())
    return (
        f"The Transformer's part was run {len(runs)} times, [each with other splits and other "
        f"seeds](results/digits-cpu/repeats.csv). Against {other} the verdict on {arm} was {words}; its error was "
        f"lower by {-runs['difference'].max():.1f} to {-runs['difference'].min():.1f} points. Of [a few random "
        f"cells](results/digits-cpu/plots/tuning_model-transformer.png) the best of {arm} erred less than the best of "
        f"{other} in {(tuning['value'] < 0).sum()} of the {len(tuning)} runs, by {-tuning['value'].max():.1f} to "
        f"{-tuning['value'].min():.1f} points; that {arm} is easier to tune is a verdict in "
        f"{(tuning['verdict'] == 'confirmed').sum()} of them.\n"
    )


def beside_none(study: Path) -> str:
    """What AdamW gains over Adam without decay, network by network, judged as the study judges its own comparisons."""
    lines = []
    for block in results_of(study, read(study), "Adam, no decay"):
        (adamw,) = [arm for arm in block.arms if arm.arm == "AdamW"]
        assert adamw.difference is not None
        found = adamw.difference.difference
        half = (found.high - found.low) / 2
        name = NAMES[str(block.block.settings["model"])]
        lines.append(f"{_signed(found.mean, 1)} ± {half:.1f} points ({adamw.verdict}) on the {name}")
    return f"* **Decay the weights.** AdamW beside Adam without decay: {', '.join(lines)}.\n"


def _signed(value: float, digits: int) -> str:
    """'+0.3' or '-0.3', and '0.0' where nothing is left of it."""
    text = f"{value:+.{digits}f}"
    return text if float(text) else text[1:]


def over_replicates(results: pd.DataFrame) -> str:
    """A table of a study with replicates, from the rows of its generalization.csv."""
    lines = [
        "| | | test error (%) | gap in loss | difference to the reference (points) | verdict | best lr | best wd |",
        "|---|---|---:|---:|---:|---|---:|---:|",
    ]
    row: Any
    for row in results.itertuples():
        compared = pd.notna(row.difference)
        against = f"{_difference(row)} | {row.verdict}" if compared else "– | the reference"
        lines.append(
            f"| {NAMES[row.model]} | {row.arm} | {_error(row)} | {row.gap_loss:.3f} | {against} "
            f"| {row.lr:g} | {_decay(row)} |"
        )
    level = results["difference_level"].dropna().iloc[0]
    lines += [
        "",
        f"± is the 95 % interval over {results.replicates[0]} replicates, {level:g} % for a difference. The best cell "
        "is that in the mean over all of them; each has its own. The gap is the test loss minus the training loss, in "
        "nats.",
    ]
    return "\n".join(lines) + "\n"


def sparing(study: Path) -> str:
    """What norms and biases spared from decay do, network by network: at the best cell, and at the median one."""
    winners, trials = pd.read_csv(study / "generalization.csv"), read(study)
    search = trials[(trials["phase"] == "search") & (trials["wd"] > 0)]
    heads = [head for model in winners["model"].unique() for head in (f"{NAMES[model]}: best", "median")]
    lines = [f"| | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    row: Any
    for arm, rows in winners.groupby("arm", sort=False):
        cells = []
        for row in rows.itertuples():
            cells.append(_error(row) + (" (edge)" if isinstance(row.edge, str) else ""))
            cells.append(_median(search[search["model"] == row.model], row.optimizer, row.arm))
        name = str(arm).replace("(all)", "on all parameters").replace("(weights)", "on weights only")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _median(search: pd.DataFrame, optimizer: str, arm: str) -> str:
    """The test error of the median cell of an arm's grid, wd 0 left out."""
    params = re.search(r"\((\w+)\)", arm)
    if params is None:
        return "–"
    of_arm = search[(search["optimizer"] == optimizer) & (search["decay_params"] == params[1])]
    return f"{of_arm.groupby(['lr', 'wd'])['test_error'].mean().median():.1f}"


def columns() -> dict[str, str]:
    """The columns of each table of the records as declared, by the name of their mark in results/columns.md."""
    texts = {}
    for table, declared in TABLES.items():
        lines = ["| column | holds | meaning |", "|---|---|---|"]
        for column in declared:
            words = ", ".join(f"`{word}`" for word in column.kind.choices) if isinstance(column.kind, Text) else ""
            holds = words or ("text" if isinstance(column.kind, Text) else column.kind.right)
            lines.append(f"| `{column.name}` | {holds} | {column.meaning} |")
        texts[f"{table} columns"] = "\n".join(lines) + "\n"
    return texts


def _filled(page: str, name: str, text: str) -> str:
    """The page with `text` between the marks of `name`."""
    return re.sub(MARKS.format(name=name), lambda m: m[1] + text + m[2], page, flags=re.DOTALL)


def with_tables(page: str, results: Path) -> str:
    """A page with those tables that it has marks for, as the committed studies have them."""
    digits, cifar10 = (
        pd.read_csv(results / study / "generalization.csv") for study in ("digits-cpu", "cifar10-fig2-h100")
    )
    texts = {
        "digits answer": answers(digits),
        "digits repeats": repeated(
            pd.read_csv(results / "digits-cpu" / "repeats.csv"),
            pd.read_csv(results / "digits-cpu" / "repeats_claims.csv", dtype={"claim": str}),
        ),
        "digits table": over_replicates(digits),
        "CIFAR-10 table": table(cifar10),
    }
    texts |= {"claims again": came_again(results), "beside none": beside_none(results / "digits-cpu")}
    texts |= {"sparing table": sparing(results / "decay-params-cpu"), "claims table": claims(results)} | columns()
    texts |= error_rates(results / "protocol-cpu" / "error_rates.csv")
    for name, text in texts.items():
        page = _filled(page, name, text)
    return page


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(with_tables(path.read_text(encoding="utf-8"), ROOT / "results"), encoding="utf-8")
