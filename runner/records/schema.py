"""The tables of a study, schema 1: each column is declared here, once, and all else that is known of it follows.

`TABLES` has the declarations; `COLUMNS["trials"]` the names of a file's columns in their order. How files are read,
checked, written and widened follows from them, and so does results/columns.md.

To add a column:

1. Declare it at the end of its table, with `added=True`. Files without it are still read; their rows have an empty cell
   there, and the first append puts a wider file in their place.
2. Give it its value where the rows of its table are made. For trials.csv that is `runner/trials/described.py`, for what
   the settings decide, or `runner/training/rows.py`, for what is measured; for curves.csv and cycles.csv rows.py too;
   for dynamics.csv `runner/training/diagnostics.py`.

`python scripts/readme.py` then puts it into results/columns.md. tests/records/test_schema.py follows this recipe.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from runner.records.column import Column as Col
from runner.records.column import Range, Text, whole

SCHEMA = 1
STATUSES = ("ok", "diverged", "failed")
PHASES = ("search", "refine", "final")

# What cells may hold.
TEXT = Text()
POSITIVE = Range(5e-324, 1e300, "a positive number, at most 1e300")
FROM_0 = Range(0, 1e300, "a number from 0 to 1e300")
DECAY = FROM_0._replace(overflows=True)  # one convention's decay may have no number in another's units
SHARE = Range(0, 1, "a number from 0 to 1")
LOSS = Range(0, math.inf, "a number from 0 or nan", nan=True)
PERCENT = Range(0, 100, "a percentage from 0 to 100 or nan", nan=True)
BRIER = Range(0, 2 + 1e-6, "a number from 0 to 2 or nan", nan=True)  # rounding may pass 2 by the last digits
POINTS = Range(-100, 100, "percentage points from -100 to 100 or nan", nan=True)
MEASURED = Range(-math.inf, math.inf, "a number or nan", nan=True)  # no bounds that hold for every network
EPOCH = whole(1, 10**6)  # and restart cycles
COUNT = whole(0)

# Columns of several tables.
_TRIAL = Col("trial", TEXT, "the trial's id, as in trials.csv", key=True)
_EPOCH = Col("epoch", EPOCH, "counted from 1", key=True)
_STEP = Col("step", COUNT, "optimizer steps taken until then")
_TRAIN_LOSS = Col(
    "train_loss", LOSS, "on the training set in eval mode, without augmentation, shake or penalty; in nats"
)
_TRAIN_ERROR = Col("train_error", PERCENT, "errors on the training set, measured likewise, in percent")
_VAL_LOSS = Col("val_loss", LOSS, "mean cross-entropy on the validation set, in nats")
_VAL_ERROR = Col("val_error", PERCENT, "errors on the validation set, in percent")
_TEST_LOSS = Col("test_loss", LOSS, "mean cross-entropy on the test set, in nats")
_TEST_ERROR = Col("test_error", PERCENT, "errors on the test set, in percent")

TABLES: Mapping[str, tuple[Col, ...]] = {
    "trials": (
        Col("study", TEXT, "the name of the study's folder"),
        Col("trial", TEXT, "its id: the first 16 hexadecimal digits of a hash of its `settings`", key=True),
        Col("phase", Text(PHASES), "`final`: a winner with a fresh seed; `refine`: near a winner", required=True),
        Col("status", Text(STATUSES), "`failed`: not trained; `diverged`: a loss was not finite", required=True),
        Col("model", TEXT, "as in the configs", setting="model", place=True),
        Col("dataset", TEXT, "as in the configs, but the label or the file's name where there is one", place=True),
        Col(
            "optimizer",
            TEXT,
            "as in the configs; at wd = 0 `adam` for AdamW and `sgd` for SGDW, which are then the same",
            setting="optimizer",
            place=True,
        ),
        Col("wd_convention", TEXT, "what `wd` means", setting="wd_convention", place=True),
        Col("lr", POSITIVE, "base learning rate", setting="lr", place=True),
        Col("wd", FROM_0, "weight decay", setting="wd", place=True),
        Col("seed", whole(0, 2**63 - 1), "of all random numbers of the trial", setting="seed", place=True),
        Col("batch_size", whole(1), "examples in a step", setting="batch_size", place=True),
        Col("epochs", EPOCH, "passes over the training set", setting="epochs", place=True),
        Col("schedule", TEXT, "as in the configs", setting="schedule", place=True),
        Col("beta1", SHARE, "of Adam", setting="optimizer.beta1"),
        Col("beta2", SHARE, "of Adam", setting="optimizer.beta2"),
        Col("eps", FROM_0, "of Adam", setting="optimizer.eps"),
        Col("momentum", SHARE, "of SGD", setting="optimizer.momentum"),
        Col("decay_params", TEXT, "`all`, or `weights`: norms and biases spared", setting="optimizer.decay_params"),
        Col("wd_torch", DECAY, "the decay in the convention of torch; empty for L2"),
        Col("wd_paper", DECAY, "the decay in the paper's convention; empty for L2"),
        Col("wd_norm", DECAY, "the normalized decay; empty for L2; under restarts that of the first cycle"),
        Col("steps", COUNT, "optimizer steps taken"),
        Col("params", COUNT, "parameters of the network"),
        Col("train_size", COUNT, "examples to train on"),
        Col("val_size", COUNT, "examples to select on; 0: selection was on test"),
        _TRAIN_LOSS,
        _TRAIN_ERROR,
        _VAL_LOSS,
        _VAL_ERROR,
        _TEST_LOSS,
        _TEST_ERROR,
        Col("test_top5_error", PERCENT, "test examples whose class is not among the five likeliest, in percent"),
        Col("gap_loss", MEASURED, "`test_loss` minus `train_loss`"),
        Col("gap_error", POINTS, "`test_error` minus `train_error`"),
        Col("best_val_epoch", EPOCH, "the epoch with the smallest validation error, among those evaluated"),
        Col("epochs_to_target", EPOCH, "the first evaluated epoch with `val_error` <= `target_error`"),
        Col("seconds", FROM_0, "the trial's share of its stack's time, evaluation included", varies=True),
        Col("samples_per_second", FROM_0, "training examples per second of that share", varies=True),
        Col(
            "peak_mib", FROM_0, "peak memory in MiB: of the process on a CPU, of the whole stack on a GPU", varies=True
        ),
        Col("stack", COUNT, "how many trials trained together", varies=True),
        Col("commit", TEXT, "of the code; `+` marks uncommitted changes", varies=True),
        Col("version", TEXT, "of this program"),
        Col("torch", TEXT, "version of PyTorch"),
        Col("device", TEXT, "what trained: the name of a GPU, or of a CPU with its instruction set"),
        Col("precision", TEXT, "as in the configs", setting="precision"),
        Col("started", TEXT, "when, in UTC", varies=True),
        Col("settings", TEXT, "JSON of every setting that decides the result, with the hash of the dataset"),
        Col("note", TEXT, "why the trial failed or when it diverged, or in what way it was computed"),
        Col("host", TEXT, "the name of the machine; empty with `record_host=false`", varies=True, added=True),
        Col("code", TEXT, "a hash of the code that can change a result", varies=True, added=True),
        Col("replicate", COUNT, "the repetition of the study it is of; empty is 0", setting="replicate", added=True),
        Col("split", COUNT, "of its dataset; empty is 0", setting="dataset.split", added=True),
        Col(
            "test_ece",
            PERCENT,
            "expected calibration error on the test set, over 15 bins of confidence, in percent; nan if diverged",
            added=True,
        ),
        Col(
            "test_brier",
            BRIER,
            "Brier score on the test set: the sum over classes of squared differences, from 0 to 2, mean over answers; "
            "nan if diverged",
            added=True,
        ),
    ),
    "curves": (
        _TRIAL,
        _EPOCH,
        _STEP,
        Col("lr", FROM_0, "the learning rate at the epoch's last step, which a schedule may take to 0"),
        Col("wd_step", DECAY, "of that step: the fraction of a weight that was removed, or the L2 coefficient"),
        Col("running_loss", LOSS, "the average loss while training"),
        _TRAIN_LOSS,
        _TRAIN_ERROR,
        _VAL_LOSS,
        _VAL_ERROR,
        _TEST_LOSS,
        _TEST_ERROR,
        Col("weight_norm", MEASURED, "the Euclidean norm of all parameters"),
        Col("update_norm", LOSS, "the Euclidean norm of the epoch's last step"),
        Col("seconds", FROM_0, "since the start, the trial's share", varies=True),
    ),
    "cycles": (
        _TRIAL,
        Col("cycle", EPOCH, "counted from 1", key=True),
        Col("epoch", EPOCH, "the cycle's last"),
        _VAL_LOSS,
        _VAL_ERROR,
        _TEST_LOSS,
        _TEST_ERROR,
    ),
    "dynamics": (
        _TRIAL,
        _EPOCH,
        _STEP,
        Col("layer", TEXT, "the parameter's name; `all` is the whole network", key=True),
        Col("kind", TEXT, "`normalised` (followed by a norm, so that its scale has no effect), `norm`, `plain`, `all`"),
        Col("weight_norm", MEASURED, "the Euclidean norm of its weights"),
        Col("update_angle", MEASURED, "by which a neuron's weights turned in the step, in radians: mean over neurons"),
        Col("angle_cv", MEASURED, "standard deviation of that angle over its mean"),
        Col("predicted_angle", MEASURED, "the equilibrium angle under AdamW (Kosson et al. 2024)"),
        Col("decay_rank_correlation", MEASURED, "Spearman's, of the fraction that decay removes with sqrt(v-hat)"),
        Col("decay_cv", MEASURED, "standard deviation of that fraction over its mean"),
        Col("max_weight", MEASURED, "the largest absolute value of its weights"),
        Col("bound", MEASURED, "alpha / lambda, the bound on weights of Xie & Li 2024"),
        Col("tau_epochs", MEASURED, "1 / (eta lambda), in epochs"),
        Col("penalty_share", MEASURED, "norm of the penalty's part of the first moment over the norm of the moment"),
        *(
            Col(f"root_{k}", MEASURED, f"weights sorted by sqrt(v-hat) and cut in five: its median in part {k}")
            for k in range(1, 6)
        ),
        *(Col(f"decay_{k}", MEASURED, f"median of the fraction removed in part {k} of these") for k in range(1, 6)),
    ),
    "plan": (
        Col("stack", TEXT, "its name: a hash of its trials, and how it is computed", required=True),
        Col("slot", COUNT, "the trial's place in its stack, from 0", required=True),
        _TRIAL,
    ),
    "shards": (
        Col("launched", TEXT, "when, in UTC; the same for all trials of a launch", key=True),
        Col("phase", TEXT, "`search` or `final`", key=True),
        Col("shard", TEXT, "which job of how many, such as `1/4`", required=True),
        _TRIAL,
    ),
    "reopened": (_TRIAL, Col("row", TEXT, "a hash of the row that is to be superseded", key=True)),
}
RESULT_TABLES = ("trials", "curves", "cycles", "dynamics")  # what was measured
FILES = {table: f".state/{table}.csv" if table in ("shards", "reopened") else f"{table}.csv" for table in TABLES}

COLUMNS = {table: [column.name for column in columns] for table, columns in TABLES.items()}
TRIALS, CURVES, CYCLES, DYNAMICS = (COLUMNS[table] for table in RESULT_TABLES)

# How many columns version 0.1.0 wrote. A later version adds columns at the end and changes none of the earlier ones, so
# an older file is known by its shorter header, and a row of it is a row of today with empty cells behind.
OLDEST = {table: sum(not column.added for column in columns) for table, columns in TABLES.items()}

# What names a row: words, and in some tables a count.
WORDS = {table: tuple(c.name for c in columns if c.key and c.is_text) for table, columns in TABLES.items()}
COUNTED = {table: "".join(c.name for c in columns if c.key and not c.is_text) for table, columns in TABLES.items()}

TEXTS = {column.name for table in RESULT_TABLES for column in TABLES[table] if column.is_text}
TIMING = tuple({column.name: 0 for table in RESULT_TABLES for column in TABLES[table] if column.varies})
PLACE = [column.name for column in TABLES["trials"] if column.place]
SHOWN = {column.name: column.setting for column in TABLES["trials"] if column.setting}


def names(table: str) -> list[str]:
    """The columns that together name a row of `table`."""
    return [*WORDS[table], *([COUNTED[table]] if COUNTED[table] else [])]
