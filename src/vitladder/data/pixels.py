"""One image as uint8 [channels, size, size]: every mode is converted on purpose or refused."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from vitladder.data.faults import Unreadable
from vitladder.data.one_line import first_line
from vitladder.errors import UserError

Pixels = npt.NDArray[np.uint8]
Raw = bytes | Pixels
"""An image as it is stored: the bytes of a file, or grey values [H, W]."""
Stored = Raw | Unreadable
"""What lies where an image should: the image, or why there is none."""

# Pillow warns of metadata that it does without, and of what is an error here: not on the screen.
warnings.filterwarnings("ignore", module=r"PIL\.")

_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
_SIXTEEN_BIT_AS_I = ("PNG", "PPM")
"""Formats that store at most 16 bits: of them, mode I holds 0 to 65535, of others anything."""

_GREY = ("1", "L", "LA", "La", "I", *_SIXTEEN_BIT)
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_TO_RGB = ("P", "CMYK", "YCbCr", "HSV", "RGBX", "1")


@dataclass(frozen=True)
class Header:
    """What an image file says about itself before it is decoded."""

    width: int
    height: int
    mode: str

    @property
    def size(self) -> int:
        """The side of the square that the image becomes: its own side, or its shorter one."""
        return min(self.width, self.height)

    @property
    def channels(self) -> int:
        """1 for a grey image, else 3."""
        return 1 if self.mode in _GREY else 3


def header(raw: Stored, where: str) -> Header:
    """Return size and mode without decoding; raises Unreadable naming `where`."""
    image = _open(raw, where)
    return Header(image.width, image.height, image.mode)


def surely_grey(raw: Stored) -> bool:
    """Return whether the first bytes say grey: all of an array, and of a PNG, and of no other."""
    if isinstance(raw, np.ndarray):
        return True
    return isinstance(raw, bytes) and raw[:8] == _PNG and raw[25:26] in _PNG_GREY


_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_GREY = (b"\x00", b"\x04")
"""The colour types of grey values, without and with alpha."""


def decode(
    raw: Stored, where: str, *, image_size: int, channels: int, drop_colours: bool = False
) -> Pixels:
    """Return the image as uint8 [channels, image_size, image_size].

    The first frame is taken, turned upright by its EXIF orientation, laid on white where it is
    transparent, made grey (1 channel, ITU-R BT.601 luma) or RGB (3 channels), resized to a
    shorter side of image_size (antialiased bicubic) and cropped in the centre.
    Raises Unreadable naming `where` when the file is corrupt, truncated, huge or of a mode
    without an agreed range, and UserError when colours would become grey unless drop_colours
    says so.
    """
    image = _open(raw, where)
    try:
        upright = ImageOps.exif_transpose(image)
    except MemoryError:
        raise  # the machine's fault, and not the image's
    except Exception as problem:  # decoders raise anything on bytes that are not what they claim
        raise _unreadable(where, problem) from problem
    eight_bits = _eight_bits(upright, image.format, where)
    if channels == 3:
        values = np.asarray(_resize(eight_bits.convert("RGB"), image_size), dtype=np.uint8)
        return np.ascontiguousarray(values.transpose(2, 0, 1))
    if not drop_colours:
        _check_grey(eight_bits, where)
    return np.asarray(_resize(eight_bits.convert("L"), image_size), dtype=np.uint8)[None]


def _open(raw: Stored, where: str) -> Image.Image:
    if isinstance(raw, Unreadable):
        raise raw
    if isinstance(raw, np.ndarray):
        return Image.fromarray(raw)
    if not raw:
        raise Unreadable(where, "not a readable image (it has no bytes)")
    try:
        image = Image.open(io.BytesIO(raw))
    except UnidentifiedImageError as problem:
        raise Unreadable(where, "not a readable image (cannot identify image file)") from problem
    except MemoryError:
        raise
    except Exception as problem:  # as above: any decoder, any error
        raise _unreadable(where, problem) from problem
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise Unreadable(
            where,
            f"not a readable image ({image.width} x {image.height} exceeds Pillow's limit of "
            f"{limit} pixels)",
        )
    return image


def _unreadable(where: str, problem: Exception) -> Unreadable:
    return Unreadable(where, f"not a readable image ({first_line(problem)})")


def _eight_bits(image: Image.Image, kind: str | None, where: str) -> Image.Image:
    """Return the image of a file of this kind in mode L or RGB."""
    # First, as Pillow clips 16 bits to 8 when it adds the alpha of a transparent value.
    if image.mode in _SIXTEEN_BIT or (image.mode == "I" and kind in _SIXTEEN_BIT_AS_I):
        image = _high_byte(image)
    elif image.mode in _WITH_ALPHA or "transparency" in image.info:
        image = _on_white(image)
    elif image.mode in _TO_RGB:
        image = image.convert("RGB")
    if image.mode not in ("L", "RGB"):
        raise Unreadable(
            where,
            f"mode {image.mode} has no agreed range to make 8 bits of (8- and 16-bit grey and "
            f"8-bit RGB have)",
        )
    return image


def _check_grey(image: Image.Image, where: str) -> None:
    """Raise UserError for an image with colours; grey values in RGB lose nothing as grey."""
    if image.mode == "RGB":
        red, green, blue = np.asarray(image).transpose(2, 0, 1)
        if (red != green).any() or (green != blue).any():
            raise UserError(
                f"{where} has colours, which would be lost, as the images that were looked at are "
                f"grey; set model.channels=3, or store this image in grey"
            )


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        image = image.convert("LA")
    above = image.convert("RGBA")
    white = Image.new("RGBA", above.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, above).convert("RGB")


def _high_byte(image: Image.Image) -> Image.Image:
    """Return 16-bit grey values (also as Pillow's 32-bit mode I) as their high byte."""
    return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))


def _resize(image: Image.Image, size: int) -> Image.Image:
    if image.size == (size, size):
        return image
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))
