"""The operating system's side: files, locks, signals, devices, memory, streams. Knows nothing of experiments."""
