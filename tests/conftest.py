"""Settings for all tests."""

from __future__ import annotations

import torch

# As the runner trains on a CPU; two threads would also fight with the processes that some tests start.
torch.set_num_threads(1)
