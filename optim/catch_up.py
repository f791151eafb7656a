"""What AdamW does to rows whose gradient is zero, over any number of steps at once: `replay(history, last, p, m, v)`.

Such a row (theta, m, v), last touched at step t, is moved by dense AdamW at every later step s all the same:

    theta <- (1 - d_s) theta - size_s m_s / (sqrt(v_s) / root_s + eps)      m_s = beta1^(s-t) m   v_s = beta2^(s-t) v

with size_s = lr_s / (1 - beta1^s), root_s = sqrt(1 - beta2^s) and d_s the decay of the step. Over the steps up to T,
with P(t, s) the product of 1 - d over t+1 .. s, b_s = beta2^((s-t)/2) / root_s and x = sqrt(v), that is

    theta_T = P(t, T) (theta - m F(x))      F(x) = sum_s a_s / (b_s x + eps)      a_s = size_s beta1^(s-t) / P(t, s)

F has one shape for all rows with the same t, whatever their x. With c a typical b and u = (c x - eps) / (c x + eps),

    1 / (b x + eps) = 1 / (c x + eps) * 1/q (1 + 2 sum_n (-w)^n T_n(u))      q = sqrt(b / c)      w = (q - 1) / (q + 1)

(the Chebyshev series of 1 / (1 + r (b/c - 1)) in r = (u + 1) / 2, which lies between 0 and 1 for every x). So a few
numbers per t, kept up to date from step to step, replay all steps at once; what the series leaves out is summed as
well, and where it is more than rounding the steps are replayed one by one. Nothing is approximated beyond rounding.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

# Columns of a history's table, which has a row for each step s. KEEP, LOG1 and LOG2 are sums over the steps up to s of
# the logarithms of 1 - d, beta1 and beta2, so that a product over steps is one subtraction. SIZE and ROOT are size_s
# and root_s. The others are about parameter rows last touched at s: CENTER is c; LEAST bounds F from below and ERROR
# what the series leaves out from above, both times c x + eps; from SERIES on there are the coefficients of the series.
KEEP, LOG1, LOG2, SIZE, ROOT, CENTER, LEAST, ERROR, SERIES = range(9)
ZERO_BETA = 1e-300  # stands for beta1 = 0, which has no logarithm
MOST_TERMS = 24  # of the series


class History:
    """The scalars of all steps since `first`, float64: about 120 bytes for each step, kept on the host.

    Args:
        first: the number of the last step before this history.
        betas: decay rates of the moments, 0 <= beta1 < sqrt(beta2) and 0 < beta2 < 1; later steps may have others.
        eps: added to the root of the second moment, above 0; the same for all steps.
        precision: the machine epsilon of the rows, which decides what counts as rounding.
    """

    def __init__(self, first: int, betas: tuple[float, float], eps: float, precision: float) -> None:
        self.first, self.count, self.eps = first, 0, eps
        self.rounding = precision / 8  # the error that is allowed, as a part of the whole movement of a row
        # A row moves by m / sqrt(v), which fades as (beta1 / sqrt(beta2))^k after k steps. Below this it has stopped.
        self.log_window = math.log(self.rounding / 256)
        self.terms = _terms(betas, self.rounding, self.log_window)
        self.table = np.zeros((64, SERIES + self.terms))
        self._centre(0, betas)

    @property
    def step(self) -> int:
        """The number of the latest step."""
        return self.first + self.count

    def append(self, lr: float, betas: tuple[float, float], decay: float) -> None:
        """Add a step of these numbers; the sums of all earlier steps whose rows still move get its part.

        `lr`: its rate; `betas`: its decay rates; `decay`: the fraction that it removes of each weight, below 1.
        """
        self.count += 1
        if self.count == len(self.table):
            self.table = np.concatenate([self.table, np.zeros_like(self.table)])
        now, before = self.table[self.count], self.table[self.count - 1]
        now[KEEP] = before[KEEP] + math.log1p(-decay)
        now[LOG1] = before[LOG1] + math.log(max(betas[0], ZERO_BETA))
        now[LOG2] = before[LOG2] + math.log(betas[1])
        now[SIZE] = lr / (1 - betas[0] ** self.step)
        now[ROOT] = math.sqrt(1 - betas[1] ** self.step)
        self._centre(self.count, betas)
        # The logarithm of (beta1 / sqrt(beta2))^k falls from step to step, so the steps whose rows still move are the
        # last ones, from `oldest` on.
        fading = self.table[: self.count, LOG1] - self.table[: self.count, LOG2] / 2
        oldest = np.searchsorted(-fading, self.log_window - (now[LOG1] - now[LOG2] / 2))
        moving = self.table[oldest : self.count]
        part, b = _parts(now, moving)
        q = np.sqrt(b / moving[:, CENTER])
        w = (q - 1) / (q + 1)
        # (c x + eps) / (b x + eps) lies between 1 and 1/q^2, whatever x is; the rest of a geometric series bounds the
        # terms that are left out.
        moving[:, LEAST] += part * np.minimum(1, 1 / q**2)
        moving[:, ERROR] += part / q * 2 * np.abs(w) ** self.terms / (1 - np.abs(w))
        term = part / q
        for n in range(self.terms):
            moving[:, SERIES + n] += term
            term *= -w if n else -2 * w

    def _centre(self, index: int, betas: tuple[float, float]) -> None:
        """Set c of a step: b at about twice the mean number of steps after which a row touched at it moves."""
        lag = 2 / (1 - betas[0] / math.sqrt(betas[1]))
        step = self.first + index + lag
        self.table[index, CENTER] = betas[1] ** (lag / 2) / math.sqrt(1 - betas[1] ** step)


def _terms(betas: tuple[float, float], rounding: float, log_window: float) -> int:
    """How many terms the series needs late in training, plus three for early steps, where b changes faster."""
    ratio = betas[0] / math.sqrt(betas[1])
    lag = np.arange(1, min(10_000, int(log_window / math.log(max(ratio, ZERO_BETA))) + 2))
    q = betas[1] ** ((lag - 2 / (1 - ratio)) / 4)
    w, part = np.abs((q - 1) / (q + 1)), betas[0] ** lag.astype(float) / q
    for terms in range(2, MOST_TERMS - 3):
        if np.sum(part * 2 * w**terms / (1 - w)) <= rounding * np.sum(part):
            return terms + 3
    return MOST_TERMS


def _parts(now: np.ndarray, past: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a_s and b_s of steps `now`, for rows last touched at steps `past`; each is rows of the table, or one row."""
    part = now[..., SIZE] * np.exp(now[..., LOG1] - past[..., LOG1] - (now[..., KEEP] - past[..., KEEP]))
    return part, np.exp((now[..., LOG2] - past[..., LOG2]) / 2) / now[..., ROOT]


