"""How does the board get onto paper true to scale? As a PDF of one page, drawn in millimetres.

Vectors, so no printer's resolution is in it: one path of rectangles, filled once, so that neighbours leave no seam.
Along two sides runs a ruler of 100 mm, because a driver that "fits to page" scales without a word, and a printer may
scale paper feed and carriage differently. PDF 1.4 after ISO 32000-1: four objects, one of them compressed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from station.calibration.optics.board import Board
from station.core.errors import DataRefused

PAPERS_MM = {"a5": (210, 148), "a4": (297, 210), "a3": (420, 297), "a2": (594, 420), "letter": (279.4, 215.9)}
"""Width and height, lying."""

RULER_MM = 100
_POINTS = 72.0 / 25.4  # in a millimetre
_LEFT, _BELOW, _MARGIN = 18.0, 20.0, 6.0  # millimetres: room for the rulers, and what no printer prints on
_TEXT = 3.2  # millimetres


def board_pdf(board: Board, paper: str = "a4") -> bytes:
    """The board on one page, with rulers and its sizes in words.

    Args:
        board: What to print.
        paper: One of :data:`PAPERS_MM`, used lying.

    Raises:
        DataRefused: There is no such paper, or the board does not fit on it; says what fits.
    """
    if paper not in PAPERS_MM:
        raise DataRefused(f"no paper {paper!r}: name one of {', '.join(PAPERS_MM)}")
    width, height = PAPERS_MM[paper]
    wide, high = board.size_mm
    room = (width - _LEFT - _MARGIN, height - _BELOW - _MARGIN)
    if wide > room[0] or high > room[1]:
        most = min(room[0] / board.columns, room[1] / board.rows)
        raise DataRefused(
            f"{board.columns} x {board.rows} squares of {board.square_mm:g} mm do not fit on {paper} "
            f"({room[0]:g} x {room[1]:g} mm are free): take squares of at most {most:.4g} mm, fewer squares or more "
            "paper"
        )
    x, y = _LEFT + (room[0] - wide) / 2, height - _MARGIN - (room[1] - high) / 2
    lines = [f"{_POINTS:.9f} 0 0 {_POINTS:.9f} 0 0 cm", "0 g"]
    lines += [f"{x + u:.5f} {y - v - h:.5f} {w:.5f} {h:.5f} re" for u, v, w, h in board.black_mm()]
    lines += ["f", *_rulers(), *_words(board)]
    return _document("\n".join(lines).encode("ascii"), width * _POINTS, height * _POINTS)


def _rulers() -> Iterator[str]:
    yield "0.1 w"
    for at in range(RULER_MM + 1):
        tick = 4.0 if at % 10 == 0 else 2.8 if at % 5 == 0 else 1.8
        yield f"{_LEFT + at} 10 m {_LEFT + at} {10 + tick:g} l S"
        yield f"10 {_BELOW + at} m {10 + tick:g} {_BELOW + at} l S"
    yield f"{_LEFT} 10 m {_LEFT + RULER_MM} 10 l S 10 {_BELOW} m 10 {_BELOW + RULER_MM} l S"


def _words(board: Board) -> Iterator[str]:
    said = (
        f"{board.columns} x {board.rows} squares of {board.square_mm:g} mm, markers {board.marker_mm:g} mm "
        f"({board.dictionary}). Print at 100 %. Both rulers must measure {RULER_MM}.0 mm; if not, give --printed-mm."
    )
    yield f"BT /F {_TEXT} Tf {_LEFT} 5.5 Td ({said.replace('(', chr(92) + '(').replace(')', chr(92) + ')')}) Tj ET"


def _document(content: bytes, width: float, height: float) -> bytes:
    packed = zlib.compress(content, 9)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /ViewerPreferences << /PrintScaling /None >> >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width:.5f} {height:.5f}] /Contents 4 0 R /Resources "
        "<< /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>".encode("ascii"),
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(packed) + packed + b"\nendstream",
    ]
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, content_of in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n" % number + content_of + b"\nendobj\n"
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)
