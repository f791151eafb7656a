"""The kernel compiles for an H100 or H200 without one, and the code moves and rounds what it should.

In a process of its own (`compiled_kernel`): interpreting and compiling do not mix.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("triton", reason="Triton is not installed, so the kernel cannot be compiled")

pytestmark = pytest.mark.campaign
ROOT = Path(__file__).parents[3]
BYTES = {"adam": 28, "sgd": 20}  # per parameter: read p, g, m, v, write p, m, v; SGD has no v


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the code of each variant holds: "adam controls" and so on."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path_factory.mktemp("triton"))
    command = [sys.executable, "-m", "tests.simulators.compiled_kernel"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_wide_path_moves_each_byte_once_and_16_at_a_time(variants: dict[str, dict[str, Any]]) -> None:
    for name, code in variants.items():
        sizes = {int(kind.split()[1]) for kind in code["vectors"]}
        moved = 16 * sum(code["vectors"].values())
        assert sizes == {16}, name
        assert moved == BYTES[name.split()[0]] * code["elements"], name
        assert 16 * sum(code["sass_wide"]) == moved, name  # the assembler kept them


def test_every_float_operation_is_rounded_correctly(variants: dict[str, dict[str, Any]]) -> None:
    exact = {"neg.f32"}  # nothing to round
    for name, code in variants.items():
        rounded = {f"{operation}.rn.f32" for operation in ("add", "sub", "mul", "fma", "div", "sqrt")}
        assert set(code["floats"]) <= rounded | exact, name
        assert code["floats"]["fma.rn.f32"], name
        assert name.startswith("sgd") or (code["floats"]["div.rn.f32"] and code["floats"]["sqrt.rn.f32"]), name


def test_nothing_spills_and_eight_blocks_fit_on_a_multiprocessor(variants: dict[str, dict[str, Any]]) -> None:
    for name, code in variants.items():
        assert code["spills"] == code["STACK"] == code["LOCAL"] == 0, name
        assert code["REG"] <= 64, name  # 8 blocks of 128 threads share 65,536 registers


def test_no_thread_waits_for_another(variants: dict[str, dict[str, Any]]) -> None:
    for name, code in variants.items():
        assert code["SHARED"] == code["barriers"] == 0, name
