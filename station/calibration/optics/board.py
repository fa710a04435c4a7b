"""Which printed board lies before the camera, and where are its corners in this picture?

A ChArUco board: a chessboard whose white squares hold numbered markers, so that a corner is known by its number also
where only a part of the board is seen (Garrido-Jurado et al., Pattern Recognition 47 (2014) 2280-2292; OpenCV's
``cv2.aruco.CharucoDetector``). Board millimetres run from the outer corner of the first square, x to the right, y
downwards as the board lies on the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from station.calibration.optics.record import Record
from station.core.part import BgrImage, check_bgr

Points = NDArray[np.float64]
"""``(n, 2)`` ``float64``, x and y."""

LEAST_CORNERS = 12
"""A view with fewer corners says too little about the lens: 24 numbers for the 6 of its pose and the lens's 9."""

# The same markers in each, so many of them. What is found is compared with a whole dictionary: 100 markers take 40 ms
# for a picture of 640 x 480, 1000 take 400.
_DICTIONARIES = {
    50: cv2.aruco.DICT_5X5_50,
    100: cv2.aruco.DICT_5X5_100,
    250: cv2.aruco.DICT_5X5_250,
    1000: cv2.aruco.DICT_5X5_1000,
}
_BITS = 7  # cells of a marker along one side, its black rim included
_CLEAR = 0.7  # window of the corner refinement, as a share of the way from a corner to the next marker


class Board(Record):
    """The printed board. Sizes as they are on the paper, not as they were meant to be."""

    columns: int = Field(default=12, ge=4, le=40, description="Squares from left to right.")
    rows: int = Field(default=9, ge=4, le=40, description="Squares from top to bottom.")
    square_mm: float = Field(default=20.0, gt=0.1, le=500, description="Side of a square on the paper.")
    marker_mm: float = Field(default=15.0, gt=0.05, le=500, description="Side of a marker on the paper.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not 0.4 * self.square_mm <= self.marker_mm <= 0.9 * self.square_mm:
            raise ValueError(
                f"marker_mm {self.marker_mm:g} must be 40 to 90 % of square_mm {self.square_mm:g}: smaller ones are "
                "not read, larger ones touch the squares"
            )
        return self

    @property
    def dictionary(self) -> str:
        """Name of the markers' dictionary, the smallest that is enough."""
        return f"DICT_5X5_{self._enough}"

    @property
    def _enough(self) -> int:
        return next(count for count in _DICTIONARIES if self.columns * self.rows // 2 <= count)

    @property
    def size_mm(self) -> tuple[float, float]:
        """Width and height of the board."""
        return self.columns * self.square_mm, self.rows * self.square_mm

    @property
    def corners(self) -> int:
        """Inner corners of the chessboard."""
        return (self.columns - 1) * (self.rows - 1)

    def scaled(self, factor: float) -> Board:
        """The board as it came out of a printer that prints ``factor`` times as large."""
        return Board(
            columns=self.columns,
            rows=self.rows,
            square_mm=self.square_mm * factor,
            marker_mm=self.marker_mm * factor,
        )

    def black_mm(self) -> Points:
        """All that is black: rectangles ``(n, 4)`` as x, y, width, height in board millimetres.

        Rectangles touch and do not overlap; runs of black cells in a row of a marker are one rectangle.
        """
        square, marker = self.square_mm, self.marker_mm
        charuco, dictionary = _charuco(self)
        found, taken = [], set()
        for number, corners in zip(charuco.getIds(), charuco.getObjPoints(), strict=True):
            x, y = np.asarray(corners)[0, :2]
            taken.add((int(x // square), int(y // square)))
            cells = dictionary.generateImageMarker(int(np.ravel(number)[0]), _BITS, borderBits=1) == 0
            cell = marker / _BITS
            for row, line in enumerate(cells):
                ends = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(np.int8), [0]])))
                for begin, end in ends.reshape(-1, 2):
                    found.append((x + begin * cell, y + row * cell, (end - begin) * cell, cell))
        for column in range(self.columns):
            for row in range(self.rows):
                if (column, row) not in taken:
                    found.append((column * square, row * square, square, square))
        return np.array(found, dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Corners:
    """The chessboard's inner corners that were found in one picture.

    Attributes:
        ids: ``(n,)`` ``int``, number of the corner on the board.
        pixels: ``(n, 2)``, where it lies in the picture, to a fraction of a pixel.
        board_mm: ``(n, 2)``, where it lies on the board.
    """

    ids: NDArray[np.int64]
    pixels: Points
    board_mm: Points

    def __len__(self) -> int:
        return len(self.ids)


def find_corners(image: BgrImage, board: Board) -> Corners:
    """Finds the board's inner corners; none where the board is not seen.

    Args:
        image: BGR pixels.
        board: What to look for.

    Returns:
        As many corners as lie beside a marker that was read, each refined to a fraction of a pixel.

    Raises:
        ImageFault: It is no BGR picture.
    """
    grey = np.asarray(cv2.cvtColor(check_bgr(image), cv2.COLOR_BGR2GRAY), np.uint8)
    charuco, _ = _charuco(board)
    pixels, ids, _, _ = cv2.aruco.CharucoDetector(charuco).detectBoard(grey)
    if ids is None or len(ids) == 0:
        return Corners(np.empty(0, np.int64), np.empty((0, 2)), np.empty((0, 2)))
    numbers = np.ravel(np.asarray(ids)).astype(np.int64)
    places = np.asarray(charuco.getChessboardCorners(), dtype=np.float64)[numbers, :2]
    found = np.asarray(pixels, dtype=np.float32).reshape(-1, 1, 2)
    if len(numbers) >= 4:
        found = _refined(grey, found, places, board)
    return Corners(numbers, found.reshape(-1, 2).astype(np.float64), places)


def _refined(grey: NDArray[np.uint8], found: NDArray[np.float32], places: Points, board: Board) -> NDArray[np.float32]:
    """The corners once more, in a window that keeps clear of the markers and is as large as that allows."""
    ways, _ = cv2.findHomography(places, found.reshape(-1, 2).astype(np.float64), 0)
    if ways is None:
        return found
    step = np.array([[board.square_mm, 0.0], [0.0, board.square_mm]])
    side = min(
        float(np.median(np.linalg.norm(_through(ways, places + move) - _through(ways, places), axis=1)))
        for move in step
    )
    half = max(2, min(12, int(_CLEAR * side * (board.square_mm - board.marker_mm) / (2 * board.square_mm))))
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 60, 1e-4)
    again = cv2.cornerSubPix(grey, found.copy(), (half, half), (-1, -1), criteria)
    return np.asarray(again, dtype=np.float32)


def _through(ways: NDArray[Any], points: Points) -> Points:
    return np.asarray(cv2.perspectiveTransform(points.reshape(-1, 1, 2), ways), np.float64).reshape(-1, 2)


@lru_cache(maxsize=4)
def _charuco(board: Board) -> tuple[cv2.aruco.CharucoBoard, cv2.aruco.Dictionary]:
    dictionary = cv2.aruco.getPredefinedDictionary(_DICTIONARIES[board._enough])
    size = (board.columns, board.rows)
    return cv2.aruco.CharucoBoard(size, board.square_mm, board.marker_mm, dictionary), dictionary
