"""Training stays on its device and does not wait for it: the claims of `fake_device`.

They run in a process of their own, because torch can be given a made-up device only once.
"""

from __future__ import annotations

import pytest
import torch.utils.backend_registration as backends

from tests import elsewhere

pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(
        not hasattr(backends, "_setup_privateuseone_for_python_backend"), reason="this torch knows no made-up device"
    ),
]
FILE = elsewhere.SIMULATORS / "fake_device.py"


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return elsewhere.printed(tmp_path_factory.mktemp("triton"), FILE)


@pytest.mark.parametrize("claim", elsewhere.claims(FILE))
def test_on_a_device_without_memory(claim: str, printed: str) -> None:
    elsewhere.assert_passed(claim, printed, "nothing here is skipped")
