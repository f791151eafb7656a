"""From trials to rows through one of Hydra's launchers: `launch.train` hands out shards, `merge` collects."""
