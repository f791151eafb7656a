"""The smallest studies, trained once for all tests that copy and damage them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.damage import MORE, TWO, check_went_on, command


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two trials."""
    folder = tmp_path_factory.mktemp("two")
    check_went_on(command(folder, *TWO))
    return folder


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three trials, undisturbed."""
    folder = tmp_path_factory.mktemp("calm")
    check_went_on(command(folder, *MORE))
    return folder
