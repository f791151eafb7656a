"""Loss, error and calibration of every trial of a stack on one split: `evaluate(...)`, in eval mode, unaugmented."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.training.calibration import BINS, bin_gaps, brier_scores, ece
from runner.training.feed import Images, Resident


@dataclass(frozen=True)
class Scores:
    """What an evaluation says of each trial."""

    loss: list[float]  # mean cross-entropy in nats
    error: list[float]  # in percent of the answers
    top5: list[float] | None  # in percent: the class is not among the five likeliest; None with five classes or fewer
    ece: list[float] | None = None  # expected calibration error over 15 bins, in percent; None: not asked for
    brier: list[float] | None = None  # mean sum over classes of squared differences, from 0 to 2; None likewise

    def of_first(self, count: int) -> Scores:
        """Those of the first `count` trials."""
        measured = {f.name: getattr(self, f.name) for f in fields(self)}
        return Scores(**{name: values and values[:count] for name, values in measured.items()})


def full(logits: Tensor) -> Tensor:
    """The `logits` in float32, or better where they are so already: autocast gives fewer digits."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def losses(logits: Tensor, y: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of each example (the mean over its positions): logits [R, B, (T,) K], y [R, B(, T)] to [R, B].

    `smoothing`: the share of each answer that is spread evenly over all K classes (Szegedy et al. 2016).
    """
    logits = full(logits)
    flat = F.cross_entropy(logits.flatten(0, -2), y.flatten(), reduction="none", label_smoothing=smoothing)
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
    calibration: bool = False,
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
        calibration: measure it too, which takes up to a tenth of the time of the rest.
    """
    training = model.training
    model.eval()
    loss = torch.zeros(trials, dtype=torch.float64, device=split.x.device)
    wrong, wrong5, brier = torch.zeros_like(loss), torch.zeros_like(loss), torch.zeros_like(loss)
    gaps = loss.new_zeros(trials, BINS)
    answers, top5 = 0, False
    for start in range(0, len(split.x), batch):
        x, y = split.x[start : start + batch], split.y[start : start + batch]
        if images is not None:
            x = images.plain(x)
        elif not x.is_floating_point():
            x = x.long()
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
        if calibration:
            probabilities = full(logits).softmax(-1)
            brier += brier_scores(probabilities, target)
            gaps += bin_gaps(probabilities, hit[..., 0])
        answers += y.numel()
        pulse()
    model.train(training)
    return Scores(
        (loss / len(split.x)).tolist(),
        (100 * wrong / answers).tolist(),
        (100 * wrong5 / answers).tolist() if top5 else None,
        ece(gaps, answers).tolist() if calibration else None,
        (brier / answers).tolist() if calibration else None,
    )
