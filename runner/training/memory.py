"""What a stack will need of a device's memory, known before it starts: `predicted(trials, dataset, device)`.

One step and one evaluation are run on torch's fake tensors, which have shapes and no memory, while the bytes that would
be alive at any moment are counted. `room(...)` compares with what is free.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from runner.config.settings import LANES
from runner.data.dataset import Dataset, Split
from runner.data.room import machine_memory
from runner.errors import UserError
from runner.models.branches import COUNT
from runner.models.build import Model, build
from runner.models.lanes import Lanes
from runner.models.module import UserModule, made
from runner.models.module_lanes import lanes
from runner.models.settings import ModuleSettings, TransformerSettings
from runner.system import memory
from runner.training.calibration import bin_gaps, brier_scores
from runner.training.evaluate import full, losses
from runner.training.feed import Images
from runner.training.precision import autocast
from runner.trials.stack_size import GPU_LAYER_BYTES, evaluation_batch, rough_bytes, slots
from runner.trials.trial import Trial

# Freed memory is in pieces, not all of which can be used again: a process holds more than was alive in a step, measured
# as 1.25 to 1.55 times for seven convolutional shapes and 1.05 to 1.25 times for four Transformers. To that comes what
# the first call of every operator leaves behind, FIRST_CALLS. An evaluation in batches larger than those of training
# needs blocks that fit in none of the pieces.
WEIGHT_COPIES = 6  # weights, gradients, two moments, and what the last step of an epoch keeps
HEAP, TRANSFORMER_HEAP, FIRST_CALLS = 1.4, 1.2, 50 * 2**20


class Alive(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive, `now`, and the `most` that there were, within a `with`."""

    def __init__(self) -> None:
        super().__init__()
        # By the identity of a storage its bytes, and a reference that tells when it is freed. Views share a storage.
        self.known: dict[int, tuple[int, weakref.ref[Any]]] = {}
        self.now = self.most = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._see(tensor.untyped_storage())
        return out

    def _see(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self.known:
            self.known[key] = storage.nbytes(), weakref.ref(storage, lambda _: self._gone(key))
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)

    def _gone(self, key: int) -> None:
        self.now -= self.known.pop(key)[0]


def predicted(trials: Sequence[Trial], dataset: Dataset, device: torch.device) -> int:
    """Bytes that the stack of `trials` will take at its peak: of the GPU, or of this process beyond what it has now.

    `dataset`: theirs; `device`: on which they would be trained, which is not touched. Somebody's module may not work on
    tensors without memory, as where it looks at a number. Of such it is what its weights take, and nothing else.
    """
    model = trials[0].model
    if not isinstance(model, ModuleSettings):
        return _predicted(trials, dataset, device)
    try:
        return _predicted(trials, dataset, device)
    except UserError:
        raise
    except Exception:  # of other people's code
        weights = sum(p.numel() for p in made(model, torch.Generator()).parameters())
        return len(trials) * 4 * WEIGHT_COPIES * weights + FIRST_CALLS


def _predicted(trials: Sequence[Trial], dataset: Dataset, device: torch.device) -> int:
    """`predicted`, by a step on tensors that have no memory."""
    first, count = trials[0], len(trials)
    if device.type == "cpu" and first.stackable:
        count = slots(first.model, first.batch_size, first.positions, count, first.way)
    seeds = len({trial.seed for trial in trials})
    gpu = 0 if device.type == "cpu" else count
    chunk = evaluation_batch(first.model, first.batch_size, first.positions, gpu, first.way)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device(device.type), Alive() as alive:
        kept = _step(first, dataset, count, seeds)
        step, alive.most = alive.most, alive.now
        if first.way == LANES:  # lanes are evaluated as many at a time as there are streams
            some = min(count, COUNT) if gpu else 1
            model = build(first.model, dataset, some)
            network = lanes(first.model, dataset, model) if isinstance(model, UserModule) else model
            _evaluation(network, first, dataset, kept.images, some, chunk)
        else:
            _evaluation(kept.model, first, dataset, kept.images, count, chunk)
        evaluation, held = alive.most - alive.now, alive.now
        del kept
    if device.type == "cpu":
        larger = chunk > first.batch_size
        heap_share = TRANSFORMER_HEAP if isinstance(first.model, TransformerSettings) else HEAP
        return int(heap_share * step + larger * evaluation) + FIRST_CALLS
    # A CUDA graph keeps the memory of its step to itself. An evaluation, and a step with a smaller last batch, need
    # their own beside it.
    smaller = len(dataset.train) % first.batch_size / first.batch_size * (step - held)
    return step + int(max(smaller, evaluation)) + dataset.nbytes


@dataclass(frozen=True)
class _Kept:
    """What a stack holds from step to step, here only so that it is counted as alive."""

    model: Model
    images: Images | None
    tensors: list[Tensor]


