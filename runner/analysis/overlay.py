"""The paper's ten best cells of Figure 2 laid over a search on the same kind of grid.

`overlays(block)` is the call to know; `overlay_table(blocks)` makes overlay.csv of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from runner.analysis import paper
from runner.analysis.blocks import Block, per_block
from runner.analysis.maps import Map, best_cells, maps
from runner.analysis.select import search_seeds

Cell = tuple[float, float]
NOT_JUDGED = "scaled run: not judged"
FACTOR = 1.02  # numbers typed with two or three digits are still the paper's
_FREE = ("dataset.hash", "dataset.classes", "dataset.test_size", "dataset.validation")


@dataclass(frozen=True, eq=False)
class Overlay:
    """One map of ours and the paper's circles in it; cells are (lr, wd) in the map's own unit.

    `ours` are the best by validation error, as in the heat map, `ours_by_test` as many by test error (the paper
    selected on test). `paper_cells` are the paper's, decoupled ones times `factor`, which gives them the lambda_norm
    that they had in the paper; `full` says that the run is the paper's own, so that its cells can be compared.
    """

    map: Map
    ours: tuple[Cell, ...]
    ours_by_test: tuple[Cell, ...]
    seed_overlap: float  # mean share of best cells that two search seeds of ours have in common; NaN with one seed
    paper_cells: tuple[Cell, ...]
    factor: float
    full: bool

    @property
    def inside(self) -> int:
        """How many of the paper's circles lie within our grid (half a cell around it)."""
        return sum(bool(np.isfinite(self.place(cell)).all()) for cell in self.paper_cells)

    def place(self, cell: Cell) -> tuple[float, float]:
        """(column, row) of a cell in our map, counted from 0, fractions between columns; NaN where it is outside."""
        positive = [wd for wd in self.map.wds if wd > 0]
        first = len(self.map.wds) - len(positive)
        if cell[1] == 0:
            return (0.0 if first else math.nan), _position(cell[0], self.map.lrs)
        return first + _position(cell[1], positive), _position(cell[0], self.map.lrs)

    @property
    def why_not_judged(self) -> str:
        """'' where it makes sense to count cells that coincide."""
        if not self.full:
            return NOT_JUDGED
        trained = self.map.cells[self.map.cells["complete"]]
        have = _common(list(zip(trained["lr"], trained["wd"], strict=True)), self.paper_cells)
        return "" if have == len(self.paper_cells) else f"only {have} of the paper's cells were trained: not judged"

    @property
    def coincide(self) -> int | None:
        return None if self.why_not_judged else _common(self.ours, self.paper_cells)

    @property
    def coincide_by_test(self) -> int | None:
        return None if self.why_not_judged else _common(self.ours_by_test, self.paper_cells)

    @property
    def shift(self) -> Cell:
        """Centroid of ours minus the paper's in octaves, (log2 lr, log2 wd); no decay has no place on the second."""
        (lr, wd), (papers_lr, papers_wd) = _centroid(self.ours), _centroid(self.paper_cells)
        return lr - papers_lr, wd - papers_wd


@per_block
def overlays(block: Block) -> dict[str, Overlay]:
    """By arm, for the maps that Figure 2 has a twin of; {} for any other study.

    Wanted: images, the cosine schedule, L2 or the paper's convention, at least three of the figure's learning rates
    and three weight decays that are octaves apart (a scaled study may begin at another one).
    """
    settings = block.settings
    if settings["schedule"] != paper.SCHEDULE or settings["dataset"] == "modular" or not block.measure.is_error:
        return {}
    factor, by_arm = scale(block), {}
    for map_ in maps(block):
        optimizer = map_.family + ("w" if map_.convention == "paper" else "")
        circles = paper.FIGURE_2.get(optimizer) if map_.convention in ("paper", "l2") else None
        if circles is None or not factor > 0 or not _same_kind(map_, circles):
            continue
        full = _full_scale(block) and (map_.cells["hyper"] == "").all()
        drawn = factor if map_.convention == "paper" and not full else 1.0
        ours = best_cells(map_)
        seeds = search_seeds(block)[0]
        by_seed = [_best(block, map_, block.measure.select, [seed], len(ours)) for seed in seeds]
        shared = [len(set(a) & set(b)) / len(ours) for a, b in combinations(by_seed, 2) if len(ours)]
        by_arm[map_.arm] = Overlay(
            map_,
            tuple(zip(ours["lr"], ours["wd"], strict=True)),
            _best(block, map_, block.measure.report, seeds, len(ours)),
            float(np.mean(shared)) if shared else math.nan,
            tuple((lr, wd * drawn) for lr, wd in circles.cells),
            drawn,
            bool(full),
        )
    return by_arm


def scale(block: Block) -> float:
    """What gives a lambda of the paper the same lambda_norm in this block; NaN where the rows do not tell B * T / b."""
    rows = block.rows[block.rows["train_size"] > 0]
    updates = float((rows["train_size"] * rows["epochs"] / rows[["batch_size", "train_size"]].min(axis=1)).median())
    return paper.rescale(updates) if updates > 0 else math.nan


