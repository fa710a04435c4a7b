"""A line that shows a part whenever a test asks for one: ``python -m tests.panel.feeding FOLDER``, letters on stdin.

``u`` is uncertain with one scratch, ``d`` with one dent, ``r`` is rejected with three defects, ``p`` passes and is
audited blind.
"""

from __future__ import annotations

import queue
import sys
from pathlib import Path

import cv2
import numpy as np

from station.core.part import BgrImage, Box, Detection, Detections, Frame
from tests.panel.rehearsal import CLASSES, SCORE, Rehearsal, Scripted

DEFECTS = (
    ("scratch", 0.91, (227, 208, 280, 249)),
    ("stain", 0.71, (60, 60, 110, 120)),
    ("dent", 0.44, (60, 250, 130, 300)),
)
"""Of a rejected part; an uncertain one has the first, weaker."""

SIDE = 375
"""Of every part's picture, in pixels."""

HOT = (43, 39)
"""The middle of the heat map's spot, of 64 x 64: over the scratch."""

LANE = 5
"""So many held parts stop the line."""

SHOWN = {"p": (), "u": DEFECTS[:1], "d": DEFECTS[2:], "r": DEFECTS}


class Fed(Scripted):
    """Source and detector over letters that come one by one."""

    def __init__(self) -> None:
        super().__init__("p", parts=1, pause_s=0.0, pictures=4)
        self._fed: queue.Queue[str] = queue.Queue()
        self._letter = self._drawn = ""

    def feed(self, letter: str) -> None:
        self._fed.put(letter)

    def read(self, timeout_s: float) -> Frame | None:
        try:
            self._letter = self._fed.get(timeout=timeout_s)
        except queue.Empty:
            return None
        self._drawn = "u" if self._letter == "d" else self._letter
        self._plan = iter(self._drawn)
        return super().read(timeout_s)

    def detect(self, image: BgrImage) -> Detections:
        found = [(name, min(score, SCORE[self._drawn]), box) for name, score, box in SHOWN[self._letter]]
        heat = np.zeros((64, 64), np.uint8)
        cv2.circle(heat, HOT, 6, 255, -1)
        scores = {name: 0.02 for name, _ in CLASSES} | {name: score for name, score, _ in found}
        return Detections(tuple(Detection(n, s, Box(*b)) for n, s, b in found), scores, heat=heat)


def main() -> None:
    """Runs until stdin ends."""
    folder = Path(sys.argv[1])
    good = Scripted("p", parts=1, pause_s=0.0, pictures=1).read(1.0)
    assert good is not None
    assert good.image is not None
    cv2.imwrite(str(folder / "good.png"), good.image)
    source = Fed()
    line = Rehearsal(folder, "p", audit=1.0, undo_s=1.5, reference="good.png", lane_capacity=LANE, source=source)
    line.start()
    for letters in sys.stdin:
        for letter in letters.strip():
            source.feed(letter)
    line.close()


if __name__ == "__main__":
    main()
