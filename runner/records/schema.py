"""The tables of a study, schema 1: each column is declared here, once, and all else that is known of it follows.

`TABLES` has the declarations; `COLUMNS["trials"]` the names of a file's columns in their order. How files are read,
checked, written and widened follows from them, and so does results/columns.md.

To add a column:

1. Declare it at the end of its table, with `added=True`. Files without it are still read; their rows have an empty cell
   there, and the first append puts a wider file in their place.
2. Give it its value where the rows of its table are made. For trials.csv that is `runner/trials/described.py`, for what
   the settings decide, or `runner/training/train.py`, for what is measured; for curves.csv and cycles.csv train.py too;
   for dynamics.csv `runner/training/diagnostics.py`.

`python -m runner.records.dictionary > results/columns.md` then explains it. tests/records/test_schema.py does all this.
"""

from __future__ import annotations

from runner.records.column import (
    COUNT,
    DECAY,
    EPOCH,
    FROM_0,
    LOSS,
    MEASURED,
    PERCENT,
    POINTS,
    POSITIVE,
    SHARE,
    TEXT,
    Text,
    whole,
)
from runner.records.column import Column as Col

SCHEMA = 1
STATUSES = ("ok", "diverged", "failed")
PHASES = ("search", "final")

_TRIAL = Col("trial", TEXT, "the trial's id, as in trials.csv", key=True)
_EPOCH = Col("epoch", EPOCH, "counted from 1", key=True)
_STEP = Col("step", COUNT, "optimizer steps taken until then")
_TRAIN_LOSS = Col(
    "train_loss", LOSS, "on the training set, in eval mode, without augmentation, shake or penalty, in nats"
)
_TRAIN_ERROR = Col("train_error", PERCENT, "errors on the training set, measured likewise, in percent")
_VAL_LOSS = Col("val_loss", LOSS, "mean cross-entropy on the validation set, in nats")
_VAL_ERROR = Col("val_error", PERCENT, "errors on the validation set, in percent")
_TEST_LOSS = Col("test_loss", LOSS, "mean cross-entropy on the test set, in nats")
_TEST_ERROR = Col("test_error", PERCENT, "errors on the test set, in percent")

