"""What practitioners say about Adam and AdamW, each claim measured: `python -m runner.folklore results/folklore`."""
