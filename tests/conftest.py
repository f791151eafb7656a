"""Settings for all tests, and which of them run: `--all` adds the campaigns.

A campaign starts more than two commands, kills them, breaks files by the dozen, or stands in for another machine. It is
marked `@pytest.mark.campaign`, and run by `--all`, by `.ci/run`, and where tests are chosen by a path, -k or -m.
"""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.small_studies"]  # fixtures that several folders use

CAMPAIGNS = "kills, crowds, damage, Slurm, simulated GPUs"

# An installed wheel is tested by these files in a folder of their own, without those that are about a clone's.
if not (Path(__file__).parents[1] / "scripts").is_dir():
    collect_ignore = ["execution/cluster", "scripts", "records/test_older_records.py", "test_readme.py"]

# As the runner trains on a CPU; two threads would also fight with the processes that some tests start.
torch.set_num_threads(1)

# What commands keep of the datasets that tests make is kept in a folder of its own, matplotlib's fonts where they are.
_CACHE = tempfile.mkdtemp(prefix="adamw-runner-tests-")
atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
_FONTS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matplotlib"
if _FONTS.is_dir():
    (Path(_CACHE) / "matplotlib").symlink_to(_FONTS.resolve())
os.environ["XDG_CACHE_HOME"] = _CACHE

# Hypothesis draws the same examples in every run and does not look at the clock, so that a test passes or fails for
# what the code does alone. HYPOTHESIS_PROFILE=explore draws new ones each time, for a developer who looks for more.
_UNTIMED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}
settings.register_profile("repeatable", derandomize=True, **_UNTIMED)
settings.register_profile("explore", **_UNTIMED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help=f"run the campaigns too: {CAMPAIGNS}")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"campaign: {CAMPAIGNS}; with --all or by its path")


def _left_out(config: pytest.Config) -> bool:
    """Whether nobody has asked for campaigns, by --all, or for certain tests by a path, -k or -m."""
    named = config.args_source is pytest.Config.ArgsSource.ARGS or config.option.keyword or config.option.markexpr
    return not config.getoption("--all") and not named


def pytest_report_header(config: pytest.Config) -> str | None:
    return f"campaigns ({CAMPAIGNS}) are left out: --all runs them" if _left_out(config) else None


def pytest_collection_finish() -> None:
    """What the imports and the collection have left is looked through by no garbage collection of a test's."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not _left_out(config):
        return
    campaigns = [item for item in items if item.get_closest_marker("campaign")]
    items[:] = [item for item in items if not item.get_closest_marker("campaign")]
    config.hook.pytest_deselected(items=campaigns)
