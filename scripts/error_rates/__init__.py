"""False verdicts, coverage and power of the whole procedure, by simulation: `python -m scripts.error_rates STUDY`."""
