"""Beside other libraries: the same gradients, the same tools, the same networks: `python scripts/parity NAME`."""
