"""Scripts of a clone; not part of what is installed."""
