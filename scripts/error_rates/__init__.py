"""False verdicts, coverage and power of the whole procedure, by simulation: `python scripts/error_rates STUDY`."""
