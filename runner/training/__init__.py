"""The training of one stack: `train.train(...)` yields the rows of its trials."""
