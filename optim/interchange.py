"""Decay in saved parameter groups: in torch's units, whatever the convention, so that torch.optim goes on with it.

What torch.optim.AdamW removes in a step is lr * weight_decay. In the paper's convention that is lr / base_lr * wd, so
weight_decay = wd / base_lr says the same there, under every schedule.
"""

from __future__ import annotations

from typing import Any

PAPERS = "paper_weight_decay"  # the number in the paper's convention, to the bit


def outgoing(group: dict[str, Any]) -> dict[str, Any]:
    """A group as it is saved."""
    if group.get("convention") != "paper":
        return group
    return group | {"weight_decay": group["weight_decay"] / group["base_lr"], PAPERS: group["weight_decay"]}


def settle(old: dict[str, Any], new: dict[str, Any], known: bool = True) -> None:
    """Complete the group `new`, as torch.optim has loaded it, from the one that was there, `old`.

    What the saved group has no word for keeps its value; its decay keeps its effect. `known`: torch.optim has a class
    that decays so. It has none like SGDW: the weight_decay of its SGD is an L2 penalty, which says nothing here.
    """
    new.setdefault("base_lr", new.get("initial_lr", old["base_lr"]))
    from_here = "convention" in new
    if not (known or from_here):
        new["weight_decay"] = old["weight_decay"]
        from_here = True
    papers = new.pop(PAPERS, None)
    for key in old:
        new.setdefault(key, old[key])
    if new.get("convention") != "paper":
        return
    if not from_here or (papers is not None and new["weight_decay"] != papers / new["base_lr"]):  # changed meanwhile
        new["weight_decay"] *= new["base_lr"]
    elif papers is not None:
        new["weight_decay"] = papers
