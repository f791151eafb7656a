"""How many trials share a stack: `cpu_stack(...)`, the slots that this takes: `slots(...)`, and `gpu_stack(...)`.

Measured for the CPU on two cores, one thread, as the time of a step for each trial: small networks are bound by what a
call costs and gain up to four times from a stack, until its activations leave the cache; large ones gain nothing. For
a GPU these are guesses, from which `runner.execution.gpu_stack_size` goes on. Imports nothing slow.
"""

from __future__ import annotations

import math

from optim.arithmetic import ceil_div
from runner.config.settings import FULL, LANES, LOOSE, UNSTACKED
from runner.models.settings import ModelSettings, ModuleSettings, TransformerSettings

CACHE_BYTES = 2**20  # of one layer's activations, over the stack, up to which the time for each trial falls
TRANSFORMER_ALONE_BYTES = 2**18  # of one trial's activations, from which Transformers train as fast one by one
CONVOLUTION_ALONE_BYTES = 2**21  # of one trial's activations, from which a convolution of two trials is no faster
FILLED_STACK_BYTES = 2**24  # up to which a stack without spare slots was never slower than its trials one by one
ALONE_CHANNELS = 16  # thinner convolutions alone are slow at any size
CPU_MOST = 32
EVALUATION_EXAMPLES = 250
LARGE_IMAGE_PIXELS = 256  # from which fewer channels make a convolution alone the faster one
GPU_LAYER_BYTES = 2**27  # of a layer's activations, over the stack, that are taken to fill a GPU
GPU_MOST = 64
LANES_CHANNELS = 64  # from which lanes were faster on a GPU


def layer_bytes(model: ModelSettings, batch: int, positions: int) -> int:
    """Activations of one trial's widest float32 layer; `positions`: pixels of an image, patches or tokens."""
    width = model.dim if isinstance(model, TransformerSettings) else getattr(model, "width", ALONE_CHANNELS)
    return 4 * batch * positions * width


def alone(model: ModelSettings, batch: int, positions: int) -> bool:
    """Whether trials of this shape are trained one by one on the CPU."""
    size = layer_bytes(model, batch, positions)
    if isinstance(model, TransformerSettings):
        return size >= TRANSFORMER_ALONE_BYTES
    return (
        not isinstance(model, ModuleSettings)
        and size >= CONVOLUTION_ALONE_BYTES
        and getattr(model, "width", ALONE_CHANNELS) >= ALONE_CHANNELS
    )


def cpu_stack(model: ModelSettings, batch: int, positions: int) -> int:
    """The number of trials in a stack of this shape."""
    if alone(model, batch, positions):
        return 1
    size = layer_bytes(model, batch, positions)
    room = 2 * CACHE_BYTES if isinstance(model, TransformerSettings) else CACHE_BYTES
    most = max(2, min(CPU_MOST, room // size))
    return max(most, unit(model)) if size * unit(model) <= FILLED_STACK_BYTES else most


def unit(model: ModelSettings) -> int:
    """A stack of a multiple of so many trials, two at least, is full: none of its slots is spare."""
    return 16 // math.gcd(16, getattr(model, "width", 16))


def slots(model: ModelSettings, batch: int, positions: int, trials: int, way: str = FULL) -> int:
    """How many slots `trials` need on the CPU for each to end in the same bits as in any other stack of this `way`.

    A grouped convolution of one group takes another path, with other roundings, than one of several; and batch
    normalisation goes through all channels of the stack in vectors of up to 16, rounding the rest differently in its
    backward pass. A FULL stack has no rest, a LOOSE one has that pass from `runner.models.build.loosen`, and what is
    UNSTACKED or in LANES is a network of ordinary layers. What is trained one by one for its size is in no other stack.
    Modules of others are stacked only where stacks of any size from two round alike (`runner.execution.module_way`).
    """
    if way in (UNSTACKED, LANES) or (trials == 1 and alone(model, batch, positions)):
        return trials
    return max(
        2, trials if way == LOOSE or isinstance(model, ModuleSettings) else ceil_div(trials, unit(model)) * unit(model)
    )


def gpu_way(model: ModelSettings) -> str:
    """How a stack of this model is computed on a GPU where nothing was measured.

    On an H100 a trial's step took, in a stack and in lanes: ResNet-20 of width 16, 0.82 and 1.11 ms; 26 2x16d, 1.95 and
    2.80 ms; 26 2x64d, 9.4 and 7.3 ms.
    """
    return (
        LANES
        if not isinstance(model, TransformerSettings) and getattr(model, "width", ALONE_CHANNELS) >= LANES_CHANNELS
        else FULL
    )


def gpu_stack(model: ModelSettings, batch: int, positions: int) -> int:
    """The number of trials in a stack of this shape on a GPU."""
    return max(1, min(GPU_MOST, GPU_LAYER_BYTES // layer_bytes(model, batch, positions)))


def evaluation_batch(model: ModelSettings, batch: int, positions: int, gpu: int = 0, way: str = FULL) -> int:
    """Examples that are evaluated at a time, but no smaller batches than in training.

    On the CPU as few as are fast, the same for a trial in every stack of its way, for another number would round
    otherwise. On a GPU, for a stack of `gpu` trials, as many as fill it: a batch of few takes as long. Each lane fills
    it, for that many calls of a network are as many times the launches.
    """
    size = layer_bytes(model, batch, positions)
    if gpu:
        return max(batch, GPU_LAYER_BYTES * batch // (size * (1 if way == LANES else gpu)))
    # Where one network is computed at a time, or a Transformer of few numbers, calls cost more than leaving the cache.
    singly = way in (UNSTACKED, LANES) or apart(model, positions, way)
    room = 8 if singly or isinstance(model, TransformerSettings) else 1
    return max(batch, min(EVALUATION_EXAMPLES, room * CACHE_BYTES * batch // size))


def apart(model: ModelSettings, positions: int, way: str) -> bool:
    """Whether the trials of a stack are evaluated one by one on the CPU, each as an ordinary network.

    More examples make a convolution of many channels faster, and one of as many groups as there are trials hardly:
    26 2x32d took 1.7 times as long for each of 16 trials as it takes alone. Of large images that is so from 9 channels
    on, of small ones from 17. Transformers of 16 trials took up to 1.4 times as long from 512 numbers an example on.
    """
    if way not in (FULL, LOOSE) or isinstance(model, ModuleSettings):
        return False
    if isinstance(model, TransformerSettings):
        return model.dim * positions >= 512
    return getattr(model, "width", ALONE_CHANNELS) > (
        ALONE_CHANNELS if positions < LARGE_IMAGE_PIXELS else ALONE_CHANNELS // 2
    )


def rough_bytes(model: ModelSettings, batch: int, positions: int, trials: int) -> int:
    """More memory than a stack of this shape takes, without looking at the network: three times and above."""
    size = layer_bytes(model, batch, positions)
    if isinstance(model, TransformerSettings):
        kept, weights = model.layers * (16 + 4 * model.mlp) * size, 12 * model.layers * model.dim**2
    else:
        depth, width = getattr(model, "depth", 26), getattr(model, "width", ALONE_CHANNELS)
        kept, weights = 16 * depth * size, 9 * depth * (4 * width) ** 2
    return trials * (2 * kept + 40 * weights) + 2**28
