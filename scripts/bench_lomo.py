#!/usr/bin/env python3
"""Peak memory of a training step under optim.LOMO and under torch.optim.SGD: `python scripts/bench_lomo.py --help`.

A float32 Transformer on the CPU, with Gaussian inputs and targets. Every allocation and every release of torch's CPU
allocator is read from a profile of one step (forward, loss, backward, step, zero_grad), so the figures are exact, the
same in every run, and know nothing of what else the machine does. The peak is what the step holds at most beyond what
was there before it: activations, gradients, scratch; not the weights.

What LOMO can save is all gradients but those under way; what it does save depends on where the peak of SGD lies. With
few tokens that is at the end of backward, with many at its start, where activations are most and no gradient is there.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable
from pathlib import Path

import root

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # before torch: else every profile announces itself
import torch
from torch import nn

from optim.lomo import LOMO
from runner.system.memory import peak_bytes

COLUMNS = (
    "width layers parameters tokens gradient_bytes sgd_peak_bytes lomo_peak_bytes saving_bytes share torch".split()
)
HEAD = f"{'parameters':>11}{'tokens':>8}{'gradients MiB':>15}{'SGD peak MiB':>14}{'LOMO peak MiB':>15}"
HEAD += f"{'saved MiB':>11}{'saved / gradients':>19}"


def transformer(width: int, layers: int) -> nn.Module:
    layer = nn.TransformerEncoderLayer(width, max(1, width // 64), 4 * width, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


def step_peak(make: Callable[[nn.Module], torch.optim.Optimizer], width: int, layers: int, tokens: int) -> int:
    """Peak of the third training step of a model under its optimizer."""
    torch.manual_seed(0)
    model = transformer(width, layers)
    optimizer = make(model)
    inputs, targets = torch.randn(1, tokens, width), torch.randn(1, tokens, width)

    def train() -> None:
        nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(2):
        train()
    return peak_bytes(train)


def measure(width: int, layers: int, tokens: int) -> dict[str, object]:
    parameters = sum(p.numel() for p in transformer(width, layers).parameters())
    sgd = step_peak(lambda model: torch.optim.SGD(model.parameters(), 1e-3), width, layers, tokens)
    lomo = step_peak(lambda model: LOMO(model.parameters(), 1e-3), width, layers, tokens)
    return {
        "width": width,
        "layers": layers,
        "parameters": parameters,
        "tokens": tokens,
        "gradient_bytes": 4 * parameters,
        "sgd_peak_bytes": sgd,
        "lomo_peak_bytes": lomo,
        "saving_bytes": sgd - lomo,
        "share": round((sgd - lomo) / (4 * parameters), 4),
        "torch": torch.__version__,
    }


def shown(row: dict[str, object]) -> str:
    names = ("gradient_bytes", "sgd_peak_bytes", "lomo_peak_bytes", "saving_bytes")
    gradients, sgd, lomo, saved = (int(str(row[name])) / 2**20 for name in names)
    return (
        f"{row['parameters']:>11,}{row['tokens']:>8}{gradients:>15.1f}{sgd:>14.1f}{lomo:>15.1f}{saved:>11.1f}"
        f"{row['share']:>19.1%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=512, help="a multiple of 64")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--tokens", type=int, nargs="+", default=[4, 16, 64, 256, 1024])
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the rows here")
    chosen = parser.parse_args()
    if chosen.width % 64 or min(chosen.width, chosen.layers, *chosen.tokens) < 1:
        parser.error("--width: a multiple of 64; --layers and --tokens: 1 or more")
    print(f"width {chosen.width}, {chosen.layers} layers, torch {torch.__version__}\n{HEAD}")
    rows = []
    for tokens in chosen.tokens:
        rows.append(measure(chosen.width, chosen.layers, tokens))
        print(shown(rows[-1]), flush=True)
    if chosen.csv:
        chosen.csv.parent.mkdir(parents=True, exist_ok=True)
        with chosen.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
