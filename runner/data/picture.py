"""Image files as pixels, whatever their mode: `picture(path, size)` for one, `decoded(paths, ...)` for many.

8-bit grey and colour images are taken as they are. All else is brought to 8-bit colour by a rule that is stated here,
or refused (UserError), so that no range is clipped in silence.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from runner.data.arrays import empty
from runner.errors import UserError
from runner.system.devices import cores

if TYPE_CHECKING:
    from PIL import Image

SOME = 64  # files that a thread decodes before it takes more
_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_PLAIN = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")
# What a sample of a grey PNG of few bits is multiplied with; its transparent colour comes unmultiplied.
_FACTORS = {"1": 255, "L;2": 85, "L;4": 17}


def picture(path: str, size: int) -> tuple[np.ndarray, bool]:
    """The largest centred square of the image at `path`, upright: uint8 [size, size, 3]; and whether frames follow.

    Transparent parts are white, of several frames the first counts. Whatever Pillow raises comes through; UserError
    for what is no plain file, and for pixels whose range cannot be known.
    """
    from PIL import Image, ImageOps

    regular(path)
    with Image.open(path) as image:
        several = bool(getattr(image, "is_animated", False))
        packed = _packed(image)
        image.load()
        with suppress(Exception):  # a damaged tag says nothing about which side is up
            ImageOps.exif_transpose(image, in_place=True)
        colour = _colour(image, packed)
    return np.asarray(ImageOps.fit(colour, (size, size), Image.Resampling.BILINEAR)), several


def regular(path: str) -> None:
    """UserError unless there is a plain file at `path`: a pipe or a device would be read for ever."""
    try:
        kind = os.stat(path).st_mode
    except FileNotFoundError as error:
        raise UserError("is a link to a file that is not there; mend it or take it away") from error
    if not stat.S_ISREG(kind):
        raise UserError("is no plain file but a pipe, a socket or a device; take it away")


def _packed(image: Image.Image) -> str:
    """The mode in which a file that is not loaded yet holds its pixels; Pillow forgets it with the first pixel."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0].args if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _colour(image: Image.Image, packed: str) -> Image.Image:
    """RGB of a loaded image; `packed` is the mode in which the file holds it."""

    if image.mode.startswith("I;16"):
        return _deep(image)
    if image.mode == "I":
        if image.format not in ("PPM", "PNG"):  # Pillow brings both formats' 16 bits to the range of 16 bits
            raise UserError(
                "has 32-bit or signed numbers (mode I), whose black and white are unknown; save it with 8 or 16 bits"
            )
        return _grey(np.asarray(image) >> 8)
    if image.mode == "F":
        values = np.asarray(image)
        if not (values.min() >= 0 and values.max() <= 1):  # nor NaN
            raise UserError(
                f"has floats from {values.min():g} to {values.max():g}, whose black and white are unknown; "
                "save it with 8 or 16 bits, or scale it to 0 to 1"
            )
        return _grey(np.rint(255 * (1 - values if _white_is_zero(image) else values)))
    if image.mode in _ALPHA:
        return _on_white(image.convert("LA") if image.mode == "La" else image)
    if image.mode not in _PLAIN:
        raise UserError(f"has Pillow's mode {image.mode}, which is unknown here; save it as PNG with 8 bits")
    clear = image.info.get("transparency")
    if clear is None and not (image.mode == "P" and image.palette and image.palette.mode == "RGBA"):
        return image.convert("RGB")
    if isinstance(clear, int) and packed in _FACTORS and image.format == "PNG":
        image.info["transparency"] = clear * _FACTORS[packed]
    elif isinstance(clear, tuple) and packed == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in clear)
    if image.mode == "1":
        image = image.convert("L")
    if image.mode not in ("L", "P", "RGB"):
        del image.info["transparency"]
        return image.convert("RGB")
    return _on_white(image)


def _deep(image: Image.Image) -> Image.Image:
    """Grey of up to 16 bits by its upper 8: exact for 8-bit images that were stored so, whether by 256 or by 257."""
    values = np.asarray(image).astype(np.int64)
    bits = getattr(image, "tag_v2", {}).get(258, (16,))[0]  # TIFF's BitsPerSample: 12 as well as 16
    grey = values >> (bits - 8)
    if _white_is_zero(image):
        grey = 255 - grey
    clear = image.info.get("transparency")
    return _grey(np.where(values == clear, 255, grey) if isinstance(clear, int) else grey)


def _white_is_zero(image: Image.Image) -> bool:
    """TIFF's PhotometricInterpretation 0, which Pillow heeds for 8 bits alone."""
    return bool(getattr(image, "tag_v2", {}).get(262) == 0)


def _grey(values: np.ndarray) -> Image.Image:
    from PIL import Image

    return Image.fromarray(values.clip(0, 255).astype(np.uint8)).convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def decoded(paths: Sequence[Any], shape: Sequence[int], decode: Callable[[Any], np.ndarray], what: str) -> np.ndarray:
    """What `decode` makes of each path, by several threads: uint8 [len(paths), *shape].

    Libraries that decode images release Python's lock while they do, and each image is written straight to its place.

    Args:
        paths: in the order of the array.
        shape: of what `decode` gives.
        decode: called from several threads at once; the error that stops it first ends all.
        what: the name of the progress bar, which is shown where there is a terminal.
    """
    from tqdm import tqdm

    x = empty((len(paths), *shape), np.uint8)
    stopped = False

    def fill(start: int) -> int:
        some = paths[start : start + SOME]
        for i, path in enumerate(some, start):
            if not stopped:
                x[i] = decode(path)
        return len(some)

    with (
        tqdm(total=len(paths), desc=what, disable=None, leave=False) as bar,
        ThreadPoolExecutor(cores(), "decode") as threads,
    ):
        try:
            for count in threads.map(fill, range(0, len(paths), SOME)):
                bar.update(count)
        finally:  # after an error or Ctrl-C the others end at once
            stopped = True
    return x
