"""Image files of every mode arrive as a person sees them, or are refused by name; none is clipped in silence."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runner.data.load import load
from runner.data.settings import FolderSettings
from runner.errors import UserError

SIZE = 8
GREY = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
BLACK = np.zeros((SIZE, SIZE), np.uint8)
SHAPE = np.where(np.eye(SIZE, dtype=bool), 255, 0).astype(np.uint8)  # of a drawing on a transparent ground: its alpha
DRAWN = 255 - np.repeat(SHAPE[..., None], 3, 2)  # black on white


def grey3(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, 2)


def packed(image: Image.Image, kind: str, **more: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()


def shown(root: Path, content: bytes, suffix: str) -> np.ndarray:
    """What training sees of an image file among others: uint8 [SIZE, SIZE, 3]."""
    other = packed(Image.fromarray(255 - COLOUR), "PNG")
    for part in ("train", "test"):
        for name in ("a", "b"):
            (root / part / name).mkdir(parents=True)
            (root / part / name / "other.png").write_bytes(other)
    (root / "train" / "a" / f"it{suffix}").write_bytes(content)
    return load(FolderSettings("folder", path=str(root), size=SIZE, validation=0)).train.x[0]


def png(bits: int, kind: int, rows: list[bytes], *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of SIZE x SIZE written by hand, for what Pillow reads and does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", SIZE, SIZE, bits, kind, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [chunk(b"IHDR", head), *(chunk(*c) for c in chunks), chunk(b"IDAT", body), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def with_alpha(mode: str) -> Image.Image:
    black = Image.merge("RGBA", [*[Image.fromarray(BLACK)] * 3, Image.fromarray(SHAPE)])
    return black.convert(mode)


def palette(transparency: bool) -> Image.Image:
    image = Image.fromarray(np.where(SHAPE > 0, 0, 1).astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 0, 0, 0] if transparency else [0, 0, 0, 255, 255, 255])
    return image


DEEP = GREY.astype(np.uint16)
BITS = np.packbits(GREY > 127, axis=1)
GREY_2 = np.packbits(np.unpackbits((GREY >> 6)[..., None], axis=2)[..., 6:].reshape(SIZE, -1), axis=1)
DEEP_COLOUR = (COLOUR.astype(">u2") * 257).reshape(SIZE, -1)
ONE_CLEAR = np.where((COLOUR[2, 3] == COLOUR).all(2)[..., None], 255, COLOUR)

RIGHT: dict[str, tuple[Callable[[], bytes], str, np.ndarray]] = {
    "16-bit grey PNG": (lambda: packed(Image.fromarray(DEEP * 257), "PNG"), ".png", grey3(GREY)),
    "8 bits shifted to 16": (lambda: packed(Image.fromarray(DEEP << 8), "PNG"), ".png", grey3(GREY)),
    "16-bit grey TIFF": (lambda: packed(Image.fromarray(DEEP * 257), "TIFF"), ".tif", grey3(GREY)),
    "16-bit grey TIFF, big-endian": (
        lambda: packed(Image.fromarray((DEEP * 257).astype(">u2")), "TIFF"),
        ".tiff",
        grey3(GREY),
    ),
    "16-bit PGM": (lambda: b"P5 8 8 65535 " + (DEEP * 257).astype(">u2").tobytes(), ".pgm", grey3(GREY)),
    "16-bit PPM": (lambda: b"P6 8 8 65535 " + DEEP_COLOUR.tobytes(), ".ppm", COLOUR),
    "16-bit colour PNG": (lambda: png(16, 2, [row.tobytes() for row in DEEP_COLOUR]), ".png", COLOUR),
    "float TIFF from 0 to 1": (
        lambda: packed(Image.fromarray(GREY.astype(np.float32) / 255), "TIFF"),
        ".tif",
        grey3(GREY),
    ),
    "1-bit PNG": (lambda: packed(Image.fromarray(GREY > 127), "PNG"), ".png", grey3((GREY > 127) * np.uint8(255))),
    "2-bit PNG": (lambda: png(2, 0, [row.tobytes() for row in GREY_2]), ".png", grey3((GREY >> 6) * np.uint8(85))),
    "palette GIF": (lambda: packed(palette(False), "GIF"), ".gif", DRAWN),
    "CMYK TIFF": (lambda: packed(Image.fromarray(COLOUR).convert("CMYK"), "TIFF"), ".tif", COLOUR),
    "RGBX TIFF": (lambda: packed(Image.fromarray(COLOUR).convert("RGBX"), "TIFF"), ".tif", COLOUR),
    "opaque RGBA": (lambda: packed(Image.fromarray(COLOUR).convert("RGBA"), "PNG"), ".png", COLOUR),
    "RGBA": (lambda: packed(with_alpha("RGBA"), "PNG"), ".png", DRAWN),
    "RGBA WebP": (lambda: packed(with_alpha("RGBA"), "WEBP", lossless=True, exact=True), ".webp", DRAWN),
    "RGBA TIFF": (lambda: packed(with_alpha("RGBA"), "TIFF"), ".tif", DRAWN),
    "LA": (lambda: packed(with_alpha("LA"), "PNG"), ".png", DRAWN),
    "palette, one clear colour": (lambda: packed(palette(True), "PNG", transparency=1), ".png", DRAWN),
    "palette, an alpha for each": (lambda: packed(palette(True), "PNG", transparency=b"\xff\x00"), ".png", DRAWN),
    "palette GIF, one clear colour": (lambda: packed(palette(True), "GIF", transparency=1), ".gif", DRAWN),
    "grey with a clear value": (
        lambda: packed(Image.fromarray(SHAPE // 255), "PNG", transparency=0),
        ".png",
        np.where(DRAWN == 0, 1, DRAWN),
    ),
    "colour with a clear value": (
        lambda: packed(Image.fromarray(COLOUR), "PNG", transparency=tuple(map(int, COLOUR[2, 3]))),
        ".png",
        ONE_CLEAR,
    ),
    "16-bit colour with a clear value": (
        lambda: png(16, 2, [r.tobytes() for r in DEEP_COLOUR], (b"tRNS", DEEP_COLOUR.reshape(-1, 3)[19].tobytes())),
        ".png",
        ONE_CLEAR,
    ),
    "16-bit grey with a clear value": (
        lambda: png(16, 0, [row.tobytes() for row in (DEEP * 257).astype(">u2")], (b"tRNS", b"\0\0")),
        ".png",
        grey3(np.where(GREY == 0, 255, GREY)),
    ),
    "2-bit grey with a clear value": (
        lambda: png(2, 0, [row.tobytes() for row in GREY_2], (b"tRNS", b"\0\0")),
        ".png",
        grey3(np.where(GREY >> 6 == 0, 255, (GREY >> 6) * 85)),
    ),
    "1-bit grey, black is clear": (
        lambda: png(1, 0, [row.tobytes() for row in BITS], (b"tRNS", b"\0\0")),
        ".png",
        np.full((SIZE, SIZE, 3), 255),
    ),
    "half transparent": (
        lambda: packed(Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 51)), "PNG"),
        ".png",
        np.full((SIZE, SIZE, 3), 204),
    ),
}


@pytest.mark.parametrize("case", RIGHT)
def test_an_image_is_what_a_person_sees(case: str, tmp_path: Path) -> None:
    made, suffix, right = RIGHT[case]
    assert np.array_equal(shown(tmp_path, made(), suffix), right)


@pytest.mark.parametrize("mode", ["YCbCr", "LAB"])
def test_other_colour_spaces_come_out_close(mode: str, tmp_path: Path) -> None:
    smooth = np.asarray(Image.fromarray(COLOUR[:2, :2]).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    image = Image.fromarray(smooth).convert(mode)
    content = packed(image, "TIFF") if mode == "LAB" else packed(image, "JPEG", quality=100, subsampling=0)
    found = shown(tmp_path, content, ".tif" if mode == "LAB" else ".jpg")
    assert np.abs(found.astype(int) - smooth).max() <= 24  # what 8 bits of another space lose


UNKNOWN: dict[str, tuple[Callable[[], bytes], str]] = {
    "floats to 255": (lambda: packed(Image.fromarray(GREY.astype(np.float32)), "TIFF"), "floats from"),
    "negative floats": (lambda: packed(Image.fromarray(GREY / np.float32(255) - 0.5), "TIFF"), "floats from -0.4"),
    "NaN": (lambda: packed(Image.fromarray(np.where(GREY > 9, 0, np.nan).astype(np.float32)), "TIFF"), "nan"),
    "int32": (lambda: packed(Image.fromarray(GREY.astype(np.int32) * 5000), "TIFF"), "mode I"),
    "int32 that would fit": (lambda: packed(Image.fromarray(GREY.astype(np.int32)), "TIFF"), "mode I"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_a_range_that_cannot_be_known_is_refused_by_the_files_name(case: str, tmp_path: Path) -> None:
    made, part = UNKNOWN[case]
    with pytest.raises(UserError, match=rf"^[^\n]*train/a/it\.tif[^\n]*{part}[^\n]*8 or 16 bits[^\n]*$"):
        shown(tmp_path, made(), ".tif")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_an_image_stands_upright(tag: int, kind: str, tmp_path: Path) -> None:
    """The EXIF orientation says how the stored image was turned; each way back is one of NumPy's."""
    stored = np.zeros((SIZE, SIZE, 3), np.uint8)
    stored[:4, :4], stored[:4, 4:] = 255, 128  # bright, then grey, over black: no turn of it is another
    back: dict[int, Callable[[np.ndarray], np.ndarray]] = {
        1: lambda x: x,
        2: np.fliplr,
        3: lambda x: np.rot90(x, 2),
        4: np.flipud,
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x, -1),
        7: lambda x: np.rot90(x, 2).transpose(1, 0, 2),
        8: np.rot90,
    }
    exif = Image.Exif()
    exif[274] = tag
    more: dict[str, Any] = {"JPEG": {"quality": 100}, "WEBP": {"lossless": True}}.get(kind, {})
    content = packed(Image.fromarray(stored), kind, exif=exif, **more)
    found = shown(tmp_path, content, "." + kind.lower())
    assert np.abs(found.astype(int) - back[tag](stored)).max() <= 8


def test_the_first_frame_is_read_and_said(tmp_path: Path) -> None:
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    content = packed(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    assert np.array_equal(shown(tmp_path, content, ".tif"), grey3(GREY))
    notes = load(FolderSettings("folder", path=str(tmp_path), size=SIZE, validation=0)).notes
    assert any("more than one frame, of which the first is read: .tif 1" in note for note in notes)


def test_plain_images_keep_their_pixels(tmp_path: Path) -> None:
    """Ids of rows hang on them: a resized 8-bit image is Pillow's own."""
    from PIL import ImageOps

    image = Image.fromarray(np.random.default_rng(2).integers(0, 256, (30, 41, 3), dtype=np.uint8))
    right = np.asarray(ImageOps.fit(image, (SIZE, SIZE), Image.Resampling.BILINEAR))
    assert np.array_equal(shown(tmp_path / "colour", packed(image, "PNG"), ".png"), right)
    grey = image.convert("L")
    right = np.asarray(ImageOps.fit(grey.convert("RGB"), (SIZE, SIZE), Image.Resampling.BILINEAR))
    assert np.array_equal(shown(tmp_path / "grey", packed(grey, "PNG"), ".png"), right)
