"""From the YAML and the words of a command line to `settings.Settings`. Imports nothing slow."""
