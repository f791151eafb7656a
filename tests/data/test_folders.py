"""What a folder of images holds beside those that are meant is left out or used, and said."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

import configs
from runner.data.dataset import Dataset
from runner.data.load import load
from runner.data.settings import FileSettings, FolderSettings
from runner.errors import UserError
from tests.damage import check_refused, command, rows
from tests.data.test_files import arrays

SIZES = {"train": 6, "val": 3, "test": 4}
QUICK = ("dataset.validation=0.5", "epochs=1", "model.width=4", "workers=1", "study=s")


def noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8))


def made(root: Path, names: dict[str, str], classes: tuple[str, ...] = ("ant", "bee")) -> FolderSettings:
    """Different images of two classes; `names` gives each part that is there the name of its folder."""
    seed = 0
    for part, name in names.items():
        for label in classes:
            (root / name / label).mkdir(parents=True)
            for i in range(SIZES[part]):
                noise(seed := seed + 1).save(root / name / label / f"{i}.png")
    return FolderSettings("folder", path=str(root), size=8, validation=0.5)


TWO = {"train": "train", "test": "test"}


def sizes(data: Dataset) -> tuple[int, int, int]:
    return len(data.train), len(data.val), len(data.test)


def said(data: Dataset, part: str) -> bool:
    return any(part in note for note in data.notes)


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev", "Validation"])
def test_a_validation_folder_is_used_whatever_it_is_called(name: str, tmp_path: Path) -> None:
    data = load(made(tmp_path, TWO | {"val": name}))
    assert sizes(data) == (12, 6, 8)
    assert said(data, f"12 images of train/ for training; 6 of {name}/ for validation; 8 of test/ as the test set")


def test_what_serves_as_what_is_said(tmp_path: Path) -> None:
    held = load(made(tmp_path / "a", TWO))
    assert said(held, "6 images of train/ for training; 6 of train/ for validation, held out; 8 of test/ as the test")
    assert said(held, "neither mirrored nor cropped (dataset.flip=false dataset.pad=0)")
    val = load(made(tmp_path / "b", {"train": "Training", "val": "valid"}))
    assert sizes(val) == (6, 6, 6)
    assert said(val, "6 of valid/ as the test set, as there is no test/ beside valid/")


def test_folders_that_are_not_used_are_named(tmp_path: Path) -> None:
    settings = made(tmp_path, TWO | {"val": "val"})
    for name in ("unlabelled", "extra", ".git", "__MACOSX"):
        (tmp_path / name).mkdir()
    assert said(load(settings), "not used: extra/, unlabelled/")
    without = FolderSettings("folder", path=str(tmp_path), size=8, validation=0)
    assert said(load(without), "not used: val/, extra/, unlabelled/")


def test_two_names_for_one_part_are_refused(tmp_path: Path) -> None:
    settings = made(tmp_path, TWO | {"val": "val"})
    (tmp_path / "validation").mkdir()
    with pytest.raises(UserError, match=r"^[^\n]*has the folders val, validation, which mean the same[^\n]*$"):
        load(settings)


def test_hidden_files_and_folders_are_no_data(tmp_path: Path) -> None:
    settings = made(tmp_path, TWO)
    before = load(settings).hash
    ant = tmp_path / "train" / "ant"
    for name in (".ipynb_checkpoints", "__MACOSX", "deeper/.cache"):
        (ant / name).mkdir(parents=True)
        noise(99).save(ant / name / "0-checkpoint.png")
    noise(98).save(ant / ".hidden.png")
    (ant / "._0.png").write_bytes(b"no image")
    (ant / "Thumbs.db").write_bytes(b"")
    (tmp_path / "train" / ".DS_Store").write_bytes(b"")
    data = load(settings)
    assert data.hash == before
    assert said(data, "read 20 images, skipped hidden 7: ")


LOOPS: dict[str, tuple[str, str]] = {
    "itself": ("train/ant/self", "."),
    "what is above": ("train/ant/up", "../.."),
    "another class": ("train/ant/other", "../bee"),
    "the test set": ("train/ant/more", "../../test/ant"),
    "its own folder again": ("train/ant/again", "deeper"),
    "all classes, as a class": ("train/self", "."),
    "all the data, as a class": ("train/up", ".."),
}


@pytest.mark.parametrize("case", LOOPS)
def test_links_back_into_the_data_are_left_out(case: str, tmp_path: Path) -> None:
    settings = made(tmp_path, TWO)
    (tmp_path / "train" / "ant" / "deeper").mkdir()
    noise(97).save(tmp_path / "train" / "ant" / "deeper" / "0.png")
    before = load(settings).hash
    name, target = LOOPS[case]
    (tmp_path / name).symlink_to(target)
    data = load(settings)
    assert (data.hash, data.names) == (before, ("ant", "bee"))
    assert said(data, "read 21 images, skipped links back into the data 1")


def test_links_to_other_places_are_followed(tmp_path: Path) -> None:
    settings = made(tmp_path / "data", TWO)
    (tmp_path / "store").mkdir()
    noise(96).save(tmp_path / "store" / "0.png")
    (tmp_path / "data" / "train" / "ant" / "more").symlink_to(tmp_path / "store")
    (tmp_path / "data" / "train" / "ant" / "file.png").symlink_to(tmp_path / "store" / "0.png")
    assert len(load(settings).train) + len(load(settings).val) == 14


def test_what_is_skipped_is_counted_by_its_suffix(tmp_path: Path) -> None:
    settings = made(tmp_path, TWO)
    for name in ("train/ant/a.heic", "train/bee/b.HEIC", "test/ant/labels.txt", "test/ant/README"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "train" / "classes.json").write_bytes(b"")
    noise(95).save(tmp_path / "train" / "stray.png")
    part = "read 20 images, skipped 4 files (.heic 2, .txt 1, no suffix 1), in no class folder 2: train/ 6 of each of 2"
    assert said(load(settings), part)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".jfif", ".avif", ".PNG"])
def test_what_pillow_reads_is_read(suffix: str, tmp_path: Path) -> None:
    settings = made(tmp_path, TWO)
    more = {".jfif": "JPEG", ".ppm": "PPM"}.get(suffix)
    try:
        noise(94).save(tmp_path / "test" / "bee" / f"new{suffix}", more)
    except (KeyError, OSError) as error:
        pytest.skip(f"this Pillow cannot write it: {error}")
    assert len(load(settings).test) == 9


def test_classes_are_counted(tmp_path: Path) -> None:
    settings = made(tmp_path, TWO)
    (tmp_path / "train" / "bee" / "0.png").unlink()
    for file in (tmp_path / "test" / "ant").iterdir():
        file.unlink()
    data = load(settings)
    assert said(data, "train/ ant 6, bee 5; test/ ant 0, bee 4")
    assert said(data, "test/ has no image of ant")


def test_many_classes_are_summed_up(tmp_path: Path) -> None:
    settings = made(tmp_path, TWO, tuple(f"c{n:02}" for n in range(12)))
    (tmp_path / "train" / "c03" / "0.png").unlink()
    assert said(load(settings), "train/ 5 to 6 of each of 12 classes; test/ 4 of each of 12 classes")


NAMES = ("NA", "NaN", "nan", "null", "None", "true", "1e3")


def test_a_class_may_have_any_name(tmp_path: Path) -> None:
    assert load(made(tmp_path, TWO, NAMES)).names == tuple(sorted(NAMES))


@pytest.mark.parametrize("label", ["NA", "nan", "null", "None"])
def test_a_label_is_shown_as_typed(label: str, tmp_path: Path) -> None:
    made(tmp_path / "images", TWO, ("NA", "null"))
    done = command(tmp_path, "dataset=folder", "dataset.path=images", f"dataset.label='{label}'", *QUICK)
    assert done.code == 0, done.text
    assert list(rows(tmp_path)["dataset"]) == [label]
    assert f"resnet on {label}," in done.out


def test_a_class_is_called_by_its_name(tmp_path: Path) -> None:
    settings = made(tmp_path, TWO, ("ant", "bee", "wasp"))
    for file in sorted((tmp_path / "train" / "wasp").iterdir())[1:]:
        file.unlink()
    with pytest.raises(UserError, match=r"dataset\.validation=0\.5: class wasp has a single example"):
        load(settings)
    (tmp_path / "train" / "wasp" / "0.png").unlink()
    (tmp_path / "train" / "wasp" / "0.heic").write_bytes(b"")
    with pytest.raises(UserError, match=r"train: no image in wasp \(skipped 1 file \(\.heic 1\)\)"):
        load(settings)


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's whole path must be short
        server.bind(path.name)
        os.chdir(here)


ODD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a pipe": (lambda path: os.mkfifo(path), "is no plain file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is no plain file"),
    "a socket": (bound, "is no plain file"),
    "a broken link": (lambda path: path.symlink_to("nowhere"), "is a link to a file that is not there"),
}


@pytest.mark.parametrize("case", ODD)
def test_an_image_that_is_no_plain_file_is_refused(case: str, tmp_path: Path) -> None:
    made(tmp_path / "images", TWO)
    make, part = ODD[case]
    make(tmp_path / "images" / "train" / "bee" / "odd.png")
    line = command(tmp_path, "dataset=folder", "dataset.path=images", *QUICK)
    check_refused(line, "train/bee/odd.png", part)


def test_copies_between_the_splits_are_counted(tmp_path: Path) -> None:
    settings = made(tmp_path, TWO | {"val": "val"})
    for i in range(2):
        noise(1 + i).save(tmp_path / "test" / "bee" / f"copy{i}.png")
    noise(3).save(tmp_path / "val" / "ant" / "copy.bmp")
    data = load(settings)
    assert said(data, "test images that are among others too, byte for byte: 2 of 10 for training")
    assert said(data, "validation images that are among others too, byte for byte: 1 of 7 for training")


def test_blank_and_dark_images_are_said(tmp_path: Path) -> None:
    made_up = arrays()
    made_up["x_train"] //= 16
    made_up["x_test"][:3] = 7
    np.savez(tmp_path / "a.npz", **made_up)
    data = load(FileSettings("npz", path=str(tmp_path / "a.npz")))
    assert said(data, "no pixel is brighter than 15 of 255")
    assert said(data, "3 of 20 test images are of a single colour")


def test_a_users_images_are_varied_alike_wherever_they_lie() -> None:
    there = Path(*configs.__path__) / "dataset"
    folder, npz = (OmegaConf.load(there / f"{name}.yaml") for name in ("folder", "npz"))
    assert (folder.flip, folder.pad) == (npz.flip, npz.pad) == (False, 0)


def test_the_terminal_says_what_was_read(tmp_path: Path) -> None:
    made(tmp_path / "images", TWO)
    (tmp_path / "images" / "spare").mkdir()
    done = command(tmp_path, "dataset=folder", "dataset.path=images", "dry_run=true", *QUICK)
    assert done.code == 0
    for part in ("read 20 images: train/ 6 of each of 2 classes", "not used: spare/", "dataset.flip=false"):
        assert part in done.out
    assert done.out.startswith("dataset=folder dataset.path=images: ")


def test_folders_of_classes_alone_are_divided_by_class_into_all_parts(tmp_path: Path) -> None:
    """Twenty images of each of two classes."""
    for number, label in enumerate(("ant", "bee")):
        (tmp_path / label).mkdir()
        for i in range(20):
            noise(100 * number + i).save(tmp_path / label / f"{i}.png")
    settings = FolderSettings("folder", path=str(tmp_path), size=8, validation=0.25, test=0.2)
    data = load(settings)
    assert sizes(data) == (24, 8, 8)
    assert all(np.bincount(split.y).tolist() == [len(split) // 2] * 2 for split in data.splits.values())
    every = np.concatenate([split.x for split in data.splits.values()])
    assert len({image.tobytes() for image in every}) == 40
    assert data.names == ("ant", "bee")
    assert data.test_held_out
    assert said(data, f"8 of {tmp_path.name}/, held out (dataset.test=0.2), as the test set")
    other = load(FolderSettings("folder", path=str(tmp_path), size=8, validation=0.25, test=0.2, split=1))
    assert not np.array_equal(other.test.x, data.test.x)
    assert sizes(load(FolderSettings("folder", path=str(tmp_path), size=8, test=0.5, validation=0, train=6))) == (
        6,
        0,
        20,
    )


def test_a_misspelt_part_is_no_class(tmp_path: Path) -> None:
    settings = made(tmp_path, {"train": "trian", "test": "tset"})
    with pytest.raises(UserError, match="has no folder train but trian, tset"):
        load(settings)
