"""The sweep (-m): all its trials at once, so that they can be stacked, composed once per distinct choice.

Hydra's own sweeper starts a job, and composes twice, for every point. Here the swept values of lr, wd and seed
become lists of one composition; what is left (groups, other keys) is composed once per combination.
With another launcher than Hydra's basic one, all trials are handed to it in `shards` jobs, which append to the same
records (runner/execution/cluster/launch.py).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from omegaconf import open_dict

from runner.config.axes import without_long_axes
from runner.config.compose import from_config, with_axes
from runner.config.groups import check_choices
from runner.config.settings import AXES, Settings
from runner.errors import UserError

if TYPE_CHECKING:
    from runner.execution.cluster.launch import Launch, ShardOutcome, Shards

TARGET = "hydra_plugins.runner.StackSweeper"  # the name in configs/hydra/sweeper/stack.yaml
SUBMITIT_FOLDER = "./.submitit/%j"  # where that plugin keeps its files unless told otherwise


class StackSweeper(BasicSweeper):
    """Composes a sweep and hands all of it to `train`, with a way to launch jobs where it is not to train itself."""

    config: Any
    hydra_context: Any  # these are None until Hydra's `setup`
    launcher: Any
    train: Callable[[Sequence[Settings], Launch | None], Any]

    def sweep(self, arguments: list[str]) -> Any:
        loader = self.hydra_context.config_loader
        parser = OverridesParser.create(config_loader=loader)
        overrides = parser.parse_overrides(self._parse_config() + list(arguments))
        overrides, long = without_long_axes(overrides, parser)
        (combinations,) = self.split_arguments(axes_as_lists(overrides, parser), None)
        settings = []
        for combination in combinations:
            cfg = loader.load_sweep_config(self.config, list(combination))
            check_choices(cfg.hydra.runtime.choices)
            with open_dict(cfg):
                del cfg["hydra"]
            settings.append(with_axes(from_config(cfg), long))
        return StackSweeper.train(settings, None if isinstance(self.launcher, BasicLauncher) else self._launch)

    def _launch(self, task: Shards, folder: Path) -> list[ShardOutcome]:
        """One job of the launcher for each of the shares of a task."""
        params = getattr(self.launcher, "params", {})
        if params.get("submitit_folder") == SUBMITIT_FOLDER:  # a run leaves nothing but its study's folder
            params["submitit_folder"] = str(folder / ".state" / "submitit" / "%j")
        minutes, warned = params.get("timeout_min"), params.get("signal_delay_s")
        if minutes and warned and 0 < 60 * minutes <= warned:
            raise UserError(
                f"hydra.launcher.timeout_min={minutes}: a job is told to end hydra.launcher.signal_delay_s={warned} "
                "seconds before; give it more minutes, or a smaller signal_delay_s"
            )
        # A job composes anew, without the preset that chose its launcher: it needs none of the launcher's options.
        config = copy.deepcopy(self.config)
        with open_dict(config):
            config.hydra.overrides.hydra = [
                word for word in config.hydra.overrides.hydra if not re.match(r"[+~]*hydra[./]launcher", word)
            ]
        self.launcher.setup(hydra_context=self.hydra_context, task_function=task, config=config)
        count = len(task.shares)
        jobs = [[f"+shard={number}/{count}"] for number in range(1, count + 1)]
        from runner.cli.submitit_jobs import all_waited_for

        with all_waited_for():
            return [job.return_value for job in self.launcher.launch(jobs, initial_job_idx=0)]


def axes_as_lists(overrides: Sequence[Override], parser: OverridesParser) -> list[Override]:
    """`lr=1e-3,1e-2` as `lr=[1e-3,1e-2]`, for the keys that take lists."""
    listed = []
    for override in overrides:
        key = override.get_key_element()
        if key in AXES and override.is_sweep_override() and override.is_discrete_sweep():
            values = ",".join(override.sweep_string_iterator())
            override = parser.parse_overrides([f"{key}=[{values}]"])[0]
        listed.append(override)
    return listed


def register(train: Callable[[Sequence[Settings], Launch | None], Any]) -> None:
    """Make the sweeper known to Hydra 1.3, which accepts plugins by name and only under `hydra_plugins`.

    `train`: called with all settings of a sweep, and with a way to launch jobs, or None to train in this process.
    """
    StackSweeper.train = staticmethod(train)
    Plugins.instance().class_name_to_class[TARGET] = StackSweeper
