"""Do these bytes hold one whole 8-bit picture, and which?

Nothing is guessed or converted quietly: a picture of another depth, a cut one, several in one file or one too
large is refused in words. Grey and transparent ones become BGR. Orientation notes (EXIF) are ignored, here as in
videos: pixels are taken as they lie in the file, so boxes mean the same everywhere.
"""

from __future__ import annotations

import cv2
import numpy as np

from station.core.errors import ImageFault
from station.core.part import BgrImage, check_bgr
from station.sources.headers import Header, read_header


def decode_picture(data: bytes, *, max_pixels: int) -> BgrImage:
    """Decodes a picture file held in memory into BGR ``uint8`` of shape ``(height, width, 3)``.

    Raises:
        ImageFault: It is no whole, single 8-bit picture of at most ``max_pixels`` pixels; says why.
    """
    if not data:
        raise ImageFault("empty file: 0 bytes")
    header = read_header(data)
    _check(header, max_pixels=max_pixels)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageFault(f"cannot be decoded as {header.kind}: {error.err or 'decoder failed'}") from error
    if image is None:
        raise ImageFault(f"truncated or damaged {header.kind}: it cannot be decoded")
    if image.dtype != np.uint8:
        raise ImageFault(f"wrong depth: {image.dtype.name}; expected 8-bit")
    if image.shape[:2] != (header.height, header.width):
        raise ImageFault(
            f"damaged {header.kind}: its header promises {header.width} x {header.height} pixels, "
            f"decoded were {image.shape[1]} x {image.shape[0]}"
        )
    return check_bgr(to_bgr(np.asarray(image, np.uint8)))


def to_bgr(image: BgrImage) -> BgrImage:
    """Grey, BGR or BGRA ``uint8`` as a BGR array of its own; transparency is left out.

    Raises:
        ImageFault: It has another number of channels.
    """
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 3:
        return np.ascontiguousarray(image)
    if channels not in (1, 4):
        raise ImageFault(f"wrong colour: {channels} channels; expected grey, BGR or BGRA")
    code = cv2.COLOR_GRAY2BGR if channels == 1 else cv2.COLOR_BGRA2BGR
    return np.asarray(cv2.cvtColor(image, code), np.uint8)


def _check(header: Header, *, max_pixels: int) -> None:
    """Refuses from the header alone, before anything is decoded."""
    kind = header.kind
    if header.width < 1 or header.height < 1:
        raise ImageFault(f"damaged {kind}: its header promises {header.width} x {header.height} pixels")
    if header.width * header.height > max_pixels:
        raise ImageFault(
            f"too large: {header.width} x {header.height} pixels; at most {max_pixels} are decoded "
            f"(health.max_pixels in the recipe)"
        )
    if header.width < 8 or header.height < 8:
        raise ImageFault(f"too small: {header.width} x {header.height} pixels; expected at least 8 x 8")
    if header.number != "unsigned":
        raise ImageFault(f"wrong depth: {header.bits}-bit {header.number}; expected 8-bit unsigned")
    if header.bits > 8 or header.bits < 1:
        raise ImageFault(f"wrong depth: {header.bits}-bit; expected 8-bit")
    allowed = {"JPEG": (1, 3), "PNG": (1, 2, 3, 4)}.get(kind, (1, 3, 4))
    if header.channels not in allowed:
        raise ImageFault(f"wrong colour: {header.channels} channels in a {kind}; expected grey or RGB")
    if header.several:
        raise ImageFault(f"several pictures in one {kind}; give it as a video or save each one by itself")
    if not header.whole:
        raise ImageFault(f"truncated {kind}: the file ends before its picture does")
