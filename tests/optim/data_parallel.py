"""What the ranks of `tests.optim.test_distributed` do: each function runs in both, and returns how far they are off."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer

import optim
from tests.optim.ranks import WORLD
from tests.optim.torch_sides import SIDES

LR, WD = 3e-3, 1e-3  # the paper's decay; torch's is WD / LR
Make = Callable[[Any], torch.optim.Optimizer]
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "Adam": (optim.Adam, {"weight_decay": WD}),
    "AdamW": (optim.AdamW, {"weight_decay": WD / LR}),
    "AdamW small": (optim.AdamW, {"weight_decay": 1e-4}),
    "AdamW paper": (optim.AdamW, {"weight_decay": WD, "convention": "paper"}),
    "SGD": (optim.SGD, {"momentum": 0.9, "weight_decay": WD}),
    "SGDW": (optim.SGDW, {"momentum": 0.9, "weight_decay": WD / LR}),
    "SGDW paper": (optim.SGDW, {"momentum": 0.9, "weight_decay": WD, "convention": "paper"}),
    "SparseAdamW paper": (optim.SparseAdamW, {"weight_decay": WD, "convention": "paper"}),
    "LOMO": (optim.LOMO, {"weight_decay": WD / LR}),
}
FAST = ("AdamW paper", "SGD", "LOMO")


def made(name: str, parameters: Any) -> torch.optim.Optimizer:
    if name.startswith("Lookahead "):
        return optim.Lookahead(made(name.removeprefix("Lookahead "), parameters), 2)
    kind, options = KINDS[name]
    return kind(parameters, lr=LR, **options)


def network() -> Any:
    """Two ranks cut 7 rows unevenly, and of 1 row or 1 element the second gets none."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.LayerNorm(7), nn.Linear(7, 3), nn.Tanh(), nn.Linear(3, 1))


def loss_of(model: Any, step: int, rank: int) -> Tensor:
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(WORLD * step + rank))
    return (model(x).squeeze() - 1).square().mean()


def train(model: Any, optimizer: Any, first: int, last: int, schedule: Any = None, alone: bool = False) -> None:
    """Each rank with its own examples, or `alone` with those of all."""
    for step in range(first, last):
        optimizer.zero_grad()
        ranks = range(WORLD) if alone else [dist.get_rank()]
        (sum(loss_of(model, step, rank) for rank in ranks) / len(ranks)).backward()
        optimizer.step()
        if schedule:
            schedule.step()


def cosine(optimizer: Any) -> Any:
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30)


def apart(one: Any, other: Any) -> float:
    """The largest difference of two networks' weights."""
    whole = [[getattr(p, "full_tensor", lambda p=p: p)() for p in model.parameters()] for model in (one, other)]
    return max((a - b).abs().max().item() for a, b in zip(*whole, strict=True))


def under_ddp(name: str, side: bool) -> float:
    """Beside a run alone; `side`: beside torch's class, or a few lines over it, in DistributedDataParallel too."""
    mine, other = nn.parallel.DistributedDataParallel(network()), network()
    if not side:
        train(mine, made(name, mine.parameters()), 0, 6)
        train(other, made(name, other.parameters()), 0, 6, alone=True)
        return apart(mine, other)
    theirs = nn.parallel.DistributedDataParallel(other)
    for model, make in zip((mine, theirs), SIDES[name], strict=True):
        train(model, make(list(model.parameters())), 0, 6)
    return apart(mine, theirs)


def lomo_under_ddp(name: str) -> tuple[str, float]:
    """What it says with two ranks, and how far weights have moved then."""
    model = nn.parallel.DistributedDataParallel(network())
    said = ""
    try:
        train(model, made(name, model.parameters()), 0, 1)
    except RuntimeError as error:
        said = str(error)
    return said, apart(model, network())


def sharded() -> Any:
    model = network()
    mesh = init_device_mesh("cpu", (WORLD,))
    for layer in (model[0], model[3]):
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def under_fsdp(name: str) -> float:
    """Under a schedule, beside a run alone."""
    mine, other = sharded(), network()
    for model, alone in ((mine, False), (other, True)):
        optimizer = made(name, model.parameters())
        train(model, optimizer, 0, 6, cosine(optimizer), alone)
    return apart(mine, other)


def resumed_under_fsdp(name: str, way: dict[str, bool]) -> float:
    """From a checkpoint of torch.distributed, beside a run that goes on."""
    one, options = sharded(), StateDictOptions(**way)
    optimizer = made(name, one.parameters())
    schedule = cosine(optimizer)
    train(one, optimizer, 0, 3, schedule)
    two = sharded()
    two.load_state_dict(one.state_dict())
    second = made(name, two.parameters())
    second.param_groups[0]["weight_decay"] = 0.5
    after = cosine(second)  # before loading, for it sets the rate to its first
    file = copy.deepcopy(get_optimizer_state_dict(one, optimizer, options=options))
    set_optimizer_state_dict(two, second, file, options=options)
    after.load_state_dict(schedule.state_dict())
    train(one, optimizer, 3, 6, schedule)
    train(two, second, 3, 6, after)
    return apart(one, two)


def under_zero(name: str, groups: bool, on_disk: bool) -> dict[str, float]:
    """Steps, and then a file of ZeRO's and one of the plain class, each loaded by ZeRO and by the plain class."""
    kind, options = KINDS[name]

    def parameters(model: Any) -> Any:
        parts = [{"params": list(model[0].parameters()), "lr": LR / 3}, {"params": list(model[2:].parameters())}]
        return parts if groups else list(model.parameters())

    def zero(model: Any) -> Any:
        return ZeroRedundancyOptimizer(parameters(model), kind, lr=LR, **options)

    def plain(model: Any) -> Any:
        return kind(parameters(model), lr=LR, **options)

    models, files = {make: network() for make in (zero, plain)}, {}
    for make, model in models.items():
        optimizer = make(model)
        schedule = cosine(optimizer)
        train(model, optimizer, 0, 3, schedule, alone=True)
        if make is zero:
            optimizer.consolidate_state_dict(to=0)
        box = [through(optimizer.state_dict(), on_disk) if make is plain or dist.get_rank() == 0 else None]
        dist.broadcast_object_list(box)
        files[make.__name__] = box[0], copy.deepcopy(schedule.state_dict())
        if make is plain:
            start = copy.deepcopy(model.state_dict())
            train(model, optimizer, 3, 6, schedule, alone=True)
        else:
            stepped = copy.deepcopy(model)
    begun = network()
    begun.load_state_dict(start)
    found = {"steps": apart(stepped, begun)}
    for source, (file, schedules) in files.items():
        for make in (zero, plain):
            model = network()
            model.load_state_dict(start)
            optimizer = make(model)
            optimizer.param_groups[0]["weight_decay"] = 0.5
            schedule = cosine(optimizer)
            optimizer.load_state_dict(copy.deepcopy(file))
            schedule.load_state_dict(copy.deepcopy(schedules))
            train(model, optimizer, 3, 6, schedule, alone=True)
            found[f"{source} to {make.__name__}"] = apart(model, models[plain])
    return found


def through(file: Any, on_disk: bool) -> Any:
    if not on_disk:
        return copy.deepcopy(file)
    buffer = io.BytesIO()
    torch.save(file, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)
