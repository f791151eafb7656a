"""Whether a model can take a dataset: `check(settings, dataset)`, asked before torch is imported."""

from __future__ import annotations

from runner.data.dataset import Dataset
from runner.errors import UserError
from runner.models.settings import ModelSettings, TransformerSettings


def check(settings: ModelSettings, dataset: Dataset) -> None:
    """UserError in one line where this model cannot be built for this dataset."""
    transformer = isinstance(settings, TransformerSettings)
    if dataset.kind != "images":
        if not transformer:
            given = f"model={settings.name} dataset={dataset.name}"
            raise UserError(f"{given}: this model takes images; use model=transformer")
        return
    height, width = dataset.train.x.shape[1:3]
    if isinstance(settings, TransformerSettings):
        if height % settings.patch or width % settings.patch:
            raise UserError(f"model.patch={settings.patch}: must divide the image size {height}x{width}")
    elif min(height, width) < 4:
        raise UserError(f"model={settings.name}: images of {height}x{width} pixels are too small, at least 4x4")
