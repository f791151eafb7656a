"""Configuration files that would never end: `only_small_files()` has Hydra refuse them in one line.

A FIFO, a device, a file of megabytes; and one whose YAML aliases stand for each other ten times over, nine levels deep,
which is a kilobyte on disk and does not fit into any memory.
"""

from __future__ import annotations

import os
import stat
from functools import cache
from typing import Any

import yaml
from hydra._internal.sources_registry import SourcesRegistry

from runner.errors import UserError

BYTES = 2**20
NODES = 100_000  # mappings, lists and values of a file, with all aliases written out


def only_small_files() -> None:
    """Have Hydra read its files this way."""
    kind: Any = SourcesRegistry.instance().resolve("file")  # not by its import: Hydra imports its plugins twice
    honest = kind.load_config

    def load_config(source: Any, config_path: str) -> Any:
        check(os.path.join(source.path, source._normalize_file_name(config_path)))
        return honest(source, config_path)

    kind.load_config = load_config


def check(path: str) -> None:
    """UserError where `path` is no file, or a YAML file that is too large; other faults are left to the reader."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path}: is no regular file; a configuration is read from a file")
        if status.st_size > BYTES:
            raise UserError(f"{path}: has {status.st_size} bytes; a configuration has at most {BYTES}")
        with open(path, encoding="utf-8") as file:
            text = file.read(BYTES)
        if "&" in text and expanded(yaml.compose(text, Loader=yaml.SafeLoader)) > NODES:
            raise UserError(f"{path}: its aliases (*NAME) stand for more than {NODES} values; write fewer of them")
    except RecursionError as error:
        raise UserError(f"{path}: is nested too deeply to be read") from error
    except (OSError, ValueError, yaml.YAMLError):
        return


def expanded(root: yaml.Node | None) -> int:
    """How many nodes the YAML document below `root` has when every alias is written out; more than NODES: endless."""
    under_way: set[int] = set()

    @cache
    def count(node: yaml.Node) -> int:
        if id(node) in under_way:  # an alias within what it stands for: without end
            return NODES + 1
        under_way.add(id(node))
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        flat = [one for part in parts for one in (part if isinstance(part, tuple) else (part,))]
        total = 1 + sum(map(count, flat))
        under_way.discard(id(node))
        return total

    return count(root) if root is not None else 0
