"""torch.distributed.checkpoint takes our optimizers to files and back, key by key or whole, and decay keeps its effect.

One process is enough for that: the keys are the same with more.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner

from tests.optim.runs import LR, MAKES, WAYS, WD, Run, assert_goes_on, edited, started

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled", "ignore:.*TypedStorage is deprecated")
NUMBERS = ("lr", "initial_lr", "base_lr", "weight_decay", "momentum", "eps")
# torch takes no full checkpoint that has no state, nor of its own SGD without momentum: "Expected device to be set".
STATELESS = ("SGD plain", "LOMO")
OURS = [name for name in MAKES if "torch" not in name]


@pytest.mark.parametrize(
    ("name", "way"), [(n, w) for n in OURS for w in WAYS if n not in STATELESS or not WAYS[w].full_state_dict]
)
def test_a_checkpoint_of_each_class_goes_on_with_every_number_whatever_the_new_optimizer_was_given(
    name: str, way: str
) -> None:
    there = started(name)
    here = Run(edited(MAKES[name])).goes_on(there, there.saved(way), way)
    for a, b in zip(here.optimizer.param_groups, there.optimizer.param_groups, strict=True):
        assert {k: a[k] for k in NUMBERS if k in a} == {k: b[k] for k in NUMBERS if k in b}
    assert_goes_on(there, here)


PAIRS = [
    ("AdamW", "AdamW paper"),
    ("AdamW paper", "AdamW"),
    ("AdamW paper", "torch AdamW"),
    ("AdamW", "torch AdamW"),
    ("torch AdamW", "AdamW"),
    ("torch AdamW", "SparseAdamW"),
    ("SparseAdamW paper", "AdamW paper"),
    ("AdamW paper", "SparseAdamW"),
    ("SGDW", "SGDW paper"),
    ("SGDW paper", "SGDW"),
    ("Adam", "torch Adam"),
    ("torch Adam", "Adam"),
    ("SGD", "torch SGD"),
    ("torch SGD", "SGD"),
]


@pytest.mark.parametrize("way", ["whole", "flattened"])
@pytest.mark.parametrize(
    ("one", "other"), [*PAIRS, ("torch AdamW", "AdamW paper"), ("torch AdamW", "SparseAdamW paper")]
)
def test_decay_has_the_same_effect_in_the_other_convention_and_in_torch(one: str, other: str, way: str) -> None:
    there = started(one)
    file = there.saved(way)
    if way == "flattened" and (one, other) not in PAIRS:
        with pytest.raises(KeyError, match="base_lr"):  # torch asks the file for all that the group has
            Run(MAKES[other]).goes_on(there, file, way)
        return
    assert_goes_on(there, Run(edited(MAKES[other])).goes_on(there, file, way))


def family(name: str) -> str:
    return name.removeprefix("torch ").removeprefix("Sparse").split()[0]


RELATED = [
    (one, other)
    for other in ("AdamW", "AdamW paper", "Adam", "SGD", "SGDW paper", "SparseAdamW")
    for one in MAKES
    if family(one) == family(other) and one != "SGD plain"
]


@pytest.mark.parametrize("way", ["whole", "flattened"])
@pytest.mark.parametrize(("one", "other"), RELATED)
def test_files_of_dcp_keep_the_decays_effect_also_where_they_miss_what_the_optimizer_asks_for(
    one: str, other: str, way: str, tmp_path: Path
) -> None:
    there, here = started(one), Run(edited(MAKES[other]))
    dcp.save({"optimizer": there.saved(way)}, checkpoint_id=tmp_path)
    file = here.saved(way)
    dcp.load({"optimizer": file}, checkpoint_id=tmp_path, planner=DefaultLoadPlanner(allow_partial_load=True))
    assert_goes_on(there, here.goes_on(there, file, way))


def test_a_number_of_torch_beside_an_equal_one_of_the_papers_is_still_torchs(tmp_path: Path) -> None:
    there = Run(lambda p: torch.optim.AdamW(p, LR, weight_decay=WD))
    there.train(3)
    here = Run(MAKES["AdamW paper"])
    dcp.save({"optimizer": there.saved("flattened")}, checkpoint_id=tmp_path)
    file = here.saved("flattened")
    dcp.load({"optimizer": file}, checkpoint_id=tmp_path, planner=DefaultLoadPlanner(allow_partial_load=True))
    assert_goes_on(there, here.goes_on(there, file, "flattened"))


def test_renamed_parameters_keep_their_decay() -> None:
    there, here = started("AdamW paper"), Run(edited(MAKES["AdamW paper"]))
    file = {key.replace(".0.", ".first."): value for key, value in there.saved("flattened").items()}
    back = {key.replace(".first.", ".0."): value for key, value in file.items()}
    assert_goes_on(there, here.goes_on(there, back, "flattened"))
