"""Peak memory of a training step under optim.LOMO and under torch.optim.SGD: `python scripts/bench lomo`.

A float32 Transformer on the CPU, with Gaussian inputs and targets. Every allocation and every release of torch's CPU
allocator is read from a profile of one step (forward, loss, backward, step, zero_grad), so the figures are exact, the
same in every run, and know nothing of what else the machine does. The peak is what the step holds at most beyond what
was there before it: activations, gradients, scratch; not the weights.

What LOMO can save is all gradients but those under way; what it does save depends on where the peak of SGD lies. With
few tokens that is at the end of backward, with many at its start, where activations are most and no gradient is there.
"""

from __future__ import annotations

import os
from collections.abc import Callable

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # before torch: else every profile announces itself
import torch
from torch import nn

from optim.lomo import LOMO
from runner.system.memory import peak_bytes
from scripts.bench.common import Row, Table, options, whole, wholes

SHOWN = "parameters:, tokens gradient_bytes:, sgd_peak_bytes:, lomo_peak_bytes:, saving_bytes:, share:.1%"


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


def measure(width: int, layers: int, tokens: int) -> Row:
    """Bytes that a step holds under either optimizer; `share` is what LOMO saves of the gradients' memory."""
    parameters = sum(p.numel() for p in transformer(width, layers).parameters())
    sgd = step_peak(lambda model: torch.optim.SGD(model.parameters(), 1e-3), width, layers, tokens)
    lomo = step_peak(lambda model: LOMO(model.parameters(), 1e-3), width, layers, tokens)
    bytes_of = {"gradient": 4 * parameters, "sgd_peak": sgd, "lomo_peak": lomo, "saving": sgd - lomo}
    row: Row = {"width": width, "layers": layers, "parameters": parameters, "tokens": tokens}
    row |= {f"{name}_bytes": size for name, size in bytes_of.items()}
    return row | {"share": round((sgd - lomo) / (4 * parameters), 4), "torch": torch.__version__}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--width", type=whole, default=512, help="a multiple of 64 (%(default)s)")
    parser.add_argument("--layers", type=whole, default=12, help="default: %(default)s")
    parser.add_argument("--tokens", type=wholes, default=[4, 16, 64, 256, 1024], help="such as 4,16 (%(default)s)")
    chosen = parser.parse_args()
    if chosen.width % 64:
        parser.error("--width: a multiple of 64")
    print(f"width {chosen.width}, {chosen.layers} layers, torch {torch.__version__}")
    table = Table(SHOWN, chosen.csv)
    for tokens in chosen.tokens:
        table.add(measure(chosen.width, chosen.layers, tokens))
