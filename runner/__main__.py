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

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from runner.cli.hydra_main import run_hydra
from runner.config.compose import from_config
from runner.config.groups import check_choices
from runner.config.keys import check_dashes
from runner.config.messages import one_line, printable
from runner.config.settings import Settings
from runner.errors import UserError
from runner.system.shortage import is_shortage, reason
from runner.system.signals import Interrupted
from runner.system.streams import guarded

if TYPE_CHECKING:
    from runner.execution.cluster.launch import Launch


class Refused(BaseException):
    """A UserError on its way out of a Hydra job; as an Exception Hydra would print it a second time."""


class CommandLine:
    """What has become of a command line so far.

    Attributes:
        code: the exit status; None until the command line is understood and its work begins.
        trains: whether anything may have been recorded. With dry_run=true, or --help, all there is is a text.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        self.trains = False

    def sweep(self, settings: Sequence[Settings], launch: Launch | None = None) -> float | None:
        """Train everything that these settings ask for, by jobs of a launcher if there is one; what selection uses."""
        self.trains = not settings[0].run.dry_run
        before, self.code = self.code or 0, 1  # what a crash from here on leaves behind
        from runner.study import run

        outcome = run(settings, launch)
        self.code = max(before, outcome.code)
        return outcome.value

    def job(self, cfg: DictConfig) -> float | None:
        """Hydra's job: one composed configuration. Its value is what `hydra/sweeper=optuna` minimises."""
        try:
            value = self.sweep([_composed(cfg)])
            return math.inf if value is None else value  # a sweeper must go on where nothing could be trained
        except UserError as error:
            raise Refused(str(error)) from error
        except OmegaConfBaseException as error:
            raise Refused(one_line(error)) from error


def _composed(cfg: DictConfig) -> Settings:
    """The settings of a job. UserError for what Hydra would take, and what cannot be done."""
    hydra = HydraConfig.get()
    choices = hydra.runtime.choices
    check_choices(choices)
    launcher, sweeper = choices.get("hydra/launcher", "basic"), choices.get("hydra/sweeper")
    if hydra.mode == RunMode.RUN and launcher != "basic":
        raise UserError(f"hydra/launcher={launcher}: is for a sweep; give -m too ({called.command('-m')} ...)")
    settings = from_config(cfg)
    if hydra.mode == RunMode.MULTIRUN and sweeper != "basic" and settings.run.dry_run:
        raise UserError(f"dry_run=true: not with hydra/sweeper={sweeper}, which goes by the errors of what is trained")
    return settings


def main() -> None:
    """Exits with the status of the command line."""
    line = CommandLine()
    with guarded("runner", lambda: line.trains):
        sys.exit(_run(sys.argv[1:], line))


def _run(words: Sequence[str], line: CommandLine) -> int:
    """Do what the words of a command line say; the exit status."""
    signals.install()
    try:
        if "--version" in words:  # Hydra would say its own
            return _version()
        check_dashes(words)
        run_hydra(words, line.job, line.sweep)
        return line.code or 0
    except (UserError, Refused) as error:
        return _refused(str(error))
    except Exception as error:
        # Before a job has begun every error is about the command line.
        short = is_shortage(error)
        if "HYDRA_FULL_ERROR" in os.environ or (line.code is not None and not short):
            raise
        # Rows are on record long before.
        wanting = f"not enough memory ({reason(error)}); nothing is lost, the same command goes on"
        return _refused(wanting if short else one_line(error))
    except Interrupted as error:
        signals.leave(error.number)
    except KeyboardInterrupt:
        signals.leave(signal.SIGINT)


def _version() -> int:
    from runner.execution import provenance

    print(f"adamw-runner {provenance.version()} ({provenance.commit() or 'installed'})")
    return 0


def _refused(text: str) -> int:
    print(f"runner: {printable(text)}", file=sys.stderr)
    return 2


def command() -> NoReturn:
    """The console entry `runner`."""
    signals.to_the_end(main)


if __name__ == "__main__":
    command()
