"""The command line: `python -m runner [-m] [KEY=VALUE ...]`. Composes, converts, runs, sets the exit status.

Status: 0 done; 1 some trial failed or has no row, or none could be begun in time; 2 refused; 130 and 143 interrupted.
torch is imported only after the command line has been understood.
"""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from runner.system import called, signals

if __name__ == "__main__" or Path(sys.argv[0]).name == "runner":  # the command; before what takes long to import
    signals.install()

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from runner.cli.config_files import only_small_files
from runner.cli.typed import keep_as_typed
from runner.config.compose import from_config
from runner.config.groups import check_choices
from runner.config.keys import check_dashes
from runner.config.messages import one_line, printable
from runner.config.settings import Settings
from runner.errors import UserError
from runner.execution import provenance
from runner.system.place import CONFIGS
from runner.system.shortage import is_shortage, reason
from runner.system.signals import Interrupted
from runner.system.streams import guarded

if TYPE_CHECKING:
    from runner.execution.cluster.launch import Launch

Plugins.instance()  # before the sweeper's base class is subclassed

training = False  # whether anything may have been recorded: with dry_run=true, or --help, all there is is a text
codes: list[int] = []  # one exit status for each call of `sweep`; empty until the command line is understood


def sweep(settings: Sequence[Settings], launch: Launch | None = None) -> float | None:
    """Train everything that these settings ask for, by jobs of a launcher if there is one; what selection uses."""
    global training
    training = not settings[0].dry_run
    codes.append(1)  # what a crash from here on leaves behind
    from runner.study import run

    outcome = run(settings, launch)
    codes[-1] = outcome.code
    return outcome.value


class Refused(BaseException):
    """A UserError on its way out of a Hydra job; as an Exception Hydra would print it a second time."""


def job(cfg: DictConfig) -> float | None:
    """Hydra's job: one composed configuration. Its value is what `hydra/sweeper=optuna` minimises."""
    try:
        known = HydraConfig.get()
        check_choices(known.runtime.choices)
        chosen = known.runtime.choices.get("hydra/launcher", "basic")
        if known.mode == RunMode.RUN and chosen != "basic":
            raise UserError(f"hydra/launcher={chosen}: is for a sweep; give -m too ({called.command('-m')} ...)")
        settings = from_config(cfg)
        sweeper = known.runtime.choices.get("hydra/sweeper")
        if known.mode == RunMode.MULTIRUN and sweeper != "basic" and settings.dry_run:
            raise UserError(
                f"dry_run=true: not with hydra/sweeper={sweeper}, which goes by the errors of what is trained"
            )
        value = sweep([settings])
        return math.inf if value is None else value  # a sweeper must go on where nothing could be trained
    except UserError as error:
        raise Refused(str(error)) from error
    except OmegaConfBaseException as error:
        raise Refused(one_line(error)) from error


def main() -> None:
    """Exits with the status of the command line."""
    with guarded("runner", lambda: training):
        _main()


def _main() -> None:
    from runner.cli.sweeper import register

    register(train=sweep)
    keep_as_typed()
    only_small_files()
    # argparse takes KEY=VALUE only in one run of them: `lr=1 -m wd=2` would be refused.
    sys.argv[1:] = sorted(sys.argv[1:], key=lambda word: "=" in word and not word.startswith("-"))
    verbose = "HYDRA_FULL_ERROR" in os.environ
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that errors come here instead of being printed as tracebacks
    signals.install()
    if "--version" in sys.argv[1:]:  # Hydra would say its own
        print(f"adamw-runner {provenance.version()} ({provenance.commit() or 'installed'})")
        return
    try:
        check_dashes(sys.argv[1:])
        hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name="config")(job)()
    except (UserError, Refused) as error:
        _refuse(str(error))
    except Exception as error:
        # Before a job has begun every error is about the command line.
        short = is_shortage(error)
        if verbose or (codes and not short):
            raise
        # Rows are on record long before.
        wanting = f"not enough memory ({reason(error)}); nothing is lost, the same command goes on"
        _refuse(wanting if short else one_line(error))
    except Interrupted as error:
        signals.leave(error.number)
    except KeyboardInterrupt:
        signals.leave(signal.SIGINT)
    sys.exit(max(codes, default=0))


def _refuse(text: str) -> None:
    print(f"runner: {printable(text)}", file=sys.stderr)
    sys.exit(2)


def command() -> NoReturn:
    """The console entry `runner`."""
    signals.to_the_end(main)


if __name__ == "__main__":
    command()
