"""The keys of a command line, and the line for a word that is none of them: `unknown(key)`. Imports nothing slow."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import fields

from runner.config.settings import AXES, GROUPS, RunSettings, Settings
from runner.errors import UserError
from runner.system import called

# The keys of the top level, the groups first.
KEYS = tuple(
    dict.fromkeys(
        [*GROUPS, "grid", *AXES] + [f.name for kind in (Settings, RunSettings) for f in fields(kind) if f.name != "run"]
    )
)
# What other programs call some of them, without its strokes and case.
_ELSEWHERE = {
    "weightdecay": "wd",
    "decay": "wd",
    "l2": "wd",
    "learningrate": "lr",
    "bs": "batch_size",
    "batch": "batch_size",
    "lrscheduler": "schedule",
    "betas": "optimizer.beta1",
    "warmup": "schedule.warmup_epochs",
    "optim": "optimizer",
    "name": "study",
    "gpus": "devices",
    "out": "results",
    "outputdir": "results",
    "logdir": "results",
}
_BELOW = {  # `beta1` for `optimizer.beta1`
    f.name: f"{group}.{f.name}"
    for group, kinds in GROUPS.items()
    for kind in kinds.values()
    for f in fields(kind)
    if f.name not in ("name", *KEYS)
}


def unknown(key: str) -> str:
    """That there is no such key, with the one that is meant where that can be told."""
    if key == "replicate":
        return "unknown key 'replicate'; it is map_noise=N now (fresh seeds for N good cells)"
    if key in ("experiment", "preset", "cluster"):
        return f"{key} is added to the defaults: write +{key}=NAME"
    if key.startswith("hydra."):
        group = ".".join(key.split(".")[:2])
        return f"unknown key '{key}'; {called.command('--cfg', 'hydra', '-p', group)} shows the keys of {group}"
    group, dot, rest = key.partition(".")
    elsewhere = _ELSEWHERE.get(rest.replace("_", "").replace("-", "").lower())
    meant = f"did you mean {elsewhere}? " if elsewhere else ""
    if dot and group in KEYS:
        return f"unknown key '{key}'; {meant}{called.command('--cfg', 'job')} shows the keys of {group}"
    if key in KEYS:
        return f"{key}: takes a name, or what is below it one by one ({key}.KEY=VALUE)"
    return f"unknown key '{key}'; {meant_by(key)}the keys are {', '.join(KEYS)}"


def check_dashes(words: Sequence[str]) -> None:
    """UserError for a key that is written as an option, `--lr=0.1` or `--weight-decay 0.1`."""
    for word in words:
        option = re.fullmatch(r"--([A-Za-z][\w.-]*)(?:=(.*))?", word, re.DOTALL)
        key = option[1].replace("-", "_") if option else ""
        right = key if key in KEYS or key.partition(".")[0] in GROUPS else _ELSEWHERE.get(key.replace("_", "").lower())
        if option and right:
            raise UserError(f"{word}: a key is written without strokes before it: {right}={option[2] or 'VALUE'}")


def meant_by(key: str) -> str:
    """'did you mean wd? ' for weight_decay; '' where nothing is close."""
    plain = key.replace("_", "").replace("-", "").lower()
    if meant := _ELSEWHERE.get(plain) or _BELOW.get(key):
        return f"did you mean {meant}? "
    return near(key, KEYS)


def near(word: str, words: Sequence[str]) -> str:
    """'did you mean WORD? ', of these the closest; '' where none is close."""
    close = difflib.get_close_matches(word, words, n=1)
    return f"did you mean {close[0]}? " if close else ""
