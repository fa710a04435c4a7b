"""Is a stamp small, true to its picture, and never in the way of one that cannot be read?"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from station.panel.thumbnails import KEPT, SIDE, Thumbnails


def written(path: Path, width: int, height: int) -> Path:
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2] = (0, 0, 255)  # red on the left
    cv2.imwrite(str(path), image)
    return path


@pytest.mark.parametrize(
    ("size", "small"),
    [((2448, 2048), (192, 161)), ((640, 640), (192, 192)), ((800, 100), (192, 24)), ((100, 60), (100, 60))],
)
def test_a_stamp_keeps_the_shape_and_is_never_larger_than_the_picture(
    tmp_path: Path, size: tuple[int, int], small: tuple[int, int]
) -> None:
    made = Thumbnails().of(written(tmp_path / "a.jpg", *size))
    assert made is not None
    image = cv2.imdecode(np.frombuffer(made, np.uint8), cv2.IMREAD_COLOR)
    assert (image.shape[1], image.shape[0]) == small
    assert max(small) <= SIDE
    middle, quarter = small[1] // 2, small[0] // 4
    assert image[middle, quarter, 2] > 200, "red on the left"
    assert image[middle, 3 * quarter].max() < 40, "black on the right"


def test_what_cannot_be_read_has_no_stamp(tmp_path: Path) -> None:
    stamps = Thumbnails()
    assert stamps.of(tmp_path / "gone.jpg") is None
    (tmp_path / "half.jpg").write_bytes(b"no picture")
    assert stamps.of(tmp_path / "half.jpg") is None
    (tmp_path / "empty.jpg").write_bytes(b"")
    assert stamps.of(tmp_path / "empty.jpg") is None
    written(tmp_path / "gone.jpg", 300, 300)
    assert stamps.of(tmp_path / "gone.jpg") is not None, "asked for again, it is looked for again"


def test_a_stamp_is_made_once_and_the_oldest_is_forgotten(tmp_path: Path) -> None:
    stamps = Thumbnails()
    first = stamps.of(written(tmp_path / "first.jpg", 300, 300))
    (tmp_path / "first.jpg").unlink()
    assert stamps.of(tmp_path / "first.jpg") is first
    for n in range(KEPT):
        written(tmp_path / f"{n}.jpg", 16, 16)
        stamps.of(tmp_path / f"{n}.jpg")
    assert stamps.of(tmp_path / "first.jpg") is None
