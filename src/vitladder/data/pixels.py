"""One image as uint8 [channels, size, size]: every mode is converted on purpose or refused."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from vitladder.errors import UserError

Pixels = npt.NDArray[np.uint8]
Raw = bytes | Pixels
"""An image as it is stored: the bytes of a file, or grey values [H, W]."""

_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_GREY = ("1", "L", "LA", "La", *_SIXTEEN_BIT)
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


def header(raw: Raw, where: str) -> Header:
    """Return size and mode without decoding; raises UserError naming `where`."""
    image = _open(raw, where)
    return Header(image.width, image.height, image.mode)


def decode(raw: Raw, where: str, *, image_size: int, channels: int) -> Pixels:
    """Return the image as uint8 [channels, image_size, image_size].

    The first frame is taken, turned upright by its EXIF orientation, laid on white where it is
    transparent, made grey (1 channel, ITU-R BT.601 luma) or RGB (3 channels), resized to a
    shorter side of image_size (antialiased bicubic) and cropped in the centre.
    Raises UserError naming `where` when the file is corrupt, truncated, huge or of a mode
    without an agreed range.
    """
    image = _open(raw, where)
    try:
        upright = ImageOps.exif_transpose(image)
    except Exception as problem:  # decoders raise anything on bytes that are not what they claim
        raise _unreadable(where, problem) from problem
    colours = _resize(_convert(upright, where, channels), image_size)
    values = np.asarray(colours, dtype=np.uint8)
    return values[None] if channels == 1 else np.ascontiguousarray(values.transpose(2, 0, 1))


def _open(raw: Raw, where: str) -> Image.Image:
    if isinstance(raw, np.ndarray):
        return Image.fromarray(raw)
    try:
        image = Image.open(io.BytesIO(raw))
    except UnidentifiedImageError as problem:
        raise UserError(f"{where}: not a readable image (cannot identify image file)") from problem
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as problem:
        raise UserError(f"{where}: not a readable image ({problem})") from problem
    except Exception as problem:  # as above: any decoder, any error
        raise _unreadable(where, problem) from problem
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise UserError(
            f"{where}: not a readable image ({image.width} x {image.height} exceeds Pillow's "
            f"limit of {limit} pixels)"
        )
    return image


def _unreadable(where: str, problem: Exception) -> UserError:
    reason = " ".join(str(problem).split()) or type(problem).__name__
    return UserError(f"{where}: not a readable image ({reason})")


def _convert(image: Image.Image, where: str, channels: int) -> Image.Image:
    # First, as Pillow clips 16 bits to 8 when it adds the alpha of a transparent value.
    if image.mode in _SIXTEEN_BIT:
        image = _high_byte(image)
    elif image.mode in _WITH_ALPHA or "transparency" in image.info:
        image = _on_white(image)
    elif image.mode in _TO_RGB:
        image = image.convert("RGB")
    if image.mode not in ("L", "RGB"):
        raise UserError(
            f"{where}: mode {image.mode} has no agreed range to make 8 bits of; "
            f"store the images as 8-bit grey or RGB"
        )
    return image.convert("L" if channels == 1 else "RGB")


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        image = image.convert("LA")
    above = image.convert("RGBA")
    white = Image.new("RGBA", above.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, above).convert("RGB")


def _high_byte(image: Image.Image) -> Image.Image:
    """Return 16-bit grey values (also as Pillow's 32-bit mode I) as their high byte."""
    values = np.asarray(image).astype(np.int64)
    return Image.fromarray(np.clip(values >> 8, 0, 255).astype(np.uint8))


def _resize(image: Image.Image, size: int) -> Image.Image:
    if image.size == (size, size):
        return image
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))
