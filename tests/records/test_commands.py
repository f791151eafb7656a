"""study.yaml names every command that made a study, and what it resolved to when it was typed."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from runner.records.commands import note_command
from tests.config.test_experiments import composed


def test_a_command_is_noted_once_and_again_when_its_settings_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["runner", "+experiment=digits", "results=a b"])
    settings = composed("digits")
    for group in (settings, settings, [replace(s, epochs=s.epochs + 1) for s in settings], settings):
        note_command(tmp_path, group, {"version": "1", "commit": "abc"}, nullcontext())
    first, second = yaml.safe_load_all((tmp_path / "study.yaml").read_text())
    assert first["command"] == second["command"] == "python -m runner +experiment=digits 'results=a b'"
    assert [s["epochs"] for s in second["settings"]] == [s["epochs"] + 1 for s in first["settings"]]
    assert first["settings"][0]["lr"] == list(settings[0].lr)
