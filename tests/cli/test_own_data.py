"""Commands on somebody's own data, with a network of theirs or one of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.own_code import done, own, rows
from tests.damage import command, process

DATA = """
import numpy as np

def table(columns=6):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, columns))
    return x, np.array(["low", "high"])[(x.sum(1) > 0).astype(int)]

def pictures():
    rng = np.random.default_rng(0)
    return rng.normal(size=(120, 3, 8, 8)), np.arange(120) % 4
"""
NET = "from torch import nn\n\ndef net():\n    return nn.Linear(6, 2)\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return own(tmp_path, data=DATA, small=NET)


def test_somebodys_network_on_somebodys_numbers_is_compared_over_replicates_and_each_row_can_be_repeated(
    folder: Path,
) -> None:
    words = ("-m", "optimizer=adam,adamw", "lr=0.1", "wd=0.1", "epochs=3", "study=s", "workers=1", "replicates=4")
    words = (*words, "model=module", "model.make=own.small:net", "dataset=module", "dataset.make=own.data:table")
    said = done(command(folder, *words))
    assert "net on table, 3 epochs" in said
    assert "numbers; 216 examples for training; 24 for validation, held out; 60 for testing, held out" in said
    assert "over random splits of these examples" in " ".join(said.split())
    found = rows(folder)
    assert len(found) == 8
    assert found[["replicate", "split"]].drop_duplicates().to_numpy().tolist() == [
        [n, n] for n in found["replicate"].unique()
    ]
    assert (found["test_error"] < 30).all()
    last = found[found["replicate"] == 3].iloc[0]["trial"]
    assert "matched to the bit" in done(process(folder, "results/s", last, module="runner.rerun"))
    other = command(folder, *words, "dataset.args={columns: 7}", "study=t")
    assert other.code == 2
    assert "model.make=own.small:net: cannot take a batch [2, 7] of the dataset" in other.err


def test_our_networks_take_floats_as_images_and_nothing_else(folder: Path) -> None:
    words = ("epochs=1", "study=s", "workers=1", "dataset=module")
    for model in ("model=resnet", "model=transformer"):
        said = command(folder, *words, model, "dataset.make=own.data:table")
        assert said.code == 2
        assert "its examples are numbers of shape [6]; use model=module" in said.err
    done(command(folder, *words, "model=resnet", "model.width=4", "dataset.make=own.data:pictures"))
    assert rows(folder)["status"].tolist() == ["ok"]