def _full_scale(block: Block) -> bool:
    """The paper's model, data, epochs and batch size; a tenth of the training set may be kept for validation."""
    rows, wanted = block.rows, {"dataset": paper.DATASET, "epochs": str(paper.EPOCHS), "batch_size": str(paper.BATCH)}
    same = (
        all(block.settings[name] == value for name, value in wanted.items()) and (rows["epochs"] == paper.EPOCHS).all()
    )
    changed = [name for name in block.settings if "." in name and name not in _FREE]
    sizes, params = rows["train_size"].dropna(), pd.to_numeric(rows["params"], errors="coerce").dropna()
    whole = len(sizes) > 0 and bool(sizes.between(0.9 * paper.TRAIN_SIZE, paper.TRAIN_SIZE).all())
    network = block.settings["model"] == "shakeshake" and bool((params == paper.PARAMS).all())
    return bool(same and not changed and whole and network)


def _same_kind(map_: Map, circles: paper.Circles) -> bool:
    positive = [wd for wd in map_.wds if wd > 0]
    if len(map_.lrs) < 3 or len(positive) < 3:
        return False
    octaves = [math.log2(wd / positive[0]) for wd in positive]
    on_axis = all(any(_same(lr, other) for other in circles.lrs) for lr in map_.lrs)
    return on_axis and all(abs(k - round(k)) < math.log2(FACTOR) for k in octaves)


def _same(a: float, b: float) -> bool:
    return a == b or (min(a, b) > 0 and max(a, b) / min(a, b) < FACTOR)


def _common(ours: Sequence[Cell], papers: Sequence[Cell]) -> int:
    """How many of the paper's cells are among ours."""
    return sum(any(_same(lr, x) and _same(wd, y) for x, y in ours) for lr, wd in papers)


def _position(value: float, axis: Sequence[float]) -> float:
    """Index on a logarithmic axis of at least two ascending values; NaN more than half a cell outside."""
    logs = np.log2(axis)
    at = float(np.interp(math.log2(value), logs, np.arange(len(logs))))
    # How many cells it lies below the first value or above the last; interpolation stops at the ends.
    below = float((logs[0] - math.log2(value)) / (logs[1] - logs[0]))
    above = float((math.log2(value) - logs[-1]) / (logs[-1] - logs[-2]))
    return math.nan if max(below, above) > 0.5 else at - max(below, 0.0) + max(above, 0.0)


def _best(block: Block, map_: Map, column: str, seeds: Sequence[int], count: int) -> tuple[Cell, ...]:
    """The `count` best complete cells of the map by the mean of `column` over these seeds."""
    rows = block.rows[(block.rows["phase"] == "search") & block.rows["seed"].isin(seeds)]
    rows = rows[rows["cell"].isin(map_.cells.loc[map_.cells["complete"], "cell"]) & (rows["status"] != "failed")]
    rows = rows.drop_duplicates(["cell", "seed"], keep="last").assign(score=rows[column].fillna(math.inf))
    # A run without a number diverged: infinitely bad, as in the selection. Rounding makes equal means equal (`seeds`).
    mean = rows.groupby("cell").agg(lr=("lr", "first"), wd=("wd", "first"), score=("score", "mean"))
    ranked = mean.round({"score": 9}).sort_values(["score", "lr", "wd"]).head(count)
    return tuple(zip(ranked["lr"], ranked["wd"], strict=True))


def _centroid(cells: Sequence[Cell]) -> Cell:
    decays = [math.log2(wd) for _, wd in cells if wd > 0]
    lrs = [math.log2(lr) for lr, _ in cells]
    return float(np.mean(lrs)) if lrs else math.nan, float(np.mean(decays)) if decays else math.nan


def overlay_table(blocks: Sequence[Block]) -> pd.DataFrame:
    """overlay.csv: one row per block and arm; empty where Figure 2 has no twin of any map.

    Cells are 'lr:wd lr:wd ...'. `coincide` counts cells of the paper that are among ours (by validation, and by
    test error), empty with the reason in `judged` for a scaled run; shifts are ours minus the paper's in octaves.
    """
    rows = [_row(block, arm, overlay) for block in blocks for arm, overlay in overlays(block).items()]
    return pd.DataFrame(rows).astype({"coincide": "Int64", "coincide_by_test": "Int64"} if rows else {})


def _row(block: Block, arm: str, overlay: Overlay) -> dict[str, object]:
    return {
        "block": block.id,
        "block_label": block.label,
        "arm": arm,
        "wd_convention": overlay.map.convention,
        "factor": overlay.factor,
        "judged": overlay.why_not_judged or "yes",
        "ours": _cells(overlay.ours),
        "ours_selected_by": block.measure.select,
        "ours_by_test": _cells(overlay.ours_by_test),
        "paper": _cells(overlay.paper_cells),
        "paper_inside": overlay.inside,
        "coincide": overlay.coincide,
        "coincide_by_test": overlay.coincide_by_test,
        "seed_overlap": overlay.seed_overlap,
        "shift_lr_octaves": overlay.shift[0],
        "shift_wd_octaves": overlay.shift[1],
        "distance_octaves": math.hypot(*overlay.shift),
        "ours_without_decay": sum(wd == 0 for _, wd in overlay.ours),
        "paper_without_decay": sum(wd == 0 for _, wd in overlay.paper_cells),
    }


def _cells(cells: Sequence[Cell]) -> str:
    return " ".join(f"{lr:.6g}:{wd:.6g}" for lr, wd in sorted(cells, reverse=True))
