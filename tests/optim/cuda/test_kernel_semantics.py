"""What runs on a GPU computes what it should, without a GPU: the claims of `interpreted_kernel` and `_device`.

They run in a process of their own, because Triton must be told to interpret before it is first imported.
"""

from __future__ import annotations

import pytest

from tests import elsewhere

pytest.importorskip("triton", reason="Triton is not installed, so its interpreter cannot run the kernel")

pytestmark = pytest.mark.campaign
FILES = [elsewhere.SIMULATORS / f"interpreted_{what}.py" for what in ("kernel", "device")]


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return elsewhere.printed(tmp_path_factory.mktemp("triton"), *FILES, TRITON_INTERPRET="1")


@pytest.mark.parametrize("claim", elsewhere.claims(*FILES))
def test_interpreted(claim: str, printed: str) -> None:
    elsewhere.assert_passed(claim, printed, "exact only where the interpreter (Triton 3.9) and the CPU have a true fma")
