"""Is the board found where it is, and does it come out of the printer as large as it says?"""

from __future__ import annotations

import re
import zlib

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from station.calibration.optics.board import Board, find_corners
from station.calibration.optics.paper import PAPERS_MM, RULER_MM, board_pdf
from station.core.errors import DataRefused, ImageFault
from station.core.part import BgrImage
from tests.calibration.optics.conftest import Known
from tests.calibration.rendered import projected

MM = 25.4 / 72  # in a point


def content_of(pdf: bytes) -> tuple[str, float, float]:
    """The page's drawing commands, and its size in millimetres."""
    box = re.search(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf)
    stream = re.search(rb"/Length (\d+).*?stream\n", pdf, re.DOTALL)
    assert box is not None
    assert stream is not None
    packed = pdf[stream.end() : stream.end() + int(stream[1])]
    return zlib.decompress(packed).decode("ascii"), float(box[1]) * MM, float(box[2]) * MM


def printed(pdf: bytes, *, px_per_mm: int = 10) -> BgrImage:
    """What the page's rectangles put on paper: drawn from the file's own numbers, scale of the page included."""
    content, width, height = content_of(pdf)
    scale = re.search(r"([\d.]+) 0 0 ([\d.]+) 0 0 cm", content)
    assert scale is not None
    across, down = float(scale[1]) * MM, float(scale[2]) * MM
    fine = 4
    page = np.full((round(height * px_per_mm) * fine, round(width * px_per_mm) * fine), 255, np.uint8)
    for x, y, w, h in re.findall(r"([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) re", content):
        left, right = (round(v * across * px_per_mm * fine) for v in (float(x), float(x) + float(w)))
        low, high = (round((height - v * down) * px_per_mm * fine) for v in (float(y), float(y) + float(h)))
        page[high:low, left:right] = 0
    small = cv2.resize(page, None, fx=1 / fine, fy=1 / fine, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_GRAY2BGR), np.uint8)


@pytest.mark.parametrize("paper", ["a4", "letter"])
def test_the_printed_board_is_found_again_true_to_scale(paper: str) -> None:
    board = Board(columns=12, rows=9, square_mm=20, marker_mm=15)
    page = printed(board_pdf(board, paper))
    width, height = PAPERS_MM[paper]
    assert page.shape[:2] == (round(height * 10), round(width * 10))
    corners = find_corners(page, board)
    assert len(corners) == board.corners == 88
    steps = np.linalg.lstsq(np.column_stack([corners.board_mm, np.ones(88)]), corners.pixels, rcond=None)[0]
    np.testing.assert_allclose(steps[:2], [[10, 0], [0, 10]], atol=1e-3)  # pixels per millimetre, upright
    left, top = steps[2] / 10
    assert left >= 15
    assert left + 240 <= width - 5
    assert top >= 5
    assert top + 180 <= height - 15


def test_the_rulers_are_100_mm_long_with_a_tick_for_each() -> None:
    content, _, _ = content_of(board_pdf(Board(), "a4"))
    lines = np.array(re.findall(r"([\d.]+) ([\d.]+) m ([\d.]+) ([\d.]+) l", content), dtype=float)
    longest = lines[np.hypot(lines[:, 2] - lines[:, 0], lines[:, 3] - lines[:, 1]) > 50]
    assert sorted((abs(x1 - x0), abs(y1 - y0)) for x0, y0, x1, y1 in longest) == [(0, RULER_MM), (RULER_MM, 0)]
    assert len(lines) == 2 + 2 * (RULER_MM + 1)
    assert "Both rulers must measure 100.0 mm" in content


def test_the_file_is_whole_and_forbids_the_driver_to_scale() -> None:
    pdf = board_pdf(Board(), "a4")
    assert pdf == board_pdf(Board(), "a4")
    assert b"/PrintScaling /None" in pdf
    start = int(pdf.rsplit(b"startxref\n", 1)[1].split()[0])
    places = [int(line.split()[0]) for line in pdf[start:].splitlines()[3:7]]
    for number, place in enumerate(places, start=1):
        assert pdf[place:].startswith(b"%d 0 obj\n" % number)
    stream = re.search(rb"/Length (\d+)", pdf)
    assert stream is not None
    assert pdf[pdf.index(b"stream\n") + 7 + int(stream[1]) :].startswith(b"\nendstream")


@pytest.mark.parametrize(
    ("board", "paper", "words"),
    [
        (Board(square_mm=25, marker_mm=18), "a4", "do not fit on a4 .* squares of at most 20.4"),
        (Board(), "a7", "no paper 'a7': name one of a5, a4"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(board: Board, paper: str, words: str) -> None:
    with pytest.raises(DataRefused, match=words):
        board_pdf(board, paper)


@pytest.mark.parametrize(
    "wrong",
    [{"columns": 3}, {"marker_mm": 19.5}, {"marker_mm": 5.0}, {"square_mm": float("nan")}, {"colour": "blue"}],
)
def test_a_board_that_cannot_be_read_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Board.model_validate(wrong)


@pytest.mark.parametrize(("squares", "markers"), [((10, 10), 50), ((12, 9), 100), ((20, 20), 250), ((40, 40), 1000)])
def test_a_board_has_the_smallest_dictionary_that_is_enough(squares: tuple[int, int], markers: int) -> None:
    """Fewer markers are told apart faster; each dictionary begins with the markers of the smaller one."""
    board = Board(columns=squares[0], rows=squares[1])
    assert board.dictionary == f"DICT_5X5_{markers}"
    assert len(board.black_mm()) > board.columns * board.rows


def test_a_print_that_came_out_smaller_has_smaller_squares() -> None:
    small = Board().scaled(0.997)
    assert small.square_mm == pytest.approx(19.94)
    assert small.marker_mm == pytest.approx(14.955)
    assert (small.columns, small.rows) == (12, 9)


def test_corners_are_found_where_they_are(known: Known) -> None:
    corners = find_corners(known.belt_picture, known.board)
    assert len(corners) >= 50
    truth = projected(known.camera, corners.board_mm, known.belt)
    off = np.linalg.norm(corners.pixels - truth, axis=1)
    assert np.sqrt((off**2).mean()) < 0.1
    assert off.max() < 0.25


def test_no_board_is_no_corner_and_no_picture_is_refused(known: Known) -> None:
    assert len(find_corners(np.full((100, 100, 3), 128, np.uint8), known.board)) == 0
    with pytest.raises(ImageFault):
        find_corners(np.zeros((100, 100), np.uint8), known.board)
