"""What a trial's id leaves out: the values that settings had, or stand for, when ids were first made.

A trial's id hashes every setting whose value differs from `of(...)`. So the values here never change, also when a
default does: the command that used to mean the old default then gets another id, and rows that are on record keep
theirs. A setting that is added later says beside its field what means "as before it was there"
(`runner.fields.before`); a kind of model, dataset, optimizer or schedule that is added later needs none, and its ids
name all its values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from runner.config import settings

Values = Mapping[str, Any]


def added_later(kind: type) -> dict[str, Any]:
    """The values of those fields of a settings class that are younger than this list."""
    return {f.name: f.metadata["before"] for f in fields(kind) if "before" in f.metadata}


TOP: Values = (
    added_later(settings.TrialSettings)
    | {f"lookahead.{name}": value for name, value in added_later(settings.LookaheadSettings).items()}
    | {"replicate": 0}
)

_ADAM: Values = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "decay_params": "all"}
_SGD: Values = {"momentum": 0.9, "decay_params": "all"}
_IMAGES: Values = {"validation": 0.1, "flip": False, "pad": 0, "train": None}
_WARMUP: Values = {"warmup_steps": 0, "warmup_epochs": 0.0}
_COSINE: Values = {**_WARMUP, "eta_min": 0.0}

GROUPS: Mapping[str, Mapping[str, Values]] = {
    "model": {
        "resnet": {"depth": 8, "width": 8, "norm": "batch"},
        "shakeshake": {"depth": 26, "width": 64, "shake": True},
        "transformer": {"layers": 2, "dim": 128, "heads": 4, "mlp": 4, "patch": 4},
    },
    "dataset": {
        "digits": {"validation": 1.0, "flip": False, "pad": 0, "train": 400, "test": 898},
        "modular": {"validation": 0.5, "p": 97, "operation": "add", "fraction": 0.5, "train": None},
        "cifar10": _IMAGES,
        "cifar100": _IMAGES,
        "fashion_mnist": _IMAGES,
        "mnist": _IMAGES,
        "imagenet32": _IMAGES,
        "text": {"validation": 0.1, "context": 64, "test": 0.1, "train": None},
        "npz": _IMAGES,
        "folder": {**_IMAGES, "size": 32},
    },
    "optimizer": {
        "adam": _ADAM,
        "adamw": _ADAM,
        "sgd": _SGD,
        "sgdw": _SGD,
        "sparse_adamw": _ADAM,
        "lomo": {"decay_params": "all"},
    },
    "schedule": {
        "constant": _WARMUP,
        "step": {**_WARMUP, "drops": [0.3, 0.6, 0.8], "factor": 0.1},
        "cosine": _COSINE,
        "restarts": {**_COSINE, "t_0": 10, "t_mult": 2},
        "onecycle": {**_WARMUP, "rise": 0.3, "div": 25.0, "final_div": 1e4},
    },
}


def of(group: str, name: object) -> dict[str, Any]:
    """The baseline of the kind `name` of a group, by flat keys such as `model.width`; empty for a kind without one."""
    if not isinstance(name, str) or name not in GROUPS[group]:
        return {}
    values = {**GROUPS[group][name], **added_later(settings.GROUPS[group][name])}
    return {f"{group}.{key}": value for key, value in values.items()}
