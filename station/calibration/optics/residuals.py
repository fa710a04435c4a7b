"""Where in the picture does the calibrated lens still miss, and where was the board never seen?

Each corner of each view is an arrow from where it was predicted towards where it was found, enlarged until it can be
seen. Arrows that point every way are noise; arrows that agree with their neighbours are a lens that the model does not
describe, or a board that is not flat.
"""

from __future__ import annotations

import cv2
import numpy as np

from station.calibration.optics.lens import LensFit
from station.core.part import BgrImage

WIDTH = 1280
_GROUND, _EMPTY, _GOOD, _BAD, _INK = (245, 245, 245), (190, 200, 255), (150, 100, 20), (30, 30, 200), (40, 40, 40)
_LONG = 0.03  # of the width: the arrow of the 95th percentile


def residual_picture(fit: LensFit) -> BgrImage:
    """The arrows over the field; cells in which no corner was ever seen are tinted.

    Returns:
        ``(height, 1280, 3)`` BGR, a line of words at the foot.
    """
    lens = fit.lens
    zoom = WIDTH / lens.width
    field = round(lens.height * zoom)
    canvas = np.full((field + 40, WIDTH, 3), _GROUND, np.uint8)
    down, across = fit.cells.shape
    for row, column in zip(*np.nonzero(fit.cells == 0), strict=True):
        x0, x1 = (round(WIDTH * int(c) / across) for c in (column, column + 1))
        y0, y1 = (round(field * int(r) / down) for r in (row, row + 1))
        cv2.rectangle(canvas, (x0, y0), (x1, y1), _EMPTY, -1)
    length = np.linalg.norm(fit.off, axis=1)
    typical = max(float(np.percentile(length, 95)), 1e-3)
    gain = _LONG * WIDTH / typical
    for (x, y), (dx, dy), far in zip(fit.at * zoom, fit.off * gain, length, strict=True):
        colour = _BAD if far > typical else _GOOD
        start, end = (round(x), round(y)), (round(x + dx), round(y + dy))
        cv2.arrowedLine(canvas, start, end, colour, 1, cv2.LINE_AA, tipLength=0.25)
    words = (
        f"rms {lens.rms_px:.3f} px over {lens.corners} corners in {lens.views} views; arrows {gain / zoom:.0f} times "
        f"as long; field seen {lens.coverage:.0%}"
    )
    cv2.putText(canvas, words, (12, field + 26), cv2.FONT_HERSHEY_SIMPLEX, 0.55, _INK, 1, cv2.LINE_AA)
    return canvas
