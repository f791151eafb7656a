#!/usr/bin/env python3
"""Put the tables of committed studies into README.md and results/README.md, and of columns into results/columns.md."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from runner.records.column import Text
from runner.records.schema import TABLES

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", ROOT / "results" / "README.md", ROOT / "results" / "columns.md")
MARKS = r"(<!-- {name} -->\n).*?(<!-- end -->)"
# What the claims table shows: (study, a word that the scope holds).
SHOWN = (
    ("claims-cpu", "cosine schedule"),
    ("claims-cpu", ""),  # claims 2 and 3, which are about several schedules
    ("cifar-16px-cpu", ""),
    ("restarts-cpu", "restarts"),
    ("budgets-cpu", "budget"),
    ("mechanism-cpu", ""),
    ("scale-free-cpu", ""),
    ("grokking-cpu", "fractions"),
    ("decay-params-cpu/resnet", ""),
    ("decay-params-cpu/transformer", ""),
    ("decay-params-cpu/photographs", ""),
)
SPARING = {name: f"decay-params-cpu/{name.lower()}" for name in ("ResNet", "Transformer", "Photographs")}
SUBJECTS = {"cifar-16px-cpu": " (photographs)"} | {
    study: f" ({'photographs' if name == 'Photographs' else name})" for name, study in SPARING.items()
}
SEVERAL = ("2", "3")  # claims about several schedules
WHOLE = ("10", "11")  # claims about several budgets


def table(results: pd.DataFrame) -> str:
    """A table from the rows of a study's generalization.csv."""
    lines = [
        "| | best lr | best wd | fresh seeds | test error (%) | gap in loss | against Adam + L2 (points) |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in results.itertuples():
        unit = f" ({'L2' if row.wd_convention == 'l2' else row.wd_convention})" if row.wd else ""
        if row.wd_convention == "paper":
            unit += f" = {row.wd / row.lr:g} (torch)"
        half = (row.test_error_high - row.test_error_low) / 2
        against = "–"
        if pd.notna(row.difference):
            spread = (row.difference_high - row.difference_low) / 2
            against = f"{row.difference:+.2f} ± {spread:.2f}: {row.verdict}"
        lines.append(
            f"| {row.arm} | {row.lr:g} | {row.wd:g}{unit} | {row.n} | {row.test_error:.2f} ± {half:.2f} "
            f"| {row.gap_loss:.3f} | {against} |"
        )
    lines.append("")
    lines.append(
        f"± is the 95 % t-interval over seeds; {results.trials.sum()} search runs chose the cells by validation "
        f"error; one of the {results.test_size[0]:g} test images is {100 / results.test_size[0]:.2f} points."
    )
    return "\n".join(lines) + "\n"


def sparing(results: Path) -> str:
    """What norms and biases spared from decay do, study by study: at the best cell, and at the median one."""
    found = {name: pd.read_csv(results / study / "generalization.csv") for name, study in SPARING.items()}
    search = {name: _search(results / study / "trials.csv") for name, study in SPARING.items()}
    heads = [head for name in found for head in (f"{name}: best", "median")]
    lines = [f"| | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    for arm in next(iter(found.values()))["arm"]:
        cells = []
        for name, table in found.items():
            (row,) = table[table["arm"] == arm].itertuples()
            half = (row.test_error_high - row.test_error_low) / 2
            edge = " (edge)" if isinstance(row.edge, str) else ""
            cells.append(f"{row.test_error:.2f} ± {half:.2f}{edge}")
            cells.append(_median(search[name], row.optimizer, arm))
        name = arm.replace("(all)", "on all parameters").replace("(weights)", "on weights only")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _search(path: Path) -> pd.DataFrame:
    rows = pd.read_csv(path)
    return rows[(rows["phase"] == "search") & (rows["wd"] > 0)]


def _median(search: pd.DataFrame, optimizer: str, arm: str) -> str:
    """The validation error of the median cell of an arm's grid, wd 0 left out."""
    params = re.search(r"\((\w+)\)", arm)
    if params is None:
        return "–"
    mine = search[(search["optimizer"] == optimizer) & (search["decay_params"] == params[1])]
    return f"{mine.groupby(['lr', 'wd'])['val_error'].mean().median():.1f}"


def claims(results: Path) -> str:
    """The table of verdicts, from the claims.csv of the committed studies."""
    lines = ["| claim | verdict | measured [95 %] | the paper |", "|---|---|---:|---|"]
    rows = [row for study, word in SHOWN for row in _shown(results / study / "claims.csv", study, word)]
    for row in sorted(rows, key=lambda row: int(re.match(r"\d+", str(row["claim"])).group())):  # type: ignore[union-attr]
        because = str(row["why"]).split(";")[0] if row["verdict"] == "undecided" else ""
        value = f"{row['value']:.2g} [{row['low']:.2g}, {row['high']:.2g}]" if pd.notna(row["value"]) else "–"
        verdict = f"{row['verdict']} ({because})" if because and value == "–" else row["verdict"]
        what = str(row["statistic"]).split("(")[-1].rstrip(")") if "(" in str(row["statistic"]) else ""
        unit = " points" if what.startswith("points") else ""
        link = f"[{row['claim']}]({row['study']}/claims.md)"
        name = f"{row['name']}{SUBJECTS.get(str(row['study']), '')}"
        lines.append(f"| {link}. {name} | {verdict} | {value}{unit} | {row['paper_value']} |")
    return "\n".join(lines) + "\n"


def _shown(path: Path, study: str, word: str) -> list[dict[str, object]]:
    found = []
    for row in pd.read_csv(path, dtype={"claim": str}, keep_default_na=True).fillna({"why": ""}).to_dict("records"):
        several, whole = row["claim"] in SEVERAL, row["claim"] in WHOLE
        if study == "claims-cpu" and several != (word == ""):
            continue
        if study == "budgets-cpu" and not whole:
            continue
        if study in ("mechanism-cpu", "scale-free-cpu") and row["claim"] not in ("18", "19", "21"):
            continue
        if study.startswith("decay-params-cpu") and row["claim"] not in ("1", "24"):
            continue
        if study == "decay-params-cpu/photographs" and "(all)" in str(row["name"]):
            continue  # the same rows as those of cifar-16px-cpu
        if study in ("restarts-cpu",) and row["claim"] != "15":
            continue
        if study in ("claims-cpu", "grokking-cpu") and word not in str(row["scope"]):
            continue
        found.append({str(key): value for key, value in row.items()} | {"study": study})
    return found


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


def with_tables(page: str, results: Path) -> str:
    """A page with those tables that it has marks for, as the committed studies have them."""
    shown = {"digits": "digits-cpu", "photographs": "cifar-16px-cpu", "CIFAR-10": "cifar10-fig2-h100"}
    texts = {
        f"{name} table": table(pd.read_csv(results / study / "generalization.csv")) for name, study in shown.items()
    }
    for name, text in (
        texts | {"sparing table": sparing(results), "claims table": claims(results)} | columns()
    ).items():
        page = re.sub(MARKS.format(name=name), lambda m, text=text: m[1] + text + m[2], page, flags=re.DOTALL)
    return page


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(with_tables(path.read_text(encoding="utf-8"), ROOT / "results"), encoding="utf-8")
