"""The list of claims (results/README.md): for each id its number there, where the paper says so, and what it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from runner.analysis import paper

NOT_IN_PAPER = "not in the paper"


class Listed(NamedTuple):
    """`value`: what the paper has for the claim's statistic, where that is the same for all studies.

    `family`: the optimizers without which no study can speak to it; '' where those of either family do.
    """

    number: int
    figure: str
    value: str = NOT_IN_PAPER
    family: str = ""


_ON_PAR = f"about 0 (both about {paper.FIGURE_2['sgdw'].best_error} %)"
_BUDGETS = "Supplementary Figure 3"
_BY_EYE = "below 0 (by eye)"
_ROTATION = "not in the paper (Kosson et al. 2024)"

LISTED: Mapping[str, Listed] = {
    "best-cell": Listed(1, "Figures 1, 2, 3", family="adam"),
    "best-cell-sgd": Listed(1, "Figure 2", family="sgd"),
    "gain-by-schedule": Listed(2, "Figure 1", family="adam"),
    "cosine-best": Listed(3, "Figure 1"),
    "l2-gives-nothing": Listed(4, "Figure 2", "about 0 (three of the ten best cells have wd 0 or 1/32)", family="adam"),
    "basin-l2": Listed(5, "Figure 2"),
    "basin-decoupled": Listed(6, "Figure 2"),
    "separable": Listed(6, "Figures 1, 2", _BY_EYE),
    "adamw-rivals-sgdw": Listed(9, "Figure 2", _ON_PAR),
    "adam-worse-than-sgd": Listed(9, "Figure 2"),
    "decay-exponent": Listed(10, _BUDGETS, "0.5 (normalized decay's assumption)"),
    "normalized-stable": Listed(11, _BUDGETS, "about 0 (0.025 to 0.05 at 25, 100 and 400 epochs)"),
    "normalized-reuse": Listed(11, _BUDGETS, _BY_EYE),
    "normalized-carries-over": Listed(12, _BUDGETS),
    "equal-loss": Listed(13, "Figure 3, bottom right", _BY_EYE, family="adam"),
    "alike-early": Listed(14, "Figure 3, top", "about 0 (curves coincide)", family="adam"),
    "ahead-late": Listed(14, "Figure 3, top", _BY_EYE, family="adam"),
    "restarts-sooner": Listed(15, "Figure 4"),
    "restarts-end": Listed(15, "Figure 4"),
    "long-constant": Listed(
        16, "Supplementary Figure 2", "at best comparable (18 times the epochs, a larger network)", family="adam"
    ),
    "decay-by-gradient": Listed(18, "Proposition 3", "negative (theory)", family="adam"),
    "rotation-uneven": Listed(19, _ROTATION, "above 0 (theory)", family="adam"),
    "rotation-predicted": Listed(19, _ROTATION, "1 (theory)", family="adam"),
    "loss-scale": Listed(21, "Proposition 2", family="adam"),
    "less-data": Listed(22, "not in the paper (Power et al. 2022)", family="adam"),
    "gain-in-control": Listed(23, "not in the paper (Zhuang et al. 2022)", family="adam"),
    "norms-and-biases": Listed(24, "not in the paper (customary since BERT)"),
    "easier-to-tune": Listed(25, "not in the paper (Dodge et al. 2019)"),
}
