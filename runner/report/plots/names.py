"""What the plots of each block are called, by what they show: `endings(blocks)`, such as '_width16'."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from runner.analysis.blocks import Block

LONGEST = 80  # characters: with a folder's path it must fit the 260 of some file systems
_NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?")
_WITH_ID = re.compile(r".*-[0-9a-f]{6}")


def endings(blocks: Sequence[Block]) -> dict[str, str]:
    """What the name of a plot's file ends in, by the id of its block; '' where there is one block.

    It is made of the block's label: '_width16', '_schedule-cosine_epochs20'. All are different, also where upper and
    lower case are the same. A label that tells too little or is too long is followed by the block's id.
    """
    if len(blocks) == 1:
        return {blocks[0].id: ""}
    plain = {block.id: _plain(block.label) for block in blocks}
    times = Counter(name.lower() for name in plain.values())

    def ending(id_: str, name: str) -> str:
        alone = times[name.lower()] == 1 and len(name) <= LONGEST and not _WITH_ID.fullmatch(name)
        return f"_{name}" if alone and name else f"_{name[:LONGEST]}-{id_}"

    return {id_: ending(id_, name) for id_, name in plain.items()}


def _plain(label: str) -> str:
    """'width16_schedule-cosine' of 'model.width=16 | schedule=cosine': letters that every file system has."""
    parts = []
    for part in label.split(" | "):
        key, _, value = part.partition("=")
        name = key.rpartition(".")[2]
        parts.append(f"{name}{value}" if _NUMBER.fullmatch(value) else f"{name}-{value}")
    return re.sub(r"[^A-Za-z0-9.+_-]+", "-", "_".join(parts)).strip("-._")
