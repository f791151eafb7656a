"""Where a study comes from, for report.html: its commands, machines and versions, and the paper beside it.

`commands(folder)`, `provenance(rows)`, `scaled(blocks)` and `overlaid(blocks)`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from runner.analysis import paper
from runner.analysis.measures import NOTHING, number, short
from runner.analysis.overlay import overlays, scale
from runner.analysis.study_results import BlockResults
from runner.records.commands import entries
from runner.report.table import Table

_GROUPS = ("optimizer", "schedule", "model", "dataset")
_PLACES = ("study", "results")


@dataclass(frozen=True)
class Command:
    """An entry of study.yaml: the command line, when and with what it ran, and its settings where they can be read."""

    text: str
    facts: str
    settings: Table | None


def commands(folder: Path) -> list[Command]:
    """The commands of study.yaml; none where there is none that can be read."""
    return [_command(entry) for entry in entries(folder) if isinstance(entry, dict)]


def _command(entry: Mapping[Any, Any]) -> Command:
    configurations = entry.get("settings")
    flat = [_flat(one) for one in configurations if isinstance(one, dict)] if isinstance(configurations, list) else []
    return Command(
        str(entry.get("command", "")),
        ", ".join(f"{name} {entry[name]}" for name in ("started", "version", "commit") if entry.get(name)),
        Table("Settings of this command", ("setting", "value"), _settings(flat), words=(1,)) if flat else None,
    )


def _flat(settings: Mapping[Any, Any], head: str = "") -> dict[str, str]:
    """{'model.width': '8', ...}"""
    flat: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{head}{name}.")
        elif f"{head}{name}" not in _PLACES:
            flat[f"{head}{name}"] = _plain(value)
    return flat


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value)
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "true" if value else "false"
    return short(value, 6) if isinstance(value, float) and math.isfinite(value) else str(value)


def _settings(flat: Sequence[Mapping[str, str]]) -> list[list[str]]:
    """(name, value) rows; a value that differs between the configurations names the one it belongs to."""
    names = list(dict.fromkeys(name for one in flat for name in one))
    varied = [f"{group}.name" for group in _GROUPS if len({one.get(f"{group}.name") for one in flat}) > 1]
    labels = [", ".join(one.get(name, NOTHING) for name in varied) for one in flat]
    if len(set(labels)) < len(flat):
        labels = [f"{label} [{k}]".strip() for k, label in enumerate(labels, 1)]
    rows = []
    for name in names:
        by_value: dict[str, list[str]] = {}
        for label, one in zip(labels, flat, strict=True):
            if name in one:
                by_value.setdefault(one[name], []).append(label)
        if name in varied:
            rows.append([name, ", ".join(by_value)])
            continue
        everywhere = len(by_value) == 1 and all(name in one for one in flat)
        lines = [value if everywhere else f"{'; '.join(owners)}: {value}" for value, owners in by_value.items()]
        rows.append([name, "\n".join(lines)])
    return rows


def provenance(rows: pd.DataFrame) -> list[Table]:
    """One line per version, device and precision with its number of trials and their time; and the rows' notes."""
    columns = ["version", "commit", "torch", "device", "precision"]
    frame = rows.assign(seconds=pd.to_numeric(rows["seconds"], errors="coerce"))
    frame[columns] = frame[columns].fillna("").astype(str)
    lines = [
        [*(str(part) or NOTHING for part in key), str(len(group)), number(group["seconds"].sum() / 60, 1)]
        for key, group in frame.groupby(columns, sort=False)
    ]
    tables = [Table("What the rows were trained with", [*columns, "trials", "minutes, summed"], lines, range(1, 5))]
    noted = frame[frame["note"].fillna("").astype(str) != ""]
    if len(noted):
        counts = Counter(zip(noted["status"].astype(str), noted["note"].astype(str), strict=True))
        shown = [[status, note, str(n)] for (status, note), n in counts.most_common(12)]
        more = f" (the {len(shown)} most frequent of {len(counts)})" if len(counts) > len(shown) else ""
        tables.append(Table(f"Notes of the trials{more}", ("status", "note", "trials"), shown, words=(1,)))
    return tables


def scaled(blocks: Sequence[BlockResults]) -> Table:
    """What was scaled: the settings of the paper's Figure 2 and of each block."""
    header = ["", "model", "dataset", "training examples", "epochs", "batch", "schedule", "updates B·T/b"]
    header += ["lambda at equal lambda_norm", "chosen on"]
    papers = ["the paper, Figure 2", paper.MODEL, paper.DATASET, f"{paper.TRAIN_SIZE:,}", str(paper.EPOCHS)]
    papers += [str(paper.BATCH), paper.SCHEDULE, f"{paper.UPDATES:,.0f}", "× 1", "test"]
    rows = [papers, *(_scale(results, len(blocks) > 1) for results in blocks)]
    return Table("What was scaled against the paper", header, rows, words=(1, 2, 6, 9))


def _scale(results: BlockResults, several: bool) -> list[str]:
    block, settings = results.block, results.block.settings
    factor, size = scale(block), block.rows["train_size"].median()
    known = factor > 0
    label = block.label.replace("=", " ") if several else "this study"
    model = ", ".join([settings["model"], *(f"{k[6:]} {v}" for k, v in settings.items() if k.startswith("model."))])
    row = [label, model, settings["dataset"], f"{size:,.0f}" if known else NOTHING, settings["epochs"]]
    row += [settings["batch_size"], settings["schedule"], f"{paper.UPDATES / factor**2:,.0f}" if known else NOTHING]
    return [*row, f"× {short(factor, 3)}" if known else NOTHING, "test" if block.measure.on_test else "validation"]


def overlaid(blocks: Sequence[BlockResults]) -> Table | None:
    """The ten best cells of the paper's Figure 2 beside ours; None where it has a twin of none of our maps."""
    rows = []
    for results in blocks:
        label = results.block.label.replace("=", " ")
        for arm, one in overlays(results.block).items():
            judged = one.why_not_judged or f"{one.coincide} of {len(one.paper_cells)} (by test {one.coincide_by_test})"
            shift = [number(octaves, 2, True) for octaves in one.shift]
            shared = number(100 * one.seed_overlap, 0) + " %" if math.isfinite(one.seed_overlap) else NOTHING
            row = [f"{arm} ({label})" if label else arm, judged, f"× {short(one.factor, 3)}", *shift]
            rows.append([*row, number(math.hypot(*one.shift), 2), str(one.inside), shared])
    header = ["map", "cells that coincide", "paper's wd drawn", "centroid, lr (octaves)", "centroid, wd (octaves)"]
    header += ["distance (octaves)", "paper's cells in our grid", "shared between our seeds"]
    return Table("The ten best cells of Figure 2 beside ours", header, rows, words=(1,)) if rows else None
