"""An empty cache of datasets, and a count of the images that are opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import PIL.Image
import pytest

Paths = list[str]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "adamw-runner"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Paths:
    """The names of all images that Pillow has opened since."""
    found: Paths = []
    whole = PIL.Image.open

    def counting(fp: Any, *more: Any, **named: Any) -> Any:
        found.append(str(getattr(fp, "name", fp)))
        return whole(fp, *more, **named)

    monkeypatch.setattr(PIL.Image, "open", counting)
    return found