_TRIALS = (
    Col("study", TEXT, "the name of the study's folder"),
    Col(
        "trial",
        TEXT,
        "the trial's id: 16 hexadecimal digits of a hash of its `settings`; in rows of version 0.1.0, and of trials "
        "that it began, the first 10 of them",
        key=True,
    ),
    Col("phase", Text(PHASES), "`final` for a run of a winner with a fresh seed, else `search`", required=True),
    Col(
        "status",
        Text(STATUSES),
        "`ok`; `diverged` (a loss or gradient was not finite: errors are chance level, losses `nan`); `failed` (not "
        "trained, see `note`)",
        required=True,
    ),
    Col("model", TEXT, "as in the configs", setting="model", place=True),
    Col("dataset", TEXT, "as in the configs, but the label or the file's name where there is one", place=True),
    Col("optimizer", TEXT, "`adam` and `sgd` also for AdamW and SGDW at wd = 0", setting="optimizer", place=True),
    Col(
        "wd_convention",
        TEXT,
        "what `wd` means: `l2`, `torch`, `paper`, `normalized`",
        setting="wd_convention",
        place=True,
    ),
    Col("lr", POSITIVE, "base learning rate", setting="lr", place=True),
    Col("wd", FROM_0, "decay", setting="wd", place=True),
    Col("seed", whole(0, 2**63 - 1), "of initialization, data order and augmentation", setting="seed", place=True),
    Col("batch_size", whole(1), "examples in a step", setting="batch_size", place=True),
    Col("epochs", EPOCH, "passes over the training set", setting="epochs", place=True),
    Col("schedule", TEXT, "as in the configs", setting="schedule", place=True),
    Col("beta1", SHARE, "of Adam", setting="optimizer.beta1"),
    Col("beta2", SHARE, "of Adam", setting="optimizer.beta2"),
    Col("eps", FROM_0, "of Adam", setting="optimizer.eps"),
    Col("momentum", SHARE, "of SGD", setting="optimizer.momentum"),
    Col("decay_params", TEXT, "`all`, or `weights` (norms and biases spared)", setting="optimizer.decay_params"),
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
        "peak_mib",
        FROM_0,
        "largest memory of the process so far, libraries, data and earlier stacks included (CPU), or taken from the "
        "GPU, for the whole stack: it sizes a machine and does not compare optimizers",
        varies=True,
    ),
    Col("stack", COUNT, "how many trials trained together", varies=True),
    Col("commit", TEXT, "of the code; `+` marks uncommitted changes", varies=True),
    Col("version", TEXT, "of this program"),
    Col("torch", TEXT, "version of PyTorch"),
    Col(
        "device",
        TEXT,
        "what trained: the name of a GPU, or of a CPU with its instruction set, such as `cpu: AMD EPYC 9B14, avx512`: "
        "first the one that torch's own kernels used, then `amx` where the processor has it, then variables that rule "
        "kernels out (`ONEDNN_MAX_CPU_ISA=SSE41`); only `cpu` in rows of version 0.1.0. Equal bits are expected of "
        "a CPU where `device` and `torch` are equal",
    ),
    Col("precision", TEXT, "as in the configs", setting="precision"),
    Col("started", TEXT, "when, in UTC", varies=True),
    Col(
        "settings",
        TEXT,
        "JSON of every setting that decides the result, with the hash of the dataset; in rows of version 0.1.0 only of "
        "those that are not the default's, whose values are kept in `runner/records/baseline.py` and never change",
    ),
    Col(
        "note",
        TEXT,
        "why a trial failed or when it diverged; `loose` or `unstacked`: how it was computed on a CPU where it filled "
        "no stack, equal to a full stack's to rounding",
    ),
    Col("host", TEXT, "the name of the machine; empty with `record_host=false`", varies=True, added=True),
    Col("code", TEXT, "a hash of the code that decides results, without its comments", varies=True, added=True),
)
_CURVES = (
    _TRIAL,
    _EPOCH,
    _STEP,
    Col("lr", FROM_0, "the learning rate at the epoch's last step, which a schedule may take to 0"),
    Col("wd_step", DECAY, "what that step decayed: the fraction of a weight that it removed, or the L2 coefficient"),
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
)
_CYCLES = (
    _TRIAL,
    Col("cycle", EPOCH, "counted from 1", key=True),
    Col("epoch", EPOCH, "the cycle's last"),
    _VAL_LOSS,
    _VAL_ERROR,
    _TEST_LOSS,
    _TEST_ERROR,
)
_DYNAMICS = (
    _TRIAL,
    _EPOCH,
    _STEP,
    Col("layer", TEXT, "the parameter's name, or `all`", key=True),
    Col("kind", TEXT, "`normalised` (a convolution that a norm follows: its scale is free), `norm`, `plain`, `all`"),
    Col("weight_norm", MEASURED, "the Euclidean norm of its weights"),
    Col("update_angle", MEASURED, "by which a neuron's weights turned in the step, in radians: mean over neurons"),
    Col("angle_cv", MEASURED, "standard deviation of that angle over its mean"),
    Col(
        "predicted_angle",
        MEASURED,
        "sqrt(2 eta lambda (1 - beta1) / (1 + beta1)): the equilibrium rotation under AdamW (Kosson et al. 2024)",
    ),
    Col(
        "decay_rank_correlation",
        MEASURED,
        "Spearman's, between the fraction that decay removes of each weight and sqrt(v-hat); Adam + L2 only, for under "
        "AdamW the fraction is the same for all",
    ),
    Col(
        "decay_cv",
        MEASURED,
        "standard deviation over mean of that fraction; weights below a tenth of the layer's root mean square are left "
        "out",
    ),
    Col("max_weight", MEASURED, "the largest absolute value"),
    Col(
        "bound",
        MEASURED,
        "alpha / lambda, the bound on weights of Xie & Li 2024; lambda is the paper's, torch's `wd` times alpha",
    ),
    Col("tau_epochs", MEASURED, "1 / (eta lambda), in epochs"),
    Col("penalty_share", MEASURED, "norm of the penalty's part of the first moment over the norm of the moment"),
    *(Col(f"root_{k}", MEASURED, f"median of sqrt(v-hat) in fifth {k} of the weights by it") for k in range(1, 6)),
    *(Col(f"decay_{k}", MEASURED, f"median of the fraction that decay removes in that fifth {k}") for k in range(1, 6)),
)
_PLAN = (
    Col("stack", TEXT, "its name: a hash of its trials, and how it is computed", required=True),
    Col("slot", COUNT, "the trial's place in its stack, from 0", required=True),
    _TRIAL,
)
_SHARDS = (
    Col("launched", TEXT, "when, in UTC; the same for all trials of a launch", key=True),
    Col("phase", TEXT, "`search` or `final`", key=True),
    Col("shard", TEXT, "which job of how many, such as `1/4`", required=True),
    _TRIAL,
)
_REOPENED = (_TRIAL, Col("row", TEXT, "a hash of the row that is to be superseded", key=True))

TABLES = {
    "trials": _TRIALS,
    "curves": _CURVES,
    "cycles": _CYCLES,
    "dynamics": _DYNAMICS,
    "plan": _PLAN,
    "shards": _SHARDS,
    "reopened": _REOPENED,
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
PLACE = [column.name for column in _TRIALS if column.place]
SHOWN = {column.name: column.setting for column in _TRIALS if column.setting}


def names(table: str) -> list[str]:
    """The columns that together name a row of `table`."""
    return [*WORDS[table], *([COUNTED[table]] if COUNTED[table] else [])]
