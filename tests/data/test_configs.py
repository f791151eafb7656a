"""The YAML files of the dataset group say everything that their settings classes know, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import configs
from runner.data.load import LOADERS
from runner.data.settings import DATASETS

FOLDER = Path(*configs.__path__) / "dataset"


def test_every_dataset_has_settings_a_loader_and_a_config() -> None:
    assert set(DATASETS) == set(LOADERS) == {path.stem for path in FOLDER.glob("*.yaml")}


@pytest.mark.parametrize("name", DATASETS)
def test_config_lists_every_field_with_its_default_and_a_comment(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text()
    node = OmegaConf.create(text)
    settings = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(DATASETS[name]), node))
    assert set(node) == {f.name for f in fields(DATASETS[name])}
    for f in fields(DATASETS[name]):
        if f.name not in ("name", "flip", "pad"):
            assert f.default is not MISSING
            assert getattr(settings, f.name) == f.default
    lines = text.splitlines()
    assert lines[0].startswith("# python -m runner ")
    assert f"dataset={name}" in lines[0]
    assert lines[2] == f"name: {name}"
    assert all("#" in line for line in lines[3:])


def test_arrays_of_unknown_content_are_not_varied_unasked() -> None:
    varied = {
        name: node.get("flip") for name in DATASETS if "flip" in (node := OmegaConf.load(FOLDER / f"{name}.yaml"))
    }
    assert varied["cifar10"] is True
    assert varied["npz"] is False
    assert OmegaConf.load(FOLDER / "npz.yaml").pad == 0


def test_loaders_import_nothing_slow_until_they_are_called() -> None:
    slow = {"torch", "torchvision", "sklearn", "PIL", "tqdm"}
    code = f"import sys, runner.data.load; print(sorted({slow} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
