"""The tables of a study, schema 1: which columns each has, and which of them name a row."""

from __future__ import annotations

STATUSES = ("ok", "diverged", "failed")
SCHEMA = 1

TRIALS = (
    "study trial phase status "
    "model dataset optimizer wd_convention lr wd seed batch_size epochs schedule beta1 beta2 eps momentum "
    "decay_params wd_torch wd_paper wd_norm steps params train_size val_size "
    "train_loss train_error val_loss val_error test_loss test_error test_top5_error gap_loss gap_error "
    "best_val_epoch epochs_to_target seconds samples_per_second peak_mib stack "
    "commit version torch device precision started settings note host code"
).split()
CURVES = (
    "trial epoch step lr wd_step running_loss train_loss train_error val_loss val_error test_loss test_error "
    "weight_norm update_norm seconds"
).split()
CYCLES = "trial cycle epoch val_loss val_error test_loss test_error".split()
DYNAMICS = (
    "trial epoch step layer kind weight_norm update_angle angle_cv predicted_angle decay_rank_correlation decay_cv "
    "max_weight bound tau_epochs penalty_share "
    "root_1 root_2 root_3 root_4 root_5 decay_1 decay_2 decay_3 decay_4 decay_5"
).split()
COLUMNS = {"trials": TRIALS, "curves": CURVES, "cycles": CYCLES, "dynamics": DYNAMICS}

# How many columns version 0.1.0 wrote. A later version adds columns at the end and changes none of the earlier ones, so
# an older file is known by its shorter header, and a row of it is a row of today with empty cells behind.
OLDEST = {"trials": TRIALS.index("host"), "curves": len(CURVES), "cycles": len(CYCLES), "dynamics": len(DYNAMICS)}

# What names a row: words, and for all tables but the first a count.
WORDS = {"trials": ("trial",), "curves": ("trial",), "cycles": ("trial",), "dynamics": ("trial", "layer")}
COUNT = {"trials": "", "curves": "epoch", "cycles": "cycle", "dynamics": "epoch"}

# Columns that differ between two runs of the same command; everything else must repeat.
TIMING = ("seconds", "samples_per_second", "peak_mib", "started", "stack", "commit", "host", "code")

TEXT = set(
    "study trial phase status model dataset optimizer wd_convention schedule decay_params "
    "commit version torch device precision started settings note host code layer kind".split()
)

# What gives a trial its place among the blocks, arms and cells of a study: a row that lacks one is in no table.
PLACE = "model dataset optimizer wd_convention lr wd seed batch_size epochs schedule".split()


def names(table: str) -> list[str]:
    """The columns that together name a row of `table`."""
    return [*WORDS[table], *([COUNT[table]] if COUNT[table] else [])]
