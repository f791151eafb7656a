"""Hydra's own main, given its words and without its tracebacks: `run_hydra(words, job, train)`.

Hydra's `@hydra.main` reads sys.argv, refuses `lr=1 -m wd=2`, where an option stands between two keys, and prints most
errors itself before it exits. Here errors come to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hydra import version
from hydra._internal import utils
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import DictConfig

from runner.cli.config_files import only_small_files
from runner.cli.typed import keep_as_typed
from runner.system.place import CONFIGS

Plugins.instance()  # before the sweeper's base class is subclassed


def run_hydra(words: Sequence[str], job: Callable[[DictConfig], Any], train: Callable[..., Any]) -> None:
    """Compose what the words of a command line say, and do it; texts such as --help end in SystemExit.

    Args:
        words: of the command line, without the program.
        job: called with the configuration, for one job of Hydra's or of another sweeper than ours.
        train: called by our sweeper (-m) with all settings of a sweep, and with a launcher where there is one.
    """
    from runner.cli.sweeper import register

    register(train)
    keep_as_typed()
    only_small_files()
    # Hydra copies its store of schemas, which it only reads, for each group that it lists: half of the time of --help.
    ConfigStore.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]
    version.setbase("1.3")
    utils.run_and_report = lambda func: func()  # by default it prints an error and exits
    parser = utils.get_args_parser()
    options = parser.parse_intermixed_args(list(words))
    if options.experimental_rerun is not None:
        from hydra.main import _get_rerun_conf

        job(_get_rerun_conf(options.experimental_rerun, options.overrides))
        return
    utils._run_hydra(options, parser, job, str(CONFIGS), "config")
