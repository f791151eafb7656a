"""What a row says of a trial before it is trained: `described(trial)`, the columns that its settings decide."""

from __future__ import annotations

from runner.config.settings import AdamSettings, SGDSettings
from runner.trials.trial import Trial


def described(trial: Trial) -> dict[str, object]:
    """Cells of trials.csv, by column; None for what the trial's optimizer does not have."""
    rule, o = trial.rule, trial.optimizer
    adam = isinstance(o, AdamSettings)
    return {
        "trial": trial.id,
        "model": trial.model.name,
        "dataset": trial.facts.name,
        "optimizer": o.name,
        "wd_convention": trial.wd_convention,
        "lr": trial.lr,
        "wd": trial.wd,
        "seed": trial.seed,
        "batch_size": trial.batch_size,
        "epochs": trial.epochs,
        "schedule": trial.schedule.name,
        "beta1": rule.beta1 if adam else None,
        "beta2": rule.beta2 if adam else None,
        "eps": rule.eps if adam else None,
        "momentum": rule.beta1 if isinstance(o, SGDSettings) else None,
        "decay_params": o.decay_params,
        **trial.decays(),
        "train_size": trial.facts.train_size,
        "val_size": trial.facts.val_size,
        "precision": trial.precision,
        "replicate": trial.replicate,
        "split": trial.dataset.split,
        "settings": trial.settings_json,
    }
