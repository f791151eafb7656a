"""Networks whose parameters carry a leading trial axis: `build.build(settings, dataset, trials)` makes one."""
