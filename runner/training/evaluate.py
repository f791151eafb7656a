"""Loss and error of every trial of a stack on one split: `evaluate(...)`, in eval mode, without augmentation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.training.feed import Images, Resident


@dataclass(frozen=True)
class Scores:
    """What an evaluation says of each trial."""

    loss: list[float]  # mean cross-entropy in nats
    error: list[float]  # in percent of the answers
    top5: list[float] | None  # in percent: the class is not among the five likeliest; None with five classes or fewer


def losses(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of each example (the mean over its positions): logits [R, B, (T,) K], y [R, B(, T)] to [R, B]."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    flat = F.cross_entropy(logits.flatten(0, -2), y.flatten(), reduction="none")
    return flat.view(y.shape) if y.dim() == 2 else flat.view(*y.shape[:2], -1).mean(-1)


@torch.no_grad()
def evaluate(
    model: nn.Module,
    split: Resident,
    images: Images | None,
    trials: int,
    autocast: torch.autocast,
    batch: int,
    pulse: Callable[[], None] = lambda: None,
) -> Scores:
    """Scores of stacked networks on a split, in eval mode; the model keeps the mode that it had.

    Args:
        model: of `trials` networks.
        split: whose examples all networks see.
        images: how to standardise them; None: tokens.
        trials: R.
        autocast: the context of the forward pass.
        batch: how many examples at a time.
        pulse: called after each batch; what it raises ends the evaluation.
    """
    training = model.training
    model.eval()
    loss = torch.zeros(trials, dtype=torch.float64, device=split.x.device)
    wrong, wrong5, answers, top5 = torch.zeros_like(loss), torch.zeros_like(loss), 0, False
    for start in range(0, len(split.x), batch):
        x, y = split.x[start : start + batch], split.y[start : start + batch]
        x = images.plain(x) if images is not None else x.long()
        y = y.long()
        target = y.expand(trials, *y.shape)
        with autocast:
            logits = model(x.expand(trials, *x.shape))
        loss += losses(logits, target).double().sum(1)
        top5 = logits.shape[-1] > 5
        best = logits.topk(5, -1).indices if top5 else logits.argmax(-1, keepdim=True)
        hit = best == target[..., None]
        wrong += (~hit[..., 0]).flatten(1).sum(1)
        wrong5 += (~hit.any(-1)).flatten(1).sum(1)
        answers += y.numel()
        pulse()
    model.train(training)
    return Scores(
        (loss / len(split.x)).tolist(),
        (100 * wrong / answers).tolist(),
        (100 * wrong5 / answers).tolist() if top5 else None,
    )
