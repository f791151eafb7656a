"""Datasets: `load.load(settings)` reads any of them. `settings` and `check` import nothing slow."""
