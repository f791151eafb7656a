"""What decay did to the weights, drawn from dynamics.csv: `mechanism(block, dynamics)`, None where nothing is known.

One trial of each arm is shown, the best by validation of those that were followed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from runner.analysis.blocks import Block
from runner.report.plots import style
from runner.report.plots.plot import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def mechanism(block: Block, dynamics: pd.DataFrame) -> Figure | None:
    """Six panels; `dynamics` is `read.read(folder, "dynamics")`."""
    shown = _shown(block, dynamics)
    if not shown:
        return None
    figure = style.figure(block, "What decay did to the weights", 13, 7.5)
    axes = figure.subplots(2, 3)
    styles = style.styles(block)
    for arm, rows in shown:
        _arm(axes, rows, styles[arm][0])
    _label(axes)
    trials = "; ".join(f"{arm}: trial {rows['trial'].iloc[0]}" for arm, rows in shown)
    style.caption(figure, f"One trial of each arm. {trials}. The last step of each evaluated epoch.")
    style.legend_below(figure, {arm: styles[arm][0] for arm, _ in shown})
    return figure


def _arm(axes: np.ndarray, rows: pd.DataFrame, colour: str) -> None:
    """The lines of one arm in all panels; what they are compared with is dashed."""
    whole = rows[rows["kind"] == "all"].sort_values("epoch")
    normalised = rows[rows["kind"] == "normalised"]
    layers = (normalised if len(normalised) else rows[rows["kind"] == "plain"]).sort_values("epoch")
    for _, layer in layers.groupby("layer"):
        axes[0, 0].plot(layer["epoch"], layer["weight_norm"], color=colour, lw=0.8, alpha=0.6)
    mean = layers.groupby("epoch")[["update_angle", "predicted_angle"]].mean()
    axes[0, 1].plot(mean.index, mean["update_angle"], color=colour, marker=".")
    if mean["predicted_angle"].notna().any():
        axes[0, 1].plot(mean.index, mean["predicted_angle"], color=colour, ls="--")
    _decay_by_gradient(axes[0, 2], whole, colour)
    axes[1, 0].plot(whole["epoch"], whole["max_weight"], color=colour, marker=".")
    if whole["bound"].notna().any():
        axes[1, 0].plot(whole["epoch"], whole["bound"], color=colour, ls="--")
    if whole["tau_epochs"].notna().any():
        axes[1, 1].plot(whole["epoch"], whole["tau_epochs"], color=colour, marker=".")
    if whole["penalty_share"].notna().any():
        axes[1, 2].plot(whole["epoch"], whole["penalty_share"], color=colour, marker=".")


def _shown(block: Block, dynamics: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """(arm, its rows of dynamics.csv), one trial each."""
    trials = block.rows[block.rows["trial"].isin(dynamics["trial"]) & (block.rows["status"] == "ok")]
    best = trials.sort_values([block.measure.select, "seed"]).drop_duplicates("arm").set_index("arm")["trial"]
    return [(arm, dynamics[dynamics["trial"] == best[arm]]) for arm in block.arms if arm in best.index]


def _decay_by_gradient(axes: Axes, whole: pd.DataFrame, colour: str) -> None:
    """Relative decay of a step in each fifth of the coordinates, over its mean, at the evaluation in mid-run."""
    rows = whole[whole["decay_1"].notna()]
    if rows.empty:
        return
    row = rows.iloc[len(rows) // 2]
    roots, decays = ([row[f"{name}_{i}"] for i in range(1, 6)] for name in ("root", "decay"))
    centre = sum(decays) / 5
    if centre:
        axes.plot(roots, [d / centre for d in decays], color=colour, marker="o")


def _label(axes: np.ndarray) -> None:
    names = (
        ("Weight norm of each normalised layer", "norm", "epoch"),
        ("Mean rotation of a neuron (dashed: equilibrium)", "radians per step", "epoch"),
        ("Relative decay of a weight by its gradients", "decay / mean decay", "sqrt(v), medians of fifths, in mid-run"),
        ("Largest weight (dashed: its bound, alpha / lambda)", "|weight|", "epoch"),
        ("Timescale of the weights, 1 / (eta lambda)", "epochs", "epoch"),
        ("Share of the penalty in the first moment", "norm / norm", "epoch"),
    )
    for number, (title, y, x) in enumerate(names):
        panel = axes[number // 3][number % 3]
        panel.set_title(title, fontsize=10)
        style.tidy(panel)
        panel.set_ylabel(y)
        panel.set_xlabel(x)
        if panel.lines:
            values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in panel.lines])
            values = values[np.isfinite(values) & (values > 0)]
            if number in (1, 2, 3, 4) and len(values) and values.max() > 3 * values.min():
                panel.set_yscale("log")
                panel.set_ylim(values.min() / 1.1, values.max() * 1.1)
                style.plain_ticks(panel, "y")
            else:
                panel.set_ylim(bottom=0)
            if number == 2:
                panel.set_xscale("log")
                style.plain_ticks(panel, "x")
        else:
            panel.text(0.5, 0.5, "no arm has one", ha="center", va="center", transform=panel.transAxes)


PLOT = Plot("mechanism", "What decay did to the weights", lambda data: mechanism(data.block, data.dynamics))
