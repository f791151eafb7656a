"""From trials to rows on this machine, in one process or in several: `local.train` is the call to know."""
