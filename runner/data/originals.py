"""The files of MNIST and of CIFAR as they are distributed: `read_idx(folder)` and `read_cifar(root, maker)`.

They are read packed or unpacked, without a network. Every file is verified first: IDX files by the sizes in their
headers and by gzip's checksum; CIFAR's batches, which are pickles and could run code, by the checksums that torchvision
knows. No other member of an archive is opened, so that an archive cannot write files of its own.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import os
import pickle
import struct
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from runner.data.dataset import Split
from runner.data.picture import regular
from runner.data.reading import reason
from runner.errors import UserError
from runner.system.files import replacing

IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
LARGEST = 2**28  # bytes of an unpacked file, five times MNIST's: a damaged or hostile one may claim anything
_UNREADABLE = (OSError, EOFError, zlib.error, tarfile.TarError, ValueError, UserError)


class UnfitError(Exception):
    """What is missing or wrong, in one line that names the file."""


def read_idx(folder: Path) -> tuple[Split, Split, list[str]]:
    """Training and test set of the four files in `folder`, and what was wrong with those that another stands in for.

    UnfitError where one of the four is missing, or not readable in any form.
    """
    notes: list[str] = []
    arrays = [idx(folder, name, notes) for name in IDX]
    return Split(*arrays[:2]), Split(*arrays[2:]), notes


def idx(folder: Path, name: str, notes: list[str]) -> np.ndarray:
    """The uint8 array of the file `name` in `folder`, packed or not: images [N, H, W] or labels [N].

    `notes` gets what is wrong with one of the two if the other is read. UnfitError if neither can be.
    """
    wrong = []
    for path in (folder / name, folder / f"{name}.gz"):
        if not os.path.lexists(path):
            continue
        try:
            array = _parsed(_unpacked(path), dimensions=3 if "images" in name else 1)
        except _UNREADABLE as error:
            wrong.append(f"{path.name} {reason(error)}")
            continue
        notes += [f"{text}; {path.name} is read in its place" for text in wrong]
        return array
    raise UnfitError("; ".join(wrong) or f"has no {name}, nor {name}.gz")


def _unpacked(path: Path) -> bytes:
    """The content of a file, unpacked if it begins as gzip's do: browsers unpack files without renaming them."""
    regular(str(path))
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        data = (gzip.GzipFile(fileobj=file) if packed else file).read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"holds more than {LARGEST} bytes")
    return data


def _parsed(data: bytes, dimensions: int) -> np.ndarray:
    """LeCun's format: two zeros, type 8 for bytes, the number of dimensions, sizes big-endian, bytes."""
    start = 4 + 4 * dimensions
    if len(data) < start or data[:4] != bytes((0, 0, 8, dimensions)):
        raise ValueError(f"({len(data)} bytes) is no IDX file of bytes in {dimensions} dimensions")
    shape = struct.unpack(f">{dimensions}I", data[4:start])
    if len(data) - start != math.prod(shape):
        raise ValueError(f"has {len(data)} bytes where its header says {start + math.prod(shape)}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def read_cifar(root: Path, maker: Any) -> tuple[Split, Split, list[str]]:
    """Training and test set from the unpacked batches, in `root` or its own folder, or else out of the archive.

    `maker` is torchvision's class, which knows names and checksums. What comes out of the archive stays in its folder.
    """
    folder = root / maker.base_folder
    known = dict(map(tuple, (*maker.train_list, *maker.test_list)))
    batches: dict[str, bytes] = {}
    wrong: dict[str, str] = {}
    for name in known:
        for path in (folder / name, root / name):
            if os.path.lexists(path) and name not in batches:
                try:
                    batches[name] = _whole(_unpacked(path), known[name])
                except _UNREADABLE as error:
                    wrong[name] = f"{name} {reason(error)}"
    notes = []
    if len(batches) < len(known):
        notes = _from_archive(root, maker, known, batches, wrong)
    for name in known:
        if name not in batches:
            raise UnfitError(wrong.get(name, f"has no {name}, nor is there {maker.filename}"))
    return _joined(batches, maker.train_list), _joined(batches, maker.test_list), notes


def _from_archive(
    root: Path, maker: Any, known: dict[str, str], batches: dict[str, bytes], wrong: dict[str, str]
) -> list[str]:
    """Complete `batches` from the archive, if there is one; notes of what it stands in for. `wrong` gets its faults."""
    notes = []
    for name in (maker.filename, maker.filename.removesuffix(".gz")):
        missing = set(known) - set(batches)
        if not missing or not os.path.lexists(path := root / name):
            continue
        try:
            for batch, data in _members(path, maker.base_folder, missing):
                batches[batch] = _whole(data, known[batch])
                notes += [f"{wrong[batch]}; {name} is read in its place"] if batch in wrong else []
                _keep(root / maker.base_folder / batch, data)
        except _UNREADABLE as error:
            for batch in missing - set(batches):
                wrong[batch] = "; ".join(filter(None, (wrong.get(batch), f"{name} {reason(error)}")))
    return notes


def _members(path: Path, folder: str, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    """The plain files of a tar archive that are `wanted` and lie in `folder`, each once."""
    regular(str(path))
    left = set(wanted)
    with tarfile.open(path) as archive:
        for member in archive:
            parent, _, name = member.name.rpartition("/")
            if member.isfile() and parent.removeprefix("./") == folder and name in left and member.size <= LARGEST:
                left.discard(name)
                yield name, getattr(archive.extractfile(member), "read", bytes)()
            if not left:
                return
    if left:
        raise ValueError(f"has no {sorted(left)[0]} in it")


def _whole(data: bytes, md5: str) -> bytes:
    """The batch, if its checksum is right, for unpickling a file of unknown origin can run any code (ValueError)."""
    own = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if own != md5:
        raise ValueError(f"({len(data)} bytes) has the MD5 checksum {own}, the original {md5}")
    return data


def _keep(path: Path, data: bytes) -> None:
    """Save what was unpacked for the next time, where that is possible and no other file is in its place."""
    if os.path.lexists(path):
        return
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as draft:
            draft.write_bytes(data)


def _joined(batches: dict[str, bytes], listed: Sequence[Sequence[str]]) -> Split:
    """The batches as one split; each is taken out of `batches` as it is unpickled, so that memory holds it once."""
    parts = []
    for name, _ in listed:
        batch = pickle.load(io.BytesIO(batches.pop(name)), encoding="latin1")
        x = np.ascontiguousarray(batch["data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        parts.append(Split(x, np.array(batch.get("labels", batch.get("fine_labels")))))
    return Split(*(np.concatenate([getattr(part, axis) for part in parts]) for axis in "xy"))
