"""Where a study comes from, for report.html: settings and commands, machines and versions, the paper beside it.

`made_by(folder)`, `provenance(rows)` and `beside_paper(blocks)` give HTML.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from runner.analysis import paper
from runner.analysis.arms import Block
from runner.analysis.measures import NOTHING, number, short
from runner.analysis.overlay import overlays, scale
from runner.records.commands import entries
from runner.report.page.html import table

_GROUPS = ("optimizer", "schedule", "model", "dataset")
_PLACES = ("study", "results")


def made_by(folder: Path) -> str:
    """The commands of study.yaml with their settings; a sentence where there is none that can be read."""
    commands = entries(folder)
    if not commands:
        return "<p>There is no study.yaml that can be read: the settings stand in each row of trials.csv.</p>"
    parts = []
    for entry in commands:
        if not isinstance(entry, dict):
            continue
        facts = ", ".join(f"{name} {entry[name]}" for name in ("started", "version", "commit") if entry.get(name))
        parts.append(f"<pre><code>{escape(str(entry.get('command', '')))}</code></pre><p>{escape(facts)}</p>")
        configurations = entry.get("settings")
        flat = (
            [_flat(one) for one in configurations if isinstance(one, dict)] if isinstance(configurations, list) else []
        )
        if flat:
            settings = table("Settings of this command", ("setting", "value"), _settings(flat))
            shown = " open" if len(commands) == 1 else ""
            parts.append(f"<details{shown}><summary>Settings</summary>{settings}</details>")
    return "\n".join(parts)


def _flat(settings: Mapping[Any, Any], head: str = "") -> dict[str, str]:
    """{'model.width': '8', ...}"""
    found: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{head}{name}.")
        elif f"{head}{name}" not in _PLACES:
            found[f"{head}{name}"] = _plain(value)
    return found


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
        lines = [value if everywhere else f"{'; '.join(mine)}: {value}" for value, mine in by_value.items()]
        rows.append([name, "\n".join(lines)])
    return rows


def provenance(rows: pd.DataFrame) -> str:
    """One line per version, device and precision with its number of trials and their time; and the rows' notes."""
    columns = ["version", "commit", "torch", "device", "precision"]
    frame = rows.assign(seconds=pd.to_numeric(rows["seconds"], errors="coerce"))
    frame[columns] = frame[columns].fillna("").astype(str)
    lines = [
        [*(str(part) or NOTHING for part in key), str(len(group)), number(group["seconds"].sum() / 60, 1)]
        for key, group in frame.groupby(columns, sort=False)
    ]
    header = ["version", "commit", "torch", "device", "precision", "trials", "minutes, summed"]
    parts = [table("What the rows were trained with", header, lines, [False] * 5 + [True] * 2)]
    noted = frame[frame["note"].fillna("").astype(str) != ""]
    if len(noted):
        counts = Counter(zip(noted["status"].astype(str), noted["note"].astype(str), strict=True))
        shown = [[status, note, str(n)] for (status, note), n in counts.most_common(12)]
        more = f" (the {len(shown)} most frequent of {len(counts)})" if len(counts) > len(shown) else ""
        parts.append(table(f"Notes of the trials{more}", ("status", "note", "trials"), shown, [False, False, True]))
    return "\n".join(parts)


def beside_paper(blocks: Sequence[Block]) -> str:
    """What was scaled: the settings of the paper's Figure 2 and of each block; then the overlay, where there is one."""
    header = ["", "model", "dataset", "training examples", "epochs", "batch", "schedule", "updates B·T/b"]
    header += ["lambda at equal lambda_norm", "chosen on"]
    theirs = ["the paper, Figure 2", paper.MODEL, paper.DATASET, f"{paper.TRAIN_SIZE:,}", str(paper.EPOCHS)]
    theirs += [str(paper.BATCH), paper.SCHEDULE, f"{paper.UPDATES:,.0f}", "× 1", "test"]
    rows = [theirs, *(_scale(block, len(blocks) > 1) for block in blocks)]
    right = [False] * 3 + [True] * 3 + [False] + [True] * 2 + [False]
    parts = [table("What was scaled against the paper", header, rows, right)]
    compared = [(block, arm, one) for block in blocks for arm, one in overlays(block).items()]
    if compared:
        lines = []
        for block, arm, one in compared:
            judged = one.why_not_judged or f"{one.coincide} of {len(one.theirs)} (by test {one.coincide_by_test})"
            shared = number(100 * one.seed_overlap, 0) + " %" if math.isfinite(one.seed_overlap) else NOTHING
            name = f"{arm} ({block.label.replace('=', ' ')})" if block.label else arm
            lines.append([name, judged, f"× {short(one.factor, 3)}"])
            lines[-1] += [
                *(number(x, 2, True) for x in one.shift),
                number(math.hypot(*one.shift), 2),
                str(one.inside),
                shared,
            ]
        header = ["map", "cells that coincide", "paper's wd drawn", "centroid, lr (octaves)", "centroid, wd (octaves)"]
        header += ["distance (octaves)", "paper's cells in our grid", "shared between our seeds"]
        parts.append(table("The ten best cells of Figure 2 beside ours", header, lines, [False] * 2 + [True] * 6))
        parts.append(
            "<p>Centroids: ours (chosen by validation error) minus the paper's (read off its Figure 2, chosen on test "
            "error), as log2; cells without decay have no place on the axis of wd and are left out of it. L2 "
            "coefficients are drawn as they are, decoupled decays at equal lambda_norm.</p>"
        )
    return "\n".join(parts)


def _scale(block: Block, several: bool) -> list[str]:
    settings, factor, size = block.settings, scale(block), block.rows["train_size"].median()
    label = block.label.replace("=", " ") if several else "this study"
    model = ", ".join([settings["model"], *(f"{k[6:]} {v}" for k, v in settings.items() if k.startswith("model."))])
    known = factor > 0
    row = [label, model, settings["dataset"], f"{size:,.0f}" if known else NOTHING, settings["epochs"]]
    row += [settings["batch_size"], settings["schedule"], f"{paper.UPDATES / factor**2:,.0f}" if known else NOTHING]
    row.append(f"× {short(factor, 3)}" if known else NOTHING)
    return [*row, "test" if block.measure.on_test else "validation"]