def _step(trial: Trial, dataset: Dataset, count: int, seeds: int) -> _Kept:
    """Make a stack of `count` trials like this one, of so many different seeds, and take a step; what remains of it."""
    model = build(trial.model, dataset, count)
    network = lanes(trial.model, dataset, model) if trial.way == LANES else model
    parameters = list(model.parameters())
    copies = (2 if trial.rule.family == "adam" else 1) + bool(trial.lookahead.k)
    moments = [[torch.zeros_like(p) for p in parameters] for _ in range(copies)]
    drawn = _epoch_draws(model, dataset, seeds)
    images = None
    if dataset.kind == "images":
        # A tensor made from a list of numbers is real, also under the fake mode: put fake ones in its place.
        images = Images(dataset, torch.device("cpu"), torch.float32)
        images.mean, images.scale = (torch.empty(images.mean.shape) for _ in range(2))
    batch = min(trial.batch_size, len(dataset.train))
    x = _examples(dataset.train, images, seeds, batch)[torch.zeros(count, dtype=torch.int64)]
    y = torch.zeros(count, batch, *dataset.train.y.shape[1:], dtype=torch.int64)
    noise = torch.empty(count, batch, model.noise_width) if model.noise_width else None
    with autocast(trial.precision, x.device):
        logits = network(x, noise)
    losses(logits, y).mean(1).sum().backward()
    if isinstance(network, Lanes):
        network.gather()
    del logits, x, y, noise
    # The last step of an epoch copies the weights, to measure the size of its update.
    before = [p.detach().clone() for p in parameters]
    moved = [p.detach() - q for p, q in zip(parameters, before, strict=True)]
    del before, moved
    return _Kept(model, images, [*drawn, *(m for part in moments for m in part)])


def _epoch_draws(model: Model, dataset: Dataset, seeds: int) -> list[Tensor]:
    """Order, augmentation and noise of an epoch, as the feed holds them."""
    n = len(dataset.train)
    drawn = [torch.empty(seeds, n, dtype=torch.int64)]
    if dataset.kind == "images":
        drawn.append(torch.empty(seeds, n, 3, dtype=torch.int64))
    if model.noise_width:
        drawn.append(torch.empty(seeds, n, model.noise_width))
    return drawn


def _examples(split: Split, images: Images | None, seeds: int, batch: int) -> Tensor:
    """A batch for each seed as the network takes it, [seeds, batch, ...]."""
    shape = (seeds, batch, *split.x.shape[1:])
    if images is None:
        return torch.zeros(shape, dtype=torch.float32 if split.x.dtype.kind == "f" else torch.int64)
    x = torch.empty(shape, dtype=torch.uint8)
    return images.plain(x)


@torch.no_grad()
def _evaluation(
    model: Model | Lanes, trial: Trial, dataset: Dataset, images: Images | None, count: int, chunk: int
) -> None:
    """Evaluate `count` networks on a batch of `chunk` examples."""
    model.eval()
    split = dataset.test if len(dataset.test) else dataset.train
    x = _examples(split, images, 1, min(chunk, len(split)))[0]
    y = torch.zeros(len(x), *split.y.shape[1:], dtype=torch.int64)
    with autocast(trial.precision, x.device):
        logits = model(x.expand(count, *x.shape))
    if x.device.type != "cpu":  # on a CPU the losses are small, and HEAP has room for them
        target = y.expand(count, *y.shape)
        losses(logits, target)
        probabilities = full(logits).softmax(-1)
        brier_scores(probabilities, target)
        bin_gaps(probabilities, logits.argmax(-1) == target)


def available(device: torch.device) -> float:
    """Bytes of the device's memory that this process can still get; infinite where the system does not say."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return machine_memory() + memory.kept()


def room(trials: Sequence[Trial], dataset: Dataset, device: torch.device, processes: int) -> str:
    """Why this stack should not be tried beside `processes` - 1 others like it; "" where there is room.

    `trials`: of one stack key; `dataset`: theirs; `device`: that would train them.

    A stack of one trial may take all the memory that is free: there is no smaller one to try.
    """
    free = available(device) if device.type == "cuda" or len(trials) == 1 else available(device) / processes
    first = trials[0]
    # The rough figure is quick, and enough for most stacks. On a GPU an evaluation may need some layers more.
    more = 0 if device.type == "cpu" else 16 * GPU_LAYER_BYTES
    small = not isinstance(first.model, ModuleSettings)  # of which the rough figure says nothing
    if small and rough_bytes(first.model, first.batch_size, first.positions, len(trials)) + more < free:
        return ""
    need = predicted(trials, dataset, device)
    return "" if need <= free else f"needs about {need / 2**30:.1f} GiB of memory, {free / 2**30:.1f} GiB are free"
