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
ROOT = Path(__file__).parents[2]
# Bytes per parameter. float32: read p, g, m, v, write p, m, v; SGD has no v. bfloat16: g 2, master 8, m 8, v 8, p 2.
BYTES = {("adam", "fp32"): 28, ("adam", "bf16"): 28, ("sgd", "fp32"): 20, ("sgd", "bf16"): 20}


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the code of each variant holds: "adam joint fp32 controls" and so on."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path_factory.mktemp("triton"))
    command = [sys.executable, "-m", "tests.optim.compiled_kernel"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_wide_path_moves_each_byte_once_and_16_at_a_time(variants: dict[str, dict[str, Any]]) -> None:
    for name, code in variants.items():
        family, _, dtype, _ = name.split()
        moved = {16: 0, 8: 0}
        for kind, count in code["vectors"].items():
            moved[int(kind.split()[1])] += int(kind.split()[1]) * count
        elements = code["elements"]
        assert sum(moved.values()) == BYTES[family, dtype] * elements, name
        # Only bfloat16 goes 8 bytes at a time: 4 elements an access, as in float32.
        assert moved[8] == (4 * elements if dtype == "bf16" else 0), name
        assert 16 * sum(code["sass_wide"]) == moved[16], name  # the assembler kept them


def test_every_float_operation_is_rounded_correctly(variants: dict[str, dict[str, Any]]) -> None:
    exact = {"cvt.f32.bf16", "neg.f32"}  # nothing to round
    for name, code in variants.items():
        rounded = {f"{operation}.rn.f32" for operation in ("add", "sub", "mul", "fma", "div", "sqrt")}
        conversions = {"cvt.rn.bf16x2.f32", "cvt.rn.bf16.f32"}
        assert set(code["floats"]) <= rounded | conversions | exact, name
        assert code["floats"]["fma.rn.f32"], name
        assert name.startswith("sgd") or (code["floats"]["div.rn.f32"] and code["floats"]["sqrt.rn.f32"]), name


def test_nothing_spills_and_eight_blocks_fit_on_a_multiprocessor(variants: dict[str, dict[str, Any]]) -> None:
    for name, code in variants.items():
        assert code["spills"] == code["STACK"] == code["LOCAL"] == 0, name
        assert code["REG"] <= 64, name  # 8 blocks of 128 threads share 65,536 registers


def test_no_thread_waits_for_another(variants: dict[str, dict[str, Any]]) -> None:
    for name, code in variants.items():
        assert code["SHARED"] == code["barriers"] == 0, name
