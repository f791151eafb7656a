"""Optimizer steps for one network or for a stack of them, with weight decay in explicit conventions.

`optim.stacked.Stacked` steps a stack; `optim.conventions` converts between meanings of weight decay;
`optim.reference` has the paper's algorithms as written. Nothing here knows of `runner`.
"""
