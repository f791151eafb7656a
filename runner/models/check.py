"""Whether a model can take a dataset: `check(settings, dataset)`, asked before torch is imported."""

from __future__ import annotations

from optim.arithmetic import ceil_div
from runner.data.dataset import Dataset
from runner.errors import UserError
from runner.models.settings import ModelSettings, ModuleSettings, TransformerSettings

HALVINGS = 2  # how often a ResNet or ShakeShake halves an image's height and width, rounded up


def check(settings: ModelSettings, dataset: Dataset, batch_size: int = 0) -> None:
    """UserError in one line where the model of these `settings` cannot be built for `dataset`, or trained in batches.

    `batch_size`: examples in a batch; 0: batches are not checked.
    """
    if isinstance(settings, ModuleSettings):
        from runner.models.tried import draws  # imports torch, which a module needs

        draws(settings, dataset)
        return
    transformer = isinstance(settings, TransformerSettings)
    if dataset.kind == "numbers" and (transformer or len(dataset.example) != 3):
        given = f"model={settings.name} dataset={dataset.name}"
        raise UserError(f"{given}: its examples are numbers of shape {list(dataset.example)}; use model=module")
    if dataset.kind == "tokens":
        if not transformer:
            given = f"model={settings.name} dataset={dataset.name}"
            raise UserError(f"{given}: this model takes images; use model=transformer")
        return
    height, width = dataset.example[1:]
    if isinstance(settings, TransformerSettings):
        if height % settings.patch or width % settings.patch:
            raise UserError(f"model.patch={settings.patch}: must divide the image size {height}x{width}")
    elif min(height, width) < 4:
        raise UserError(f"model={settings.name}: images of {height}x{width} pixels are too small, at least 4x4")
    elif batch_size and getattr(settings, "norm", "batch") == "batch":
        _check_batches(settings, height, width, len(dataset.train), batch_size)


def _check_batches(settings: ModelSettings, height: int, width: int, count: int, batch_size: int) -> None:
    """Batch normalisation needs two values for each channel: no batch of one image where the last maps are 1x1."""
    rows, columns = (ceil_div(side, 2**HALVINGS) for side in (height, width))
    if rows * columns > 1 or _smallest(count, batch_size) > 1:
        return
    sizes = (size for step in range(1, count) for size in (batch_size + step, batch_size - step) if size > 1)
    right = next((size for size in sizes if _smallest(count, size) > 1), count)
    without = " or model.norm=none" if settings.name == "resnet" else ""
    raise UserError(
        f"batch_size={batch_size}: leaves a batch of one of the {count} training images of {height}x{width} pixels, "
        f"which the batch normalisation of model={settings.name} cannot take; use batch_size={right}{without}, or "
        "larger images"
    )


def _smallest(count: int, batch_size: int) -> int:
    """How many of `count` images are in the smallest batch of an epoch."""
    return count % batch_size or min(count, batch_size)
