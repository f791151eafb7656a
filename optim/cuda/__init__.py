"""The step on a GPU: one Triton kernel for all tensors of a step, `kernel`, and the host's side of it, `launch`."""
