"""Every mode of Pillow becomes 8-bit grey or RGB on purpose, or is refused by name."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from sample_data import image_bytes, random_pixels

from vitladder.data.pixels import decode, header
from vitladder.errors import UserError

SIZE = 8
COLOURS = random_pixels(1, SIZE)
GREY = COLOURS[..., 0]
WHITE_OVER = (np.arange(SIZE * SIZE).reshape(SIZE, SIZE) * 4).astype(np.uint8)


def pixels(raw: bytes, channels: int = 3, size: int = SIZE) -> np.ndarray:
    return decode(raw, "here", image_size=size, channels=channels)


def on_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    opacity = alpha[..., None] / 255
    return colours * opacity + 255 * (1 - opacity)


def test_rgb_is_taken_as_it_is() -> None:
    assert np.array_equal(pixels(image_bytes(COLOURS)), COLOURS.transpose(2, 0, 1))


def test_grey_stays_one_channel_when_the_data_set_is_grey() -> None:
    assert np.array_equal(pixels(image_bytes(GREY), channels=1), GREY[None])


def test_grey_fills_three_channels_when_the_data_set_is_colour() -> None:
    assert np.array_equal(pixels(image_bytes(GREY)), np.stack([GREY] * 3))


def test_colour_becomes_bt601_luma_when_the_data_set_is_grey() -> None:
    luma = COLOURS @ [0.299, 0.587, 0.114]
    raw = image_bytes(COLOURS)
    found = decode(raw, "here", image_size=SIZE, channels=1, drop_colours=True)
    assert np.abs(found[0] - luma).max() <= 0.51


def test_colour_does_not_become_grey_unasked() -> None:
    with pytest.raises(UserError, match=r"^here has colours, .*; set model\.channels=3, or store"):
        pixels(image_bytes(COLOURS), channels=1)


def test_one_bit_becomes_black_and_white() -> None:
    bits = Image.fromarray(GREY > 127)
    assert bits.mode == "1"
    assert np.array_equal(pixels(image_bytes(bits), channels=1)[0], (GREY > 127) * 255)


def test_rgba_is_laid_on_white() -> None:
    image = np.dstack([COLOURS, WHITE_OVER])
    assert (
        np.abs(pixels(image_bytes(image)).transpose(1, 2, 0) - on_white(COLOURS, WHITE_OVER)).max()
        <= 1
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_with_alpha_is_laid_on_white(channels: int) -> None:
    image = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(WHITE_OVER)])
    expected = on_white(GREY[..., None], WHITE_OVER)[..., 0]
    assert np.abs(pixels(image_bytes(image), channels) - expected).max() <= 1


def test_a_palette_becomes_its_colours() -> None:
    image = Image.fromarray(COLOURS).quantize(16)
    assert np.array_equal(
        pixels(image_bytes(image)), np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    )


def test_a_transparent_palette_colour_becomes_white() -> None:
    image = Image.new("P", (SIZE, SIZE))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata((GREY > 127).astype(int).ravel().tolist())
    result = pixels(image_bytes(image, transparency=1))
    assert (result[:, GREY > 127] == 255).all()
    assert (result[:, GREY <= 127] == np.array([[10], [20], [30]])).all()


def test_a_transparent_rgb_colour_becomes_white() -> None:
    colours = COLOURS.copy()
    colours[0, 0] = (1, 2, 3)
    result = pixels(image_bytes(colours, transparency=(1, 2, 3)))
    assert (result[:, 0, 0] == 255).all()
    assert np.array_equal(result[:, 1:], colours.transpose(2, 0, 1)[:, 1:])


def test_sixteen_bits_keep_their_high_byte() -> None:
    deep = (GREY.astype(np.uint16) << 8) | 77
    image = Image.fromarray(deep)
    assert image.mode == "I;16"
    assert np.array_equal(pixels(image_bytes(image), channels=1)[0], GREY)


def test_sixteen_bits_with_a_transparent_value_keep_their_high_byte() -> None:
    deep = (GREY.astype(np.uint16) << 8) | 77
    raw = with_transparent_grey(image_bytes(Image.fromarray(deep)), 5)
    assert "transparency" in Image.open(io.BytesIO(raw)).info
    assert np.array_equal(pixels(raw, channels=1)[0], GREY)


def with_transparent_grey(png: bytes, value: int) -> bytes:
    body = b"tRNS" + struct.pack(">H", value)
    chunk = struct.pack(">I", 2) + body + struct.pack(">I", zlib.crc32(body))
    return png[:33] + chunk + png[33:]


def test_big_endian_sixteen_bits_keep_their_high_byte_too() -> None:
    deep = (GREY.astype(np.uint16) << 8) | 77
    big = Image.frombytes("I;16B", (SIZE, SIZE), deep.astype(">u2").tobytes())
    assert np.array_equal(pixels(image_bytes(big, "TIFF"), channels=1)[0], GREY)


def test_sixteen_bits_of_a_pgm_keep_their_high_byte_too() -> None:
    deep = (GREY.astype(">u2") << 8) | 77
    raw = b"P5 %d %d 65535\n" % (SIZE, SIZE) + deep.astype(">u2").tobytes()
    assert Image.open(io.BytesIO(raw)).mode == "I"
    assert np.array_equal(pixels(raw, channels=1)[0], GREY)


@pytest.mark.parametrize("highest", [252, 65_535, 1_000_000])
def test_thirty_two_bit_grey_is_refused_whatever_its_values(highest: int) -> None:
    deep = np.linspace(0, highest, SIZE * SIZE).astype(np.int32).reshape(SIZE, SIZE)
    raw = image_bytes(Image.fromarray(deep), "TIFF")
    assert Image.open(io.BytesIO(raw)).mode == "I"
    with pytest.raises(UserError, match=r"^here: mode I has no agreed range") as caught:
        pixels(raw, channels=1)
    assert "\n" not in str(caught.value)


def test_cmyk_becomes_rgb() -> None:
    image = Image.fromarray(COLOURS).convert("CMYK")
    result = pixels(image_bytes(image, "TIFF"))
    assert np.array_equal(result, np.asarray(image.convert("RGB")).transpose(2, 0, 1))
    assert np.abs(result.astype(int) - COLOURS.transpose(2, 0, 1)).max() <= 1


def test_ycbcr_becomes_rgb() -> None:
    image = Image.fromarray(COLOURS).convert("YCbCr")
    result = pixels(image_bytes(image, "TIFF"))
    assert np.array_equal(result, np.asarray(image.convert("RGB")).transpose(2, 0, 1))


@pytest.mark.parametrize("mode", ["F", "LAB"])
def test_modes_without_an_agreed_range_are_refused(mode: str) -> None:
    image = Image.new(mode, (SIZE, SIZE))
    with pytest.raises(UserError, match=f"^here: mode {mode} has no agreed range"):
        pixels(image_bytes(image, "TIFF"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(orientation: int) -> None:
    turned = {
        1: COLOURS,
        2: COLOURS[:, ::-1],
        3: COLOURS[::-1, ::-1],
        4: COLOURS[::-1],
        5: COLOURS.transpose(1, 0, 2),
        6: np.rot90(COLOURS, -1),
        7: COLOURS[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(COLOURS),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = pixels(image_bytes(COLOURS, exif=exif))
    assert np.array_equal(result.transpose(1, 2, 0), turned[orientation])


def test_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.fromarray(random_pixels(i, SIZE)) for i in (1, 2, 3)]
    raw = image_bytes(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert np.array_equal(pixels(raw), COLOURS.transpose(2, 0, 1))


def test_the_shorter_side_is_resized_and_the_centre_cropped() -> None:
    wide = np.zeros((20, 60, 3), dtype=np.uint8)
    wide[:, 20:40] = (200, 100, 50)
    result = pixels(image_bytes(wide), size=10)
    assert result.shape == (3, 10, 10)
    assert (result[:, :, 2:8] == np.array([200, 100, 50])[:, None, None]).all()


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (7, 8), (300, 7), (8, 8)])
@pytest.mark.parametrize("size", [1, 8, 31])
def test_any_shape_becomes_a_square(shape: tuple[int, int], size: int) -> None:
    raw = image_bytes(np.full((*shape, 3), 77, dtype=np.uint8))
    assert np.array_equal(pixels(raw, size=size), np.full((3, size, size), 77))


def test_grey_arrays_are_images_too() -> None:
    assert np.array_equal(decode(GREY, "here", image_size=SIZE, channels=1), GREY[None])


def test_bytes_that_are_no_image_are_named() -> None:
    with pytest.raises(
        UserError, match=r"^here: not a readable image \(cannot identify image file\);"
    ):
        pixels(b"not an image")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "WEBP", "BMP"])
def test_truncated_images_are_named(kind: str) -> None:
    raw = image_bytes(random_pixels(0, 64), kind)
    with pytest.raises(UserError, match=r"^here: not a readable image \("):
        pixels(raw[: len(raw) * 2 // 3])


@pytest.mark.parametrize("fits", [15, 31])
def test_decompression_bombs_are_refused(fits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", fits)
    raw = image_bytes(COLOURS)
    with pytest.raises(UserError, match=r"^here: not a readable image .*64"):
        header(raw, "here")


def test_the_header_says_what_the_data_set_will_be() -> None:
    found = header(image_bytes(np.zeros((5, 9), dtype=np.uint8)), "here")
    assert (found.size, found.channels) == (5, 1)
    found = header(image_bytes(COLOURS), "here")
    assert (found.size, found.channels) == (8, 3)
