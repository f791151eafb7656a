"""What every command needs, imported once by the process that `tests.damage.command` forks its commands from.

A command computes the fingerprint of the code and imports the whole of matplotlib, which takes longer than the smallest
study; a dry run imports torch's compiler, whose tensors without memory it counts with; and what a test does in a fork
is in a module that imports pytest. None depends on what is typed, so the forks find all done, and only those that are a
Python of their own pay.
"""

from __future__ import annotations

import atexit
import gc
import os
from importlib import import_module

import PIL.Image

from runner.execution import estimate, provenance

NAMES = (
    "antlr4.LL1Analyzer hypothesis matplotlib.backends.backend_agg matplotlib.figure runner.__main__ "
    "runner.analysis.overlay runner.cli.sweeper runner.execution.estimate runner.records.lacking "
    "runner.report.__main__ runner.report.page.page runner.report.plots.curves runner.report.plots.dynamics "
    "runner.report.plots.error_vs_wd runner.report.plots.scatter runner.report.plots.unit_map runner.report.write "
    "runner.study runner.training.memory runner.training.train tests.helpers "
    "sklearn.datasets sklearn.model_selection tests.damage tests.killing torch._dynamo"
)

for name in NAMES.split():
    import_module(name)
PIL.Image.preinit()
provenance.fingerprint()
estimate.TIMES = 1  # a dry run times a step once: how exact its seconds are is no claim about a command
# What is imported stays, so no fork's garbage collection needs to look through it, and its pages stay shared.
gc.collect()
gc.freeze()
# At once, when the tests are through: Triton would first list all that it has not freed. The forks end otherwise.
atexit.register(os._exit, 0)
