"""What is to be trained: `trial.expand` makes trials of settings, `plan` lays them into stacks. Imports no torch."""
