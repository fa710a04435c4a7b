"""One known camera, calibrated once for all tests: its views of the board, its lens, its plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from station.calibration.optics.board import Board, find_corners
from station.calibration.optics.lens import LensFit, View, fit_lens
from station.calibration.optics.plane import Plane, fit_plane
from station.core.part import BgrImage
from tests.calibration.rendered import (
    BELT,
    BOARD,
    CAMERA,
    KnownCamera,
    Pose,
    board_views,
    charuco_texture,
    looking_at,
    render,
)


@dataclass(frozen=True)
class Known:
    """The camera with its truth, and what was measured of it."""

    camera: KnownCamera
    board: Board
    pictures: tuple[BgrImage, ...]
    views: list[View]
    fit: LensFit
    belt: Pose
    belt_picture: BgrImage
    plane: Plane

    def truth_mm(self, pixels: NDArray[np.float64], *, above_mm: float = 0.0) -> NDArray[np.float64]:
        """Where pixels of the camera's picture lie on the belt, by the truth alone."""
        return looking_at(self.camera, pixels, self.belt, above_mm=above_mm)


@pytest.fixture(scope="session")
def known() -> Known:
    board = Board(columns=BOARD[0], rows=BOARD[1], square_mm=BOARD[2], marker_mm=BOARD[3])
    pictures = board_views()
    views = [View(f"view {n}", find_corners(picture, board)) for n, picture in enumerate(pictures)]
    fit = fit_lens(views, CAMERA.size)
    belt_picture = render(CAMERA, charuco_texture(*BOARD), BELT, seed=99)
    plane = fit_plane(find_corners(belt_picture, board), CAMERA.size, lens=fit.lens)
    return Known(CAMERA, board, pictures, views, fit, BELT, belt_picture, plane)
