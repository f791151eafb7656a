"""Statement 21: what LOMO saves of a training step's memory, from results/lomo-cpu (`python scripts/bench lomo`)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from runner.analysis.measures import number
from runner.errors import UserError
from runner.folklore.verdict import FALSE, NOT_MEASURED, PARTLY, TRUE, Part, Verdict, stated

SAID = 40.0  # percent
COLUMNS = ("tokens", "gradient_bytes", "sgd_peak_bytes", "saving_bytes")


def lomo(folder: Path) -> Verdict:
    """The verdict, by the bench beside the folder.

    Raises:
        UserError: where its file is no such table.
    """
    places = [place / "lomo-cpu" / "bench.csv" for place in (folder, folder.parent)]
    path = next((one for one in places if one.exists()), None)
    part = Part("Transformer", "", NOT_MEASURED, "python scripts/bench lomo") if path is None else saved(_read(path))
    return stated(
        21,
        "LOMO saves 40 % of the memory of fine-tuning LLaMA-2",
        "share of a training step's peak memory, weights included, that LOMO saves against SGD without momentum",
        [part],
        "lomo-cpu: bench.csv",
    )


def saved(rows: pd.DataFrame) -> Part:
    """True where it saves as much at every batch, partly true where at some. The weights are as large as gradients."""
    share = 100 * rows["saving_bytes"] / (rows["gradient_bytes"] + rows["sgd_peak_bytes"])
    by_tokens = sorted(zip(rows["tokens"], share, strict=True))
    ends = [f"{number(of, 0)} % at {tokens:g}" for tokens, of in (by_tokens[0], by_tokens[-1])]
    text = f"{' and '.join(dict.fromkeys(ends))} tokens a step"
    enough = share >= SAID
    return Part("Transformer", text, TRUE if enough.all() else PARTLY if enough.any() else FALSE)


def _read(path: Path) -> pd.DataFrame:
    try:
        rows = pd.read_csv(path)[list(COLUMNS)].astype(float)
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: not the table of python scripts/bench lomo ({str(error)[:60]})") from error
    if rows.empty or not (rows > 0).all(axis=None):
        raise UserError(f"{path}: not the table of python scripts/bench lomo (a number is missing)")
    return rows
