"""What the optimizers of one network share: checked groups, state that may be edited between steps, torch's files."""
