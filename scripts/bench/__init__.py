"""Benchmarks, each a module with a `main`: `python scripts/bench NAME`."""
