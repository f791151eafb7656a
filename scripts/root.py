"""`import root` puts the repository's root on the path: scripts also run where the project is not installed."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
