"""Is a whole 8-bit picture taken as it is, and everything else refused in words?"""

from __future__ import annotations

import struct
import tracemalloc

import cv2
import numpy as np
import pytest

from station.core.errors import ImageFault
from station.sources.headers import read_header
from station.sources.pictures import decode_picture
from tests.sources.files import chunk, encoded, picture, png

ROWS = b"".join(b"\0" + bytes(range(16)) for _ in range(16))


def decode(data: bytes) -> np.ndarray:
    return decode_picture(data, max_pixels=1_000_000)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm"])
def test_a_colour_picture_is_blue_green_red_to_the_last_byte(suffix):
    assert np.array_equal(decode(encoded(picture(3), suffix)), picture(3))


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".gif"])
def test_a_lossy_picture_keeps_blue_left_and_red_right(suffix):
    image = decode(encoded(picture(), suffix))
    assert image.shape == (30, 40, 3)
    assert image[:, 2:18, 0].mean() > 150 > image[:, 2:18, 2].mean()
    assert image[:, 22:38, 2].mean() > 150 > image[:, 22:38, 0].mean()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".pgm"])
def test_a_grey_picture_becomes_bgr(suffix):
    image = decode(encoded(np.full((30, 40), 77, np.uint8), suffix))
    assert image.shape == (30, 40, 3)
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - 77).max() <= 1


def test_a_transparent_picture_becomes_bgr():
    bgra = np.dstack([picture(), np.full((30, 40), 9, np.uint8)])
    assert np.array_equal(decode(encoded(bgra)), picture())


def test_a_palette_becomes_bgr():
    palette = chunk(b"PLTE", bytes(v for n in range(16) for v in (n, 2 * n, 200)))
    image = decode(png(16, 16, colour=3, rows=ROWS, extra=palette))
    assert image[0, 5].tolist() == [200, 10, 5]


@pytest.mark.parametrize("size", [(16, 16), (9, 200)])
def test_an_orientation_note_is_ignored(size):
    data = encoded(picture(width=size[1], height=size[0]), ".jpg")
    note = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 0x112, 3, 1, 6) + b"\0\0\0\0"
    turned = data[:2] + b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note + data[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape[:2] == size[::-1], "the note is one"
    assert decode(turned).shape[:2] == size


def grey16() -> np.ndarray:
    return np.full((20, 20), 40_000, np.uint16)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 bytes"),
        (b"not a picture at all", "no picture"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (b"\xff\xd8", "truncated"),
        (encoded(grey16()), "wrong depth: 16-bit; expected 8-bit"),
        (encoded(grey16(), ".tif"), "wrong depth: 16-bit; expected 8-bit"),
        (encoded(np.ones((20, 20, 3), np.float32), ".tif"), "wrong depth: 32-bit float"),
        (b"P5\n20 20\n1023\n" + bytes(800), "wrong depth: 10-bit"),
        (encoded(picture()[:1, :1]), "too small: 1 x 1"),
        (encoded(picture()[:7]), "too small: 40 x 7"),
        (png(0, 16), "0 x 16"),
        (png(16, 16, rows=ROWS[:100]), "cannot be decoded"),
        (png(50_000, 50_000), "too large: 50000 x 50000"),
        (png(16, 16, rows=ROWS, extra=chunk(b"acTL", b"\0\0\0\2\0\0\0\0")), "several pictures"),
        (encoded(picture(), ".gif")[:-1] + b"\x2c" + bytes(8) + b"\0\2\0;", "several pictures"),
    ],
)
def test_what_is_no_whole_8_bit_picture_is_refused_in_words(data, words):
    with pytest.raises(ImageFault, match=words):
        decode(data)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp", ".gif", ".ppm"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_a_cut_file_is_never_taken_as_whole(suffix, share):
    noisy = np.random.default_rng(1).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    data = encoded(noisy, suffix)
    decode(data)
    with pytest.raises(ImageFault):
        decode(data[: int(len(data) * share)])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp", ".gif", ".ppm"])
def test_a_cut_is_seen_without_the_decoder_which_fills_some_up_in_silence(suffix):
    data = encoded(np.random.default_rng(1).integers(0, 255, (60, 80, 3), dtype=np.uint8), suffix)
    assert read_header(data).whole
    if suffix == ".tif":  # its directory lies at the end
        with pytest.raises(ImageFault, match="truncated"):
            read_header(data[:-60])
    else:
        assert not read_header(data[:-60]).whole
        with pytest.raises(ImageFault, match="ends before its picture does"):
            decode(data[:-60])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".gif", ".ppm"])
def test_a_header_knows_the_size_before_anything_is_decoded(suffix):
    header = read_header(encoded(picture(width=77, height=33), suffix))
    assert (header.width, header.height, header.whole, header.several) == (77, 33, True, False)


def test_a_small_file_cannot_ask_for_much_memory():
    bomb = png(20_000, 20_000, rows=bytes(20_001) * 200)
    tracemalloc.start()
    with pytest.raises(ImageFault, match="too large"):
        decode_picture(bomb, max_pixels=40_000_000)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_the_limit_is_inclusive():
    data = encoded(picture(width=40, height=30))
    assert decode_picture(data, max_pixels=1200).shape == (30, 40, 3)
    with pytest.raises(ImageFault, match="too large"):
        decode_picture(data, max_pixels=1199)
