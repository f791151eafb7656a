"""What sentences call a setting, by what tells it from the others of its study: `setting(label)`."""

from __future__ import annotations

from collections.abc import Sequence

from runner.claims.claim import Claim

NAMES = {"resnet": "ResNet", "transformer": "Transformer", "shakeshake": "Shake-Shake"}
_SAID_BY_VALUE = ("model", "dataset", "schedule")


def setting(label: str) -> str:
    """'ResNet' of 'model=resnet', 'width 8, cosine' of 'model.width=8 | schedule=cosine'.

    Args:
        label: of a block; '' where there is one block.

    Returns: '' for ''; for the labels of a study, each another text.
    """
    return ", ".join(_part(part) for part in label.split(" | ") if part)


def _part(part: str) -> str:
    key, _, value = part.partition("=")
    if key in _SAID_BY_VALUE:
        return NAMES.get(value, value)
    return f"{key.rpartition('.')[2].replace('_', ' ')} {value}"


def names_of(claims: Sequence[Claim]) -> list[str]:
    """The name of each claim, with its setting behind it where several have the name."""
    names = [claim.name for claim in claims]
    return [f"{one.name}{_where(one)}" if names.count(one.name) > 1 else one.name for one in claims]


def _where(claim: Claim) -> str:
    """' (ResNet)'; '' in a study of one setting."""
    told = [text for place in claim.places if (text := setting(place.block.label))]
    return f" ({'; '.join(told)})" if told else ""
