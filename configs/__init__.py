"""The Hydra configuration tree, a package so that it installs with the runner."""
