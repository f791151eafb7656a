"""What decay does to the weights, layer by layer: `Diagnostics(model, optimizer)`, for `diagnostics=true`.

Call `before(rows)` before every optimizer step; after it, `rows(...)` gives the lines of dynamics.csv about that step.
Under Adam + L2 the penalty's share of the first moment is followed in a moment of its own, so that the decay it amounts
to can be told from the rest of the step.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from optim.rules import BETA1, BIAS2, DECAY, EPS, L2, LR, RATE1, STEP
from optim.stacked import Stacked, over_trials
from runner.models import layers

NEGLIGIBLE = 0.1  # of a layer's root mean square: the relative decay of a smaller weight is not looked at
SAMPLED = 50_000  # coordinates of a layer, evenly spaced, of which decay and sqrt(v) are compared

Row = dict[str, Any]


class Diagnostics:
    """Follows a stack of R trials; costs two copies of the parameters, and about as much time as the optimizer.

    `model`: the network; `optimizer`: that of its parameters, in their order.
    """

    def __init__(self, model: nn.Module, optimizer: Stacked) -> None:
        self.optimizer = optimizer
        self.names, self.kinds = zip(*_layers(model), strict=True)
        self.parameters = optimizer.parameters
        self.penalty = [torch.zeros_like(p) for p in self.parameters]  # the L2 penalty's share of the first moments
        self.old = [p.detach().clone() for p in self.parameters]  # the weights before the last step

    @torch.no_grad()
    def before(self, rows: Tensor) -> None:
        """Before a step with the coefficients `rows`, [2, COLUMNS, R]: keep the weights, step the penalty's moment."""
        for index, p in enumerate(self.parameters):
            row = rows[self.optimizer.kinds[index]].to(p.dtype)
            rate = row[RATE1] if self.optimizer.family == "adam" else torch.ones_like(row[RATE1])
            share = self.penalty[index]
            share.mul_(over_trials(row[BETA1], p)).add_(over_trials(rate * row[L2], p) * p)
            self.old[index].copy_(p)

    @torch.no_grad()
    def rows(self, trial: int, per_epoch: int, coefficients: np.ndarray) -> list[Row]:
        """Lines about one trial after a step: one, `all`, for the network, and one for each parameter.

        Args:
            trial: its slot in the stack.
            per_epoch: steps in an epoch.
            coefficients: of that step, [2, COLUMNS] (see `optim.rules`), with the decay as it was asked for. What the
                step really removes is rounded, and small decays wait for a later step (`optim.release`).
        """
        lines, parts = [], []
        for index, (name, kind) in enumerate(zip(self.names, self.kinds, strict=True)):
            tensors = _Tensors(self, index, trial, coefficients[self.optimizer.kinds[index]])
            lines.append({"layer": name, "kind": kind} | tensors.row(per_epoch))
            parts.append(tensors)
        return [{"layer": "all", "kind": "all"} | _Joined(parts).row(per_epoch), *lines]


class _Tensors:
    """One parameter of one trial around a step, in float64: what is known of each coordinate, as flat vectors."""

    def __init__(self, d: Diagnostics, index: int, trial: int, row: np.ndarray) -> None:
        moments2 = d.optimizer.moments2
        self.decay, self.l2, self.lr, self.beta1 = (float(row[column]) for column in (DECAY, L2, LR, BETA1))
        self.shape = d.parameters[index].shape[1:]
        self.new = d.parameters[index][trial].detach().double().flatten()
        self.old = d.old[index][trial].double().flatten()
        self.moment = d.optimizer.moments1[index][trial].double().flatten()
        self.penalty = d.penalty[index][trial].double().flatten()
        self.adaptive = bool(moments2)
        # A step divides by sqrt(v-hat) + eps, or by 1 where there is no second moment.
        self.root, eps = torch.ones_like(self.new), 0.0
        if moments2:
            self.root = moments2[index][trial].double().flatten().sqrt() / float(row[BIAS2])
            eps = float(row[EPS])
        # What decay has taken off each weight: decoupled decay directly, the penalty through the first moment.
        self.removed = self.decay * self.old + float(row[STEP]) * self.penalty / (self.root + eps)

    def angles(self) -> Tensor:
        """By how much each neuron's weights have turned in the step, in radians: [neurons]."""
        old, new = (neurons(x.view(self.shape)) for x in (self.old, self.new))
        return turn(old, new)

    def row(self, per_epoch: int) -> Row:
        angles = self.angles()
        # A weight that is just crossing zero has a large decay relative to its size, which says nothing: leave it out.
        sizeable = self.old.abs() > NEGLIGIBLE * self.old.square().mean().sqrt()
        relative, root = self.removed[sizeable] / self.old[sizeable], self.root[sizeable]
        if len(relative) > SAMPLED:
            every = torch.arange(0, len(relative), math.ceil(len(relative) / SAMPLED), device=relative.device)
            relative, root = relative[every], root[every]
        decoupled, coupled = self.decay > 0, self.l2 > 0
        return {
            "weight_norm": float(self.new.norm()),
            "update_angle": float(angles.mean()),
            "angle_cv": coefficient_of_variation(angles),
            # Kosson et al. 2024: the rotation of a scale-invariant layer in equilibrium.
            "predicted_angle": math.sqrt(2 * self.decay * (1 - self.beta1) / (1 + self.beta1))
            if decoupled and self.adaptive
            else None,
            "decay_rank_correlation": correlation(relative, root) if coupled and self.adaptive else None,
            "decay_cv": coefficient_of_variation(relative) if decoupled or coupled else None,
            "max_weight": float(self.new.abs().max()),
            "bound": self.lr / self.decay if decoupled else None,  # Xie & Li 2024: alpha / lambda
            "tau_epochs": 1 / (self.decay * per_epoch) if decoupled else None,  # Wang & Aitchison 2024
            "penalty_share": float(self.penalty.norm() / self.moment.norm()) if coupled and self.moment.any() else None,
        } | (_fifths(relative, root) if self.adaptive and (coupled or decoupled) and len(relative) >= 25 else {})


