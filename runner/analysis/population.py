"""What a study's replicates are draws of: `population(block)`, the words that every verdict names."""

from __future__ import annotations

import json

from runner.analysis.blocks import Block, replicates
from runner.data.settings import DIGITS, pairs


def population(block: Block) -> str:
    """It follows 'over'. Splits of the same examples are no new data, so a verdict holds for these examples.

    Data whose test set comes with it is only divided anew into what is trained on and what is validated on.
    """
    rows = [part.rows.iloc[0] for part in replicates(block).values()]
    try:
        settings = [json.loads(str(row["settings"])) for row in rows]
        name, hashes = settings[0]["dataset"], {one["dataset.hash"] for one in settings}
    except (ValueError, TypeError, LookupError):  # settings of another program
        return "splits and seeds"
    if len(hashes) == 1:
        return "seeds, on the one split of this data"
    if name == "digits":
        return f"random splits of these {DIGITS:,} images"
    if name == "modular":
        count = pairs(settings[0].get("dataset.p", 97), settings[0].get("dataset.operation"))
        return f"random splits of these {count:,} pairs"
    if name == "text":
        return "cuts of this text"
    if settings[0].get("dataset.test_held_out"):
        return "random splits of these examples"
    what = "examples" if name == "module" else "images"
    return f"random choices of training and validation {what}, with one test set"
