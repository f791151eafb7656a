"""Which arm each of the others is compared with: `references(block, asked)` is the call to know."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from runner.analysis.arms import Block, family_name
from runner.errors import UserError


def references(block: Block, asked: str = "") -> dict[str, str]:
    """For each arm the one that it is compared with; for one that others are compared with, itself.

    `asked` names the arm for all (`named`), where the block has it. By default it is the L2 of the arm's own family,
    where there are several the one that decays the same parameters; else the family's arm without decay; else the
    family's first. An arm that is alone in its family is compared with Adam + L2 if that is there, else with Adam, else
    with the first arm.
    """
    found = named(block.arms, asked) if asked else ""
    if found:
        return dict.fromkeys(block.arms, found)
    first = block.rows.drop_duplicates("arm").set_index("arm").loc[block.arms]
    # The families are in the order of the tables: Adam's is the first if it is there.
    study = _of_family(first, str(first["family"].iloc[0]), str(first.index[0]))
    return {
        arm: _of_family(first, str(row["family"]), arm) if (first["family"] == row["family"]).sum() > 1 else study
        for arm, row in first.iterrows()
        if isinstance(arm, str)
    }


def l2_of(block: Block, arm: str) -> str:
    """The arm of the family's L2, there or not; where a study has several, the one that decays the same parameters."""
    first = block.rows.drop_duplicates("arm").set_index("arm")
    found = _l2(first, arm)
    return found or f"{family_name(str(first.loc[arm, 'family']))} + L2"


def named(arms: Sequence[str], word: str) -> str:
    """The arm that a name or a short form means: 'AdamW', 'adamw', 'l2', 'Adam + L2', 'sgd'; '' where there is none.

    'adam' is the arm without decay if it is there, else Adam + L2. Raises UserError where several are meant.
    """
    wanted = _plain(word)
    for form in (wanted, f"{wanted}nodecay", f"{wanted}+l2"):
        found = [arm for arm in arms if _plain(arm) == form] or [arm for arm in arms if _plain(_base(arm)) == form]
        if len(found) > 1:
            raise UserError(f"reference={word}: may be {' or '.join(found)}; give one of these names")
        if found:
            return found[0]
    ends = {"l2": "+l2", "nodecay": "nodecay"}.get(wanted)
    found = [arm for arm in arms if ends and _plain(_base(arm)).endswith(ends)]
    if len({_base(arm) for arm in found}) < len(found):
        raise UserError(f"reference={word}: may be {' or '.join(found)}; give one of these names")
    return found[0] if found else ""


def check(blocks: Sequence[Block], word: str) -> None:
    """Refuse the name of an arm that none of the blocks has; UserError lists those that there are."""
    arms = list(dict.fromkeys(arm for block in blocks for arm in block.arms))
    found = {named(block.arms, word) for block in blocks} if word else {""}
    if word and arms and found == {""}:
        raise UserError(f"reference={word}: no such arm; the arms of this study are {'; '.join(arms)}")


def _of_family(first: pd.DataFrame, family: str, arm: str) -> str:
    """The arm of its family that this one is compared with."""
    mine = first[first["family"] == family]
    return _l2(first, arm) or str((list(mine.index[mine["wd"] == 0]) or list(mine.index))[0])


def _l2(first: pd.DataFrame, arm: str) -> str:
    """The L2 of the arm's family that decays the same parameters, or any; '' where there is none."""
    mine = first[(first["family"] == first.loc[arm, "family"]) & (first["wd"] > 0) & ~first["decoupled"]]
    alike = mine[mine["decay_params"] == first.loc[arm, "decay_params"]]
    return str((alike if len(alike) else mine).index[0]) if len(mine) else ""


def _base(arm: str) -> str:
    """'AdamW (torch)' -> 'AdamW'."""
    return arm.partition(" (")[0]


def _plain(text: str) -> str:
    return re.sub(r"[\s,_]", "", text).casefold()
