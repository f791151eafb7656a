"""The classes step parameters on CUDA as on the CPU: the claims of `interpreted_device`, without a GPU.

They run in a process of their own, because Triton must be told to interpret before it is first imported.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import elsewhere

pytest.importorskip("triton", reason="Triton is not installed, so its interpreter cannot run the kernel")

pytestmark = pytest.mark.campaign
FILE = Path(__file__).with_name("interpreted_device.py")


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return elsewhere.printed(FILE, tmp_path_factory.mktemp("triton"), TRITON_INTERPRET="1")


@pytest.mark.parametrize("claim", elsewhere.claims(FILE))
def test_interpreted(claim: str, printed: str) -> None:
    elsewhere.assert_passed(claim, printed, "has no skips")
