"""Where does a part lie against the picture of a good part?

A similarity (rotation by any angle, shift, scale within :data:`SCALE_RANGE`) is sought that lays a reference picture
over a part picture::

    grey --edges--> |gradient|^0.5 --Fourier-Mellin--> angles, scales --correlation--> shifts --ECC--> the similarity
                    (light drops out)  (a few peaks, each and its half turn)         (best 3)  (coarse, then fine)

The start is Reddy & Chatterji, IEEE Trans. Image Processing 5 (1996) 1266-1271: the spectrum's magnitude does not know
the shift, and in log-polar coordinates rotation and scale of the picture are shifts of it. It cannot tell an angle from
its half turn, so both are tried; a part with n-fold symmetry has n angles of which each is right, and the one whose
light fits best wins. The refinement maximises the enhanced correlation coefficient of Evangelidis & Psarakis, IEEE
Trans. Pattern Analysis and Machine Intelligence 30 (2008) 1858-1865, forward additive. It is written out here because
OpenCV's own knows rigid and affine motion only: the one cannot scale, the other can shear.

Pure functions; the same two pictures give the same answer. Pixels are named by their centres, as OpenCV does it: the
middle of the first pixel is (0, 0).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from station.core.part import BgrImage, check_bgr

SCALE_RANGE = 0.10  # a part may be so much larger or smaller than its reference
# Measured on 320 simulated discs: 0.79 up where aligned, 0.64 at most half a hole pitch off; other products 0.36.
LEAST_SCORE = 0.65
LEAST_OVERLAP = 0.5  # of the smaller picture

_FINE, _COARSE = 256, 96  # longer side of the copies that are compared, in pixels
_CANVAS = 128  # the coarse copy lies in the middle of this, so that a shift does not wrap around
_ANGLES, _RADII = 180, 128  # log-polar spectrum: half a turn, 1 degree a row; radius 1 to _CANVAS / 2
_LOG_STEP = math.log(_CANVAS / 2) / _RADII
_PEAKS = 6  # angles modulo half a turn that are followed up
_REFINED = 3  # starts that are refined on the coarse copies
_STEPS = 25  # of one refinement
_STILL, _SETTLED = 0.01, 0.1  # pixels a step moves a corner: below the first it ends, above the second it never did
_SMOOTH = 1.0  # pixels of blur before slopes are taken
_APART = 4  # rows: degrees between two peaks
_SCALE_SLACK = 0.02
_NARROW = 8  # pixels of the coarse copy
_BACKWARD = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
_ALIKE = 1.25  # ratio of the longer sides up to which both pictures are taken to show pixels of one size
_FLAT = 1.0  # grey values: a picture whose greys vary less shows nothing

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Registration:
    """How a reference lies over a part.

    Attributes:
        matrix: ``(2, 3)`` ``float64``, reference pixels to part pixels, a similarity. Where ``good`` is False it is the
            best that was found and may be wrong.
        score: Correlation of the two edge pictures where they overlap after alignment, in [-1, 1].
        good: Whether the alignment can be trusted: ``score`` reaches :data:`LEAST_SCORE` and nothing went wrong.
        words: What was found, or why the alignment cannot be trusted.
    """

    matrix: Matrix = field(repr=False)
    score: float
    good: bool
    words: str

    @property
    def rotation_deg(self) -> float:
        """Degrees by which the reference is turned clockwise (y points down), in (-180, 180]."""
        return math.degrees(math.atan2(self.matrix[1, 0], self.matrix[0, 0]))

    @property
    def scale(self) -> float:
        """Part pixels per reference pixel."""
        return math.hypot(self.matrix[0, 0], self.matrix[1, 0])


def register(part: BgrImage, reference: BgrImage) -> Registration:
    """Finds where the reference lies in the part picture.

    The pictures may differ in size. Longer sides that differ by more than a quarter may come from another margin or
    from another resolution: then both are tried.

    Args:
        part: BGR pixels of the part.
        reference: BGR pixels of a good part.

    Returns:
        The best alignment; ``good`` says whether it can be trusted. Ordinary pictures never raise.

    Raises:
        ImageFault: One of them is no BGR picture.
    """
    long_part, long_reference = (max(check_bgr(image).shape[:2]) for image in (part, reference))
    fit = long_part / long_reference
    scales = (1.0,) if 1 / _ALIKE <= fit <= _ALIKE else (1.0, fit)
    if any(float(_grey(image).std()) < _FLAT for image in (part, reference)):
        return Registration(_plain(part, reference), 0.0, False, "not aligned: one of the pictures is flat")
    found = [_aligned(part, reference, scale) for scale in scales]
    return max(found, key=lambda one: (one.good, one.score))


def warp(reference: BgrImage, registration: Registration, size: tuple[int, int]) -> BgrImage:
    """The reference as it would look if it lay where the part lies.

    Args:
        reference: BGR pixels, the picture that was registered.
        registration: From :func:`register`.
        size: ``(width, height)`` of the part picture.

    Returns:
        ``(height, width, 3)``; black where the reference does not reach.
    """
    return np.asarray(cv2.warpAffine(reference, registration.matrix, size, flags=cv2.INTER_LINEAR), dtype=np.uint8)


def _aligned(part: BgrImage, reference: BgrImage, scale: float) -> Registration:
    """The best alignment whose scale is ``scale`` within :data:`SCALE_RANGE`."""
    sides = [*part.shape[:2], *(scale * side for side in reference.shape[:2])]
    matrix = _plain(part, reference)
    if min(sides) * min(1.0, _COARSE / max(sides)) < _NARROW:
        return Registration(matrix, 0.0, False, "not aligned: one of the pictures is too narrow")
    score, settled = -1.0, False
    for side in (_COARSE, _FINE):
        factor = min(1.0, side / max(sides))
        to_part, edges = _edges(part, factor)
        to_reference, wanted = _edges(reference, factor * scale)
        if side == _COARSE:
            starts = sorted(_starts(edges, wanted), key=lambda start: -_correlation(edges, wanted, start))
            ends = [_refined(edges, wanted, start)[0] for start in starts[:_REFINED]]
            end = max(ends, key=lambda end: _correlation(edges, wanted, end))
        else:
            end, settled = _refined(edges, wanted, _joined(to_part, matrix, _inverse(to_reference)))
            score = _correlation(edges, wanted, end)
        matrix = _joined(_inverse(to_part), end, to_reference)
    words = _doubt(matrix, score, scale, settled)
    return Registration(matrix, score, words is None, words or f"aligned, correlation {score:.2f}")


def _doubt(matrix: Matrix, score: float, scale: float, settled: bool) -> str | None:
    """Why an alignment cannot be trusted; ``None`` where it can."""
    found = math.hypot(matrix[0, 0], matrix[1, 0]) / scale
    if score <= -1.0:
        return "not aligned: the pictures hardly overlap"
    if not settled:
        return "not aligned: there is no place where the two settle on one another"
    if not abs(found - 1.0) <= SCALE_RANGE + _SCALE_SLACK:
        return f"not aligned: the part would be {found:.2f} times as large as its reference"
    if not score >= LEAST_SCORE:
        return f"not aligned: correlation {score:.2f}, at least {LEAST_SCORE:g} is needed"
    return None


def _grey(image: BgrImage) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), dtype=np.uint8)


def _edges(image: BgrImage, factor: float) -> tuple[Matrix, Floats]:
    """A copy ``factor`` times as large that shows edges and neither light nor contrast.

    The root keeps a few strong edges from outvoting all others.

    Returns:
        Matrix ``(2, 3)`` from the picture's pixels to the copy's; ``float32`` ``(h, w)``, mean 0, deviation 1.
    """
    how = cv2.INTER_AREA if factor < 1.0 else cv2.INTER_LINEAR
    small = cv2.resize(_grey(image), None, fx=factor, fy=factor, interpolation=how).astype(np.float32)
    smooth = cv2.GaussianBlur(small, (0, 0), _SMOOTH)
    gx, gy = cv2.Scharr(smooth, cv2.CV_32F, 1, 0), cv2.Scharr(smooth, cv2.CV_32F, 0, 1)
    edges = np.sqrt(np.sqrt(gx * gx + gy * gy))  # cv2.magnitude's last bit depends on where in memory it works
    edges = (edges - float(edges.mean())) / max(float(edges.std()), 1e-6)
    corner = (factor - 1.0) / 2.0  # pixels are named by their centres
    return np.array([[factor, 0.0, corner], [0.0, factor, corner]]), np.asarray(edges, dtype=np.float32)


def _starts(edges: Floats, wanted: Floats) -> list[Matrix]:
    """Where the reference may lie, by Fourier-Mellin: each likely angle and its half turn, best shift of each.

    Returns:
        Matrices from pixels of ``wanted`` to pixels of ``edges``.
    """
    (part, part_at), (reference, reference_at) = _on_canvas(edges), _on_canvas(wanted)
    turns = []
    for angle, scale in _turns(_log_polar(part), _log_polar(reference)):
        for half in (0.0, math.pi):
            a, b = scale * math.cos(angle + half), scale * math.sin(angle + half)
            middle = _CANVAS / 2
            turns.append(np.array([[a, -b, middle * (1 - a + b)], [b, a, middle * (1 - a - b)]]))
    turned = np.stack([cv2.warpAffine(reference, turn, (_CANVAS, _CANVAS)) for turn in turns])
    fits = fft.irfft2(fft.rfft2(part) * fft.rfft2(turned).conj(), s=part.shape)
    found = []
    for turn, fit in zip(turns, fits, strict=True):
        y, x = ((at + _CANVAS // 2) % _CANVAS - _CANVAS // 2 for at in divmod(int(fit.argmax()), _CANVAS))
        found.append(_joined(_shift(x - part_at[0], y - part_at[1]), turn, _shift(*reference_at)))
    return found


def _on_canvas(edges: Floats) -> tuple[Floats, tuple[int, int]]:
    """``edges`` faded out at its borders (Hann) in the middle of the canvas, and where its first pixel lies there."""
    height, width = edges.shape
    x, y = (_CANVAS - width) // 2, (_CANVAS - height) // 2
    canvas = np.zeros((_CANVAS, _CANVAS), np.float32)
    canvas[y : y + height, x : x + width] = edges * cv2.createHanningWindow((width, height), cv2.CV_32F)
    return canvas, (x, y)


def _log_polar(canvas: Floats) -> Floats:
    """Magnitude of the spectrum over angle (half a turn, rows) and log radius (columns), less the mean."""
    spectrum = np.log1p(np.abs(fft.fftshift(fft.fft2(canvas)))).astype(np.float32)
    how = cv2.WARP_POLAR_LOG | cv2.INTER_LINEAR | cv2.WARP_FILL_OUTLIERS  # else they hold what the memory held
    middle = _CANVAS / 2
    whole = cv2.warpPolar(spectrum, (_RADII, 2 * _ANGLES), (middle, middle), middle, how)
    half = whole[:_ANGLES, _RADII // 3 :]  # the smallest radii hold a few pixels, and no detail
    return np.asarray(half - half.mean(axis=0), dtype=np.float32)


def _turns(part: Floats, reference: Floats) -> list[tuple[float, float]]:
    """The likeliest ``(angle in radians, scale)`` of the reference, angles modulo half a turn."""
    fade = np.hanning(part.shape[1]).astype(np.float32)
    cross = fft.fft2(part * fade) * fft.fft2(reference * fade).conj()
    cross /= np.sqrt(np.abs(cross) + 1e-3 * float(np.abs(cross).mean()) + 1e-12)  # half way to phase correlation
    reach = math.ceil(math.log(1.0 + SCALE_RANGE) / _LOG_STEP)
    columns = np.arange(-reach, reach + 1)
    near = fft.ifft2(cross).real[:, columns]
    heights = near.max(axis=1)
    found: list[tuple[float, float]] = []
    while len(found) < _PEAKS:
        row = int(heights.argmax())
        # The spectrum of a larger part is narrower.
        found.append((math.pi * row / _ANGLES, math.exp(-_LOG_STEP * float(columns[near[row].argmax()]))))
        heights[np.arange(row - _APART, row + _APART + 1) % _ANGLES] = -np.inf
    return found


def _refined(edges: Floats, wanted: Floats, start: Matrix) -> tuple[Matrix, bool]:
    """Maximises the enhanced correlation coefficient over the four numbers of a similarity.

    Args:
        edges: The part's.
        wanted: The reference's.
        start: From pixels of ``wanted`` to pixels of ``edges``.

    Returns:
        The refined matrix, and whether it came to rest.
    """
    height, width = wanted.shape
    half = max(height, width) / 2
    x, y = (width - 1) / 2, (height - 1) / 2
    u = np.tile(((np.arange(width, dtype=np.float32) - x) / half), height)
    v = np.repeat(((np.arange(height, dtype=np.float32) - y) / half), width)
    slopes = (cv2.Scharr(edges, cv2.CV_32F, *way, scale=1 / 32) for way in ((1, 0), (0, 1)))
    layers = cv2.merge([edges, *slopes, np.ones_like(edges)])
    flat = wanted.ravel()
    to_unit = np.array([[1 / half, 0.0, -x / half], [0.0, 1 / half, -y / half]])
    matrix, moved = _joined(start, _inverse(to_unit)), math.inf
    for _ in range(_STEPS):
        seen = cv2.warpAffine(layers, _joined(matrix, to_unit), (width, height), flags=_BACKWARD)
        now, gx, gy, inside = seen.reshape(-1, 4).T
        mask = (inside > 0.999).astype(np.float32)
        count = float(mask.sum())
        if count < 0.25 * LEAST_OVERLAP * mask.size:
            return start, False
        slope = np.stack([gx * u + gy * v, gy * u - gx * v, gx, gy])
        slope = (slope - (slope @ mask)[:, None] / count) * mask
        now = (now - float(now @ mask) / count) * mask
        goal = (flat - float(flat @ mask) / count) * mask
        gram = (slope @ slope.T).astype(np.float64)
        gram += np.eye(4) * (1e-6 * float(np.trace(gram)) + 1e-9)
        of_now, of_goal = (slope @ now).astype(np.float64), (slope @ goal).astype(np.float64)
        inverse = np.linalg.inv(gram)
        below = float(goal @ now) - of_goal @ inverse @ of_now
        if below <= 0.0:  # uphill leads away from here
            return start, False
        gain = (float(now @ now) - of_now @ inverse @ of_now) / below
        a, b, dx, dy = inverse @ (gain * of_goal - of_now)
        matrix = matrix + np.array([[a, -b, dx], [b, a, dy]])
        moved = math.hypot(a, b) * math.sqrt(2) + math.hypot(dx, dy)
        if not moved < max(width, height):
            return start, False
        if moved < _STILL:
            break
    return _joined(matrix, to_unit), moved < _SETTLED


def _correlation(edges: Floats, wanted: Floats, matrix: Matrix) -> float:
    """Of the two where they overlap, in [-1, 1]; -1 where that is less than :data:`LEAST_OVERLAP`."""
    height, width = wanted.shape
    layers = cv2.merge([edges, np.ones_like(edges)])
    now, inside = cv2.warpAffine(layers, matrix, (width, height), flags=_BACKWARD).reshape(-1, 2).T
    kept = inside > 0.999
    area = float(edges.size) / abs(float(np.linalg.det(matrix[:, :2])))
    if np.count_nonzero(kept) < LEAST_OVERLAP * min(area, float(wanted.size)):
        return -1.0
    ours, theirs = now[kept].astype(np.float64), wanted.ravel()[kept].astype(np.float64)
    ours -= ours.mean()
    theirs -= theirs.mean()
    norm = math.sqrt(float(ours @ ours) * float(theirs @ theirs))
    return min(max(float(ours @ theirs) / norm, -1.0), 1.0) if norm > 1e-9 else 0.0


def _plain(part: BgrImage, reference: BgrImage) -> Matrix:
    """The reference unturned, as large as fits, in the middle of the part picture."""
    (height, width), (h, w) = part.shape[:2], reference.shape[:2]
    scale = min(width / w, height / h)
    x, y = ((width - 1) - scale * (w - 1)) / 2, ((height - 1) - scale * (h - 1)) / 2
    return np.array([[scale, 0.0, x], [0.0, scale, y]])


def _shift(x: float, y: float) -> Matrix:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y]])


def _joined(last: Matrix, *before: Matrix) -> Matrix:
    """One matrix for several, the rightmost applied first."""
    whole = np.vstack([last, [0.0, 0.0, 1.0]])
    for matrix in before:
        whole = whole @ np.vstack([matrix, [0.0, 0.0, 1.0]])
    return np.asarray(whole[:2], dtype=np.float64)


def _inverse(matrix: Matrix) -> Matrix:
    return np.asarray(cv2.invertAffineTransform(matrix), dtype=np.float64)