class _Joined(_Tensors):
    """All parameters of a trial as one vector; one neuron, for turning."""

    def __init__(self, parts: list[_Tensors]) -> None:
        largest = max(parts, key=lambda part: part.decay + part.l2)  # where norms and biases are spared
        self.decay, self.l2, self.lr, self.beta1 = largest.decay, largest.l2, largest.lr, largest.beta1
        self.adaptive = largest.adaptive
        for name in ("old", "new", "moment", "penalty", "root", "removed"):
            setattr(self, name, torch.cat([getattr(part, name) for part in parts]))
        self.shape = torch.Size([1, len(self.new)])


def _layers(model: nn.Module) -> list[tuple[str, str]]:
    """Name and kind of every parameter: `normalised` (a convolution that a norm follows), `norm` or `plain`."""
    kinds, normed = [], any(isinstance(module, layers.BatchNorm2d) for module in model.modules())
    for name, _ in model.named_parameters():
        owner = model.get_submodule(name.rpartition(".")[0])
        norm = isinstance(owner, layers.BatchNorm2d | layers.LayerNorm)
        scale_free = normed and isinstance(owner, layers.Conv2d)
        kinds.append((name, "norm" if norm else "normalised" if scale_free else "plain"))
    return kinds


def _fifths(relative: Tensor, root: Tensor) -> Row:
    """Medians of sqrt(v-hat) and of relative decay in each fifth of the coordinates, ordered by sqrt(v-hat)."""
    order = root.argsort()
    medians: Row = {}
    for name, values in (("root", root), ("decay", relative)):
        parts = values[order].tensor_split(5)
        medians |= {f"{name}_{number}": float(part.median()) for number, part in enumerate(parts, 1)}
    return medians


def neurons(weight: Tensor) -> Tensor:
    """The `weight` of one trial's layer as one row for each output: [out, ...] to [out, n]; a vector is one row."""
    return weight.flatten(1) if weight.dim() > 1 else weight[None]


def turn(old: Tensor, new: Tensor) -> Tensor:
    """The angle between the rows of `old` and `new` [N, n], in radians [N]; exact for small ones, unlike a cosine."""
    a, b = (x / x.norm(dim=1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny) for x in (old, new))
    return 2 * torch.atan2((a - b).norm(dim=1), (a + b).norm(dim=1))


def coefficient_of_variation(x: Tensor) -> float | None:
    """Standard deviation over mean; None where there is no spread to speak of."""
    mean = float(x.mean())
    return float(x.std(unbiased=False)) / abs(mean) if len(x) > 1 and mean else None


def correlation(x: Tensor, y: Tensor) -> float | None:
    """Spearman's rank correlation of x and y [n]; None where one of them is constant, or n is below 3."""
    if len(x) < 3 or bool((x == x[0]).all()) or bool((y == y[0]).all()):
        return None
    from scipy.stats import spearmanr  # imported here, as few runs ask for diagnostics

    return float(spearmanr(x.cpu().numpy(), y.cpu().numpy()).statistic)
