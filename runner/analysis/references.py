"""Which arm each of the others is compared with: `references(block, asked)` is the call to know.

By default it is the best that coupled decay offers: `without` puts the arm without decay in the place of an L2 that
gives nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from runner.analysis.arms import L2, NO_DECAY, Arm
from runner.analysis.blocks import Block
from runner.errors import UserError


def references(block: Block, asked: str = "") -> dict[str, str]:
    """For each arm the one that it is compared with; for one that others are compared with, itself.

    `asked` names the arm for all (`named`), where the block has it. By default it is the L2 of the arm's own family,
    where there are several the one that decays the same parameters; else the family's arm without decay; else the
    family's first. An arm that is alone in its family is compared with Adam + L2 if that is there, else with Adam, else
    with the first arm.
    """
    if chosen := named(list(block.arm_of.values()), asked) if asked else "":
        return dict.fromkeys(block.arms, chosen)
    arms = block.arm_of.values()
    # The families are in the order of the tables: Adam's is the first if the study has it.
    of_study = _of_family(block, next(iter(arms)))
    families = [arm.family for arm in arms]
    return {
        label: _of_family(block, arm) if families.count(arm.family) > 1 else of_study
        for label, arm in block.arm_of.items()
    }


def without(block: Block, against: Mapping[str, str], useless: Collection[str]) -> dict[str, str]:
    """Where an arm is compared with an L2 that gives nothing, the arm without decay of that family instead.

    Args:
        block: of the arms.
        against: for each arm the one that it is compared with by default.
        useless: L2 arms of which no decay that was tried is better than none.
    """
    arms = block.arm_of.values()
    plain = {arm.family: arm.label for arm in arms if arm.kind == NO_DECAY}
    instead = {arm.label: plain[arm.family] for arm in arms if arm.label in useless and arm.family in plain}
    return {arm: instead.get(other, other) for arm, other in against.items()}


def l2_of(block: Block, label: str) -> str:
    """The L2 of the arm's family, where there are several the one that decays the same parameters; '' for none."""
    family = block.arm_of[label].family
    params = block.rows.drop_duplicates("arm").set_index("arm")["decay_params"]
    labels = [other for other, arm in block.arm_of.items() if arm.family == family and arm.kind == L2]
    return next(iter([*(other for other in labels if params[other] == params[label]), *labels]), "")


def laid_down(block: Block, word: str) -> str:
    """The arm that the study's first command means by `reference=word`; '' where the block has none, or now several."""
    try:
        return named(list(block.arm_of.values()), word) if word else ""
    except UserError:
        return ""


def named(arms: Sequence[Arm], word: str) -> str:
    """The arm that a name or a short form means: 'AdamW', 'adamw', 'l2', 'Adam + L2', 'sgd'; '' where there is none.

    'adam' is the arm without decay if it is there, else Adam + L2. Returns its label. Raises UserError where several
    are meant.
    """
    wanted = _plain(word)
    # In this order: a label, an arm's name without what tells several of them apart, its kind.
    for form in (wanted, f"{wanted}nodecay", f"{wanted}+l2"):
        labels = [arm.label for arm in arms if _plain(arm.label) == form]
        labels = labels or [arm.label for arm in arms if _plain(arm.base) == form]
        if labels:
            return _only(labels, word, len(labels) > 1)
    kind = {"l2": L2, "nodecay": NO_DECAY}.get(wanted)
    alike = [arm for arm in arms if arm.kind == kind]
    return _only([arm.label for arm in alike], word, len({arm.base for arm in alike}) < len(alike)) if alike else ""


def _only(labels: Sequence[str], word: str, several: bool) -> str:
    if several:
        raise UserError(f"reference={word}: may be {' or '.join(labels)}; give one of these names")
    return labels[0]


def check(blocks: Sequence[Block], word: str) -> None:
    """Refuse the name of an arm that none of the blocks has; UserError lists those that there are."""
    labels = list(dict.fromkeys(label for block in blocks for label in block.arms))
    # All blocks are asked, for in any of them the name may mean several arms, which is refused.
    chosen = {named(list(block.arm_of.values()), word) for block in blocks} if word else set()
    if chosen == {""}:
        raise UserError(f"reference={word}: no such arm; the arms of this study are {'; '.join(labels)}")


def _of_family(block: Block, arm: Arm) -> str:
    """The arm of its family that this one is compared with."""
    family = [other for other in block.arm_of.values() if other.family == arm.family]
    plain = [other.label for other in family if other.kind == NO_DECAY]
    return l2_of(block, arm.label) or next(iter(plain), family[0].label)


def _plain(text: str) -> str:
    return re.sub(r"[\s,_]", "", text).casefold()
