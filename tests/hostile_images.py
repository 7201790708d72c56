"""Image files that are damaged, enormous or unusual, made by code and as small as can be."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image
from sample_data import image_bytes, random_pixels


def half_a_jpeg() -> bytes:
    """Return the first half of a photograph's file."""
    whole = image_bytes(random_pixels(0, 64), "JPEG", quality=95)
    return whole[: len(whole) // 2]


def png_bomb(side: int = 50_000) -> bytes:
    """Return a PNG file of a few bytes that says it is side x side RGB pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND")


def _chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with_a_flipped_bit() -> bytes:
    """Return a PNG file one bit of whose pixels has changed on the way."""
    png = bytearray(image_bytes(random_pixels(0)))
    png[png.index(b"IDAT") + 20] ^= 1
    return bytes(png)


def floating_point() -> bytes:
    """Return a TIFF file of 32-bit floating-point values, which have no agreed range."""
    values = random_pixels(0)[..., 0].astype(np.float32)
    return image_bytes(Image.fromarray(values), "TIFF")


def sixteen_bits() -> bytes:
    """Return a PNG file of 16-bit grey values."""
    return image_bytes(Image.fromarray(random_pixels(0)[..., 0].astype(np.uint16) << 8))


def cmyk() -> bytes:
    """Return a JPEG file in the colours of a printer."""
    return image_bytes(Image.fromarray(random_pixels(0)).convert("CMYK"), "JPEG")


def animated() -> bytes:
    """Return a GIF file of three frames."""
    frames = [Image.fromarray(random_pixels(i)).quantize(16) for i in range(3)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:], duration=50)
    return stream.getvalue()
