"""A plot of the rows of `bench step --csv`: `python scripts/bench plot FILE.csv [FILE.csv ...] OUT.png`.

Time per step against parameters, both logarithmic; one panel for each number of CPU threads and state of the caches.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from runner.report.plots.style import DPI, GREY, save, tidy
from scripts.bench.step_ways import FUSED

STYLES = {  # colour, marker, name in the key
    "optim": ("#0072B2", "o", "optim"),
    "optim graph": ("#56B4E9", "s", "optim, CUDA graph"),
    "torch fused": ("#D55E00", "^", "torch fused"),
    "torch fused graph": ("#E69F00", "v", "torch fused, CUDA graph"),
    "torch foreach": ("#888888", "D", "torch foreach"),
}
OF_A_STACK: dict[str, Any] = {"markerfacecolor": "white", "linestyle": "--"}


def panel_of(row: pd.Series, on_cuda: bool) -> str:
    """What the panel of a row is called: threads say something of CPUs only."""
    threads = "" if on_cuda else f"{row['threads']} thread{'s' if row['threads'] != 1 else ''}, "
    return f"{threads}{row['cache']} caches"


def draw(axes: Axes, rows: pd.DataFrame, title: str) -> None:
    """A line for each way, one for its stacks, the floor, and the names of the sets at their sizes."""
    for way, (colour, marker, _) in STYLES.items():
        for stacked in (False, True):
            line = rows[(rows["way"] == way) & ((rows["trials"] > 1) == stacked)].sort_values("parameters")
            look = OF_A_STACK if stacked else {}
            axes.plot(line["parameters"], line["median_us"], color=colour, marker=marker, markersize=5.5, **look)
    ends = [rows["parameters"].min() / 1.5, rows["parameters"].max() * 1.5]
    speed = rows["copy_gb_per_s"].median()
    axes.plot(ends, [FUSED * end / speed / 1e3 for end in ends], color="black", linewidth=1.2, linestyle=":")
    axes.set(xscale="log", yscale="log", xlim=ends, xlabel="parameters stepped (number)")
    tidy(axes)
    axes.set_title(f"{title}; copy {speed:,.0f} GB/s", fontsize=10)
    joined: list[tuple[float, str]] = []
    for place, name in sorted(set(zip(rows["parameters"], rows["set"], strict=True))):
        if joined and place < joined[-1][0] * 1.1:  # sets of one size share a label
            joined[-1] = (joined[-1][0], f"{joined[-1][1]}, {name}")
        else:
            joined.append((place, name))
    for place, name in joined:
        axes.axvline(place, color="#DDDDDD", linewidth=0.6, zorder=0)
        axes.annotate(name, (place, 0), (0, 4), xycoords=("data", "axes fraction"), textcoords="offset points",
                      rotation=90, ha="right", va="bottom", fontsize=8, color=GREY)  # fmt: skip


def key(ways: Collection[str]) -> list[Line2D]:
    lines: list[dict[str, Any]] = [
        {"color": colour, "marker": marker, "label": label}
        for way, (colour, marker, label) in STYLES.items()
        if way in ways
    ]
    lines.append({"color": GREY, "marker": "o", "label": "one network"})
    lines.append({"color": GREY, "marker": "o", "label": "a stack (torch: one by one)"} | OF_A_STACK)
    lines.append({"color": "black", "linestyle": ":", "label": f"floor: {FUSED} bytes per parameter at copy speed"})
    return [Line2D([], [], markersize=5.5, **line) for line in lines]


def plotted(rows: pd.DataFrame) -> Figure:
    rcParams["font.family"] = "DejaVu Sans"  # inside matplotlib: the same picture everywhere
    on_cuda = bool(rows["way"].str.endswith("graph").any())
    titles = rows.apply(panel_of, axis=1, on_cuda=on_cuda)
    shown = titles.unique()
    figure = Figure(figsize=(max(6.5, 4.6 * len(shown)), 5.2), dpi=DPI, layout="constrained")
    all_axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, title in zip(all_axes, shown, strict=True):
        draw(axes, rows[titles == title], title)
    low, high = all_axes[0].get_ylim()
    all_axes[0].set_ylim(low / (high / low) ** 0.15)  # room for the names of sets, below the floor
    all_axes[0].set_ylabel("time per step (µs, median)")
    device, torch, python = (", ".join(sorted(rows[of].astype(str).unique())) for of in ("device", "torch", "python"))
    figure.suptitle(f"One AdamW step on {device} (torch {torch}, Python {python})", fontsize=11)
    figure.legend(handles=key(set(rows["way"])), loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="+", type=Path, metavar="FILE.csv")
    parser.add_argument("out", type=Path, metavar="OUT.png")
    chosen = parser.parse_args()
    rows = pd.concat([pd.read_csv(path) for path in chosen.rows], ignore_index=True)
    if rows.empty:
        parser.error("there are no rows")
    print(save(plotted(rows), chosen.out))
