"""Datasets that were read from files once, kept as arrays: `Cache.of(settings)`, then `find()` or `keep(dataset)`.

An entry is named after the path, the settings, the names, sizes and times of all files, and the code and libraries that
read them. So an entry of the right name is what reading the files again would give, unless a file system changes a file
and none of its times. No failure here is an error: without a cache the files are read.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from runner.data import sources
from runner.data.dataset import Dataset
from runner.data.settings import DatasetSettings
from runner.data.stored import mapped, write
from runner.system.files import replacing

LIMIT = 32 * 2**30  # bytes in the folder; beyond it, the entries are removed that were not used for longest
TOLD = 2**26  # bytes; smaller entries are not worth a line on the terminal
KEPT, WRITTEN = ".arrays", ".part"


@dataclass(frozen=True)
class Cache:
    """The place of one dataset in the cache."""

    settings: DatasetSettings
    folder: Path  # of the cache
    source: str  # hash of the path and the settings, the same whatever the files hold
    content: str  # hash of what the files and the code that reads them are known by
    asked: bool  # whether the user has named the folder

    @staticmethod
    def of(settings: DatasetSettings) -> Cache | None:
        """The place of the dataset of these `settings`.

        None for data that is not read from files, with dataset.cache=false, and where the files are not there.
        """
        try:
            setting = str(getattr(settings, "cache", "false"))
            folder = home(setting)
            roots = sources.files(settings) if folder is not None else []
            if folder is None or not roots:
                return None
            shaping = {key: value for key, value in asdict(settings).items() if key not in ("label", "cache")}
            places = [os.path.realpath(root) for root in roots]
            source = _digest(json.dumps([places[0], shaping], sort_keys=True))
            contents = [sources.content(Path(place)) for place in places]
            content = _digest(json.dumps([sources.code(), places, contents]))
            return Cache(settings, folder, source, content, asked=bool(setting))
        except (OSError, RuntimeError, ValueError):  # reading the files will say what is wrong
            return None

    @property
    def path(self) -> Path:
        """The file that holds the dataset, or would."""
        return self.folder / f"{self.settings.name}-{self.source}-{self.content}{KEPT}"

    def find(self) -> Dataset | None:
        """The dataset, whose arrays are read when they are used; None if it is not there or damaged."""
        try:
            dataset = mapped(os.open(self.path, os.O_RDONLY | os.O_CLOEXEC))
        except (OSError, ValueError):
            return None
        with suppress(OSError):  # note the time of the last use, in the time of access
            os.utime(self.path, ns=(time.time_ns(), self.path.stat().st_mtime_ns))
        return replace(dataset, name=self.settings.shown)

    def keep(self, dataset: Dataset) -> Dataset:
        """Write the dataset to the cache, and return it mapped from there; itself where that cannot be done."""
        if Cache.of(self.settings) != self:  # a file has changed while it was read
            return dataset
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._tidy(dataset.nbytes)
            if 2 * dataset.nbytes > shutil.disk_usage(self.folder).free:
                raise OSError("they would take more than half of the free space")
            self._write(dataset)
        except OSError as error:
            if dataset.nbytes >= TOLD or self.asked:
                _say(
                    f"{self.folder}: the decoded data cannot be kept ({error.strerror or error}), so every command "
                    "reads all files; set dataset.cache to another folder, or to false"
                )
            return dataset
        if dataset.nbytes >= TOLD:
            text = f"{dataset.nbytes / 1e6:.0f} MB of decoded data are kept in {self.folder} for the next command"
            _say(f"{text}; dataset.cache=PATH is another folder, dataset.cache=false none")
        return self.find() or dataset

    def _write(self, dataset: Dataset) -> None:
        """Write the file under a draft's name, locked so that no other process tidies it away, and rename it."""
        descriptor = None
        try:
            with replacing(self.path) as draft:
                descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
                _locked(descriptor)
                write(dataset, descriptor)
        finally:  # it is locked until it has its name
            if descriptor is not None:
                os.close(descriptor)

    def _tidy(self, size: int) -> None:
        """Remove drafts of killed processes, entries of earlier contents, and the oldest if `size` bytes need it."""
        for part in self.folder.glob(f"*{WRITTEN}"):
            with suppress(OSError):
                descriptor = os.open(part, os.O_RDWR | os.O_CLOEXEC)
                if _locked(descriptor):
                    part.unlink()
                os.close(descriptor)
        kept = []
        for path in self.folder.glob(f"*{KEPT}"):
            with suppress(OSError):
                status = path.stat()
                kept.append((status.st_atime_ns, status.st_size, path))
        left = LIMIT - size - sum(taken for _, taken, _ in kept)
        for _, taken, path in sorted(kept):
            if left < 0 or path.name.startswith(f"{self.settings.name}-{self.source}-"):
                left += taken
                with suppress(OSError):
                    path.unlink()


def home(setting: str) -> Path | None:
    """The folder that the `setting` dataset.cache means; None: there is to be none. RuntimeError without a home."""
    if setting.lower() == "false":
        return None
    if setting and setting.lower() != "true":
        return Path(setting).expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "adamw-runner"


def _locked(descriptor: int) -> bool:
    """Lock a file unless another process has; whether that was done."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held, or a file system without locks
        return False
    return True


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


def _say(text: str) -> None:
    with suppress(OSError, ValueError):  # whatever the terminal does
        print(f"note: {text}", file=sys.stderr, flush=True)
