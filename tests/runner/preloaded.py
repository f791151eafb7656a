"""What every command needs, imported once by the process that `tests.runner.damage.command` forks its commands from.

A command computes the fingerprint of the code and imports the whole of matplotlib, which takes longer than the smallest
study. Neither depends on what is typed, so the forks find both done, and only those that are a Python of their own pay.
"""

from __future__ import annotations

import gc

import antlr4.LL1Analyzer
import matplotlib.backends.backend_agg
import matplotlib.figure
import PIL.Image
import sklearn.datasets
import sklearn.model_selection  # noqa: F401

import runner.__main__
import runner.lacking
import runner.report.__main__
import runner.report.curves
import runner.report.error_vs_wd
import runner.report.mechanism
import runner.report.overlay
import runner.report.page
import runner.report.scatter
import runner.report.write
import runner.study
import runner.sweeper
import runner.training.memory
import runner.training.train  # noqa: F401
from runner import code

code.fingerprint()
PIL.Image.preinit()
# What is imported stays, so no fork's garbage collection needs to look through it, and its pages stay shared.
gc.collect()
gc.freeze()
