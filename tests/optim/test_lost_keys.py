"""Decay keeps its effect whichever keys a tool leaves out, and the file of another class is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.optim.runs import MAKES, Run, assert_goes_on, edited, started

TORCHS = {"lr", "betas", "eps", "weight_decay", "params", "momentum", "dampening", "nesterov", "initial_lr"}
LOST: dict[str, Callable[[str], bool]] = {
    "nothing": lambda key: False,
    "all but torch's": lambda key: key not in TORCHS,
    **{key: key.__eq__ for key in ("base_lr", "paper_weight_decay", "weight_decay_unit", "convention", "release")},
    "the numbers beside": lambda key: key in ("base_lr", "paper_weight_decay"),
    "what tells the unit": lambda key: key in ("paper_weight_decay", "weight_decay_unit"),
}


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("one", ["AdamW paper", "AdamW", "SGDW paper", "SparseAdamW paper"])
def test_decay_keeps_its_effect_whichever_keys_a_tool_leaves_out_of_a_file(one: str, lost: str) -> None:
    there = started(one)
    file = there.optimizer.state_dict()
    for other in (one, one.removesuffix(" paper")):
        here = Run(edited(MAKES[other]))
        if lost == "all but torch's" and "SGDW" in one:  # what is left is a file of torch's SGD, whose decay is another
            other, here = one, Run(MAKES[one])
        assert_goes_on(copy.deepcopy(there), here.resumed(there, without(file, lost)))


# A number of the paper's convention without any word about it cannot be told from torch's, nor two of which neither
# follows from the other.
TOLD = [
    (lost, changed)
    for lost in LOST
    for changed in (False, True)
    if lost not in ("all but torch's", "what tells the unit")
]
TOLD.remove(("weight_decay_unit", True))


@pytest.mark.parametrize(("lost", "changed"), TOLD)
@pytest.mark.parametrize("one", ["AdamW paper", "AdamW", "SGDW paper"])
def test_nor_out_of_the_groups_themselves_which_zero_saves_also_before_a_step_has_seen_a_new_decay(
    one: str, lost: str, changed: bool
) -> None:
    there = started(one)
    for group in there.optimizer.param_groups if changed else []:
        group["weight_decay"] *= 3
    file = there.optimizer.state_dict()
    file["param_groups"] = [
        {**group, "params": saved["params"]}
        for saved, group in zip(file["param_groups"], there.optimizer.param_groups, strict=True)
    ]
    assert_goes_on(there, Run(edited(MAKES[one])).resumed(there, without(file, lost)))


def without(file: Any, lost: str) -> Any:
    groups = [{k: v for k, v in group.items() if not LOST[lost](k)} for group in file["param_groups"]]
    return copy.deepcopy({**file, "param_groups": groups})


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        ("SGD", "AdamW", "has momentum_buffer, and no step"),
        ("SGD plain", "AdamW paper", "has momentum, and no betas"),
        ("LOMO", "SGD", "has clip_value, and no momentum"),
        ("AdamW", "LOMO", "not that of optim.LOMO|has betas, and no clip_value"),
        ("AdamW", "SGD", "exp_avg.*it is not that of optim.SGD"),
        ("torch Adam", "AdamW", "decoupled_weight_decay=False"),
        ("AdamW", "SGDW", "exp_avg.*it is not that of optim.SGDW"),
        ("AdamW", "Lookahead paper", "not a state_dict of optim.Lookahead"),
    ],
)
def test_another_classs_checkpoint_is_refused_with_the_reason_and_nothing_is_loaded(
    one: str, other: str, says: str
) -> None:
    there, here = started(one), started(other)
    before = copy.deepcopy(here.optimizer.state_dict())
    with pytest.raises(ValueError, match=says):
        here.optimizer.load_state_dict(there.optimizer.state_dict())
    after = here.optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    torch.testing.assert_close(after["state"], before["state"], rtol=0, atol=0)
