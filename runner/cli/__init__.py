"""The command line's side of Hydra and submitit: sweeps (-m), words as they are typed, jobs."""