def replay(history: History, last: np.ndarray, p: Tensor, m: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows p, m, v [rows, ...] as they are after the history's latest step; `last` [rows]: the steps they are at now.

    By the series where its error is below rounding, else step by step. A row whose m is 0 only decays.
    """
    index = last - history.first
    past, now = history.table[index], history.table[history.count]
    series = past[:, ERROR] <= history.rounding * past[:, LEAST]
    root = v.sqrt()
    if series.all():
        force = _by_series(past, root, history.eps)
    else:
        force = torch.zeros_like(p)
        moving = m.ne(0).view(len(m), m[:1].numel()).any(1).cpu().numpy()
        for some, way in ((series & moving, _by_series), (~series & moving, None)):
            if some.any():
                at = torch.from_numpy(np.flatnonzero(some)).to(p.device)
                x = root[at]
                force[at] = way(past[some], x, history.eps) if way else _by_steps(history, index[some], x)
    keep, beta1, beta2 = _over_rows(np.exp(now[: LOG2 + 1] - past[:, : LOG2 + 1]), p)
    return torch.addcmul(p, m, force, value=-1).mul_(keep), m * beta1, v * beta2


def _by_series(past: np.ndarray, x: Tensor, eps: float) -> Tensor:
    """F(x) by Clenshaw's recurrence, which sums a Chebyshev series without forming the polynomials.

    `past` [rows, columns] of the table; x = sqrt(v) [rows, ...]. The coefficients already have the signs of (-w)^n.
    """
    (center,) = _over_rows(past[:, CENTER : CENTER + 1], x)
    terms = _over_rows(past[:, SERIES:], x)
    scaled = x * center
    below = scaled + eps
    u = (scaled - eps).div_(below)
    one, two = torch.zeros_like(x), torch.zeros_like(x)
    for term in reversed(terms[1:]):
        one, two = torch.addcmul(term - two, u, one, value=2), one
    return torch.addcmul(terms[0] - two, u, one).div_(below)


def _by_steps(history: History, index: np.ndarray, x: Tensor) -> Tensor:
    """F(x) of rows last touched at the table's rows `index`, step by step until the moments have run out."""
    past, total = history.table[index], torch.zeros_like(x)
    for gap in range(1, history.count + 1 - int(index.min())):
        at = np.minimum(index + gap, history.count)
        now = history.table[at]
        fading = now[:, LOG1] - past[:, LOG1] - (now[:, LOG2] - past[:, LOG2]) / 2
        alive = (index + gap <= history.count) & (fading > history.log_window)
        if not alive.any():
            break
        a, b = _parts(now, past)
        part, scale = _over_rows(np.stack([np.where(alive, a, 0.0), b], 1), x)
        total += part / (x * scale + history.eps)
    return total


def _over_rows(columns: np.ndarray, like: Tensor) -> tuple[Tensor, ...]:
    """Each column of [rows, columns] as a tensor [rows, 1, ...], to be broadcast over `like` [rows, ...]."""
    return torch.from_numpy(columns).to(like).view(*columns.shape, *(1,) * (like.dim() - 1)).unbind(1)
