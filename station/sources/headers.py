"""What does a picture file say about itself before anything of it is decoded?

A 33 KB file can ask for gigabytes of pixels, and a decoder believes it. So only formats whose header is read here
are decoded at all: PNG, JPEG, BMP, TIFF, WebP, GIF and PNM.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from station.core.errors import ImageFault


@dataclass(frozen=True, slots=True)
class Header:
    """What the file promises.

    Attributes:
        kind: Format, as people write it.
        width: Pixels.
        height: Pixels.
        bits: Of one channel value (1 to 64), or of a palette's index.
        channels: Values of one pixel; 1 for a palette.
        number: ``"unsigned"``, ``"signed"`` or ``"float"``.
        several: More than one picture in the file.
        whole: The file reaches to the end that its format promises, as far as that can be told cheaply.
    """

    kind: str
    width: int
    height: int
    bits: int
    channels: int
    number: str = "unsigned"
    several: bool = False
    whole: bool = True


def read_header(data: bytes) -> Header:
    """Reads the header of a picture file held in memory; touches no pixel.

    Raises:
        ImageFault: It is none of the formats above, or its header is broken.
    """
    try:
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            return _png(data)
        if data[:2] == b"\xff\xd8":
            return _jpeg(data)
        if data[:2] == b"BM":
            return _bmp(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _tiff(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
        if data[:6] in (b"GIF87a", b"GIF89a"):
            return _gif(data)
        if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace():
            return _pnm(data)
    except (struct.error, IndexError, ValueError) as error:
        raise ImageFault(f"truncated or damaged: its header cannot be read ({error})") from error
    raise ImageFault("no picture: expected PNG, JPEG, BMP, TIFF, WebP, GIF or PNM")


def _png(data: bytes) -> Header:
    width, height, bits, colour = struct.unpack(">IIBB", data[16:26])
    several, at, whole = False, 8, False
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        name = data[at + 4 : at + 8]
        several |= name == b"acTL"
        at += 12 + length
        if name == b"IEND":
            whole = at <= len(data)
            break
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 0)
    return Header("PNG", width, height, bits, channels, several=several, whole=whole)


def _jpeg(data: bytes) -> Header:
    at = 2
    while True:
        while data[at] == 0xFF and data[at + 1] == 0xFF:
            at += 1
        marker = data[at + 1]
        if data[at] != 0xFF or marker == 0xD9:
            raise ValueError("no frame header")
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 2
            continue
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, height, width, channels = struct.unpack(">BHHB", data[at + 4 : at + 10])
            # Some cameras write bytes after the end marker; a file that was cut has no such marker after its scan.
            return Header("JPEG", width, height, bits, channels, whole=data.rfind(b"\xff\xd9") > at + length)
        at += 2 + length


def _bmp(data: bytes) -> Header:
    (offset,) = struct.unpack("<I", data[10:14])
    (size,) = struct.unpack("<I", data[14:18])
    if size == 12:
        width, height, _, bits = struct.unpack("<HHHH", data[18:26])
        packed = 0
    else:
        width, height, _, bits, packed = struct.unpack("<iiHHI", data[18:34])
    width, height = abs(width), abs(height)
    needed = 0 if packed in (1, 2) else offset + (width * bits + 31) // 32 * 4 * height
    channels, depth = {24: (3, 8), 32: (4, 8), 16: (3, 5)}.get(bits, (1, bits))
    return Header("BMP", width, height, depth, channels, whole=len(data) >= needed)


_TIFF_SIZES = {1: "B", 3: "H", 4: "I"}


def _tiff(data: bytes) -> Header:
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack(order + "I", data[4:8])
    (count,) = struct.unpack(order + "H", data[start : start + 2])
    tags: dict[int, list[int]] = {}
    for number in range(count):
        at = start + 2 + 12 * number
        tag, kind, length = struct.unpack(order + "HHI", data[at : at + 8])
        if tag in (256, 257, 258, 273, 277, 279, 324, 325, 339) and kind in _TIFF_SIZES:
            code = order + str(length) + _TIFF_SIZES[kind]
            size = struct.calcsize(code)
            place = at + 8 if size <= 4 else struct.unpack(order + "I", data[at + 8 : at + 12])[0]
            tags[tag] = list(struct.unpack(code, data[place : place + size]))
    (following,) = struct.unpack(order + "I", data[start + 2 + 12 * count : start + 6 + 12 * count])
    number_kind = {2: "signed", 3: "float"}.get(max(tags.get(339, [1])), "unsigned")
    starts, sizes = tags.get(273, tags.get(324, [])), tags.get(279, tags.get(325, []))
    return Header(
        "TIFF",
        width=tags.get(256, [0])[0],
        height=tags.get(257, [0])[0],
        bits=max(tags.get(258, [1])),
        channels=tags.get(277, [1])[0],
        number=number_kind,
        several=following != 0,
        whole=all(a + b <= len(data) for a, b in zip(starts, sizes, strict=False)),
    )


def _webp(data: bytes) -> Header:
    (length,) = struct.unpack("<I", data[4:8])
    whole = len(data) >= 8 + length
    kind = data[12:16]
    if kind == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
        return Header("WebP", width, height, 8, 3, several=bool(data[20] & 2), whole=whole and len(data) >= 30)
    if kind == b"VP8L":
        (packed,) = struct.unpack("<I", data[21:25])
        return Header("WebP", 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF), 8, 3, whole=whole)
    width, height = struct.unpack("<HH", data[26:30])
    return Header("WebP", width & 0x3FFF, height & 0x3FFF, 8, 3, whole=whole)


def _gif(data: bytes) -> Header:
    width, height, flags = struct.unpack("<HHB", data[6:11])
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    pictures, whole = 0, False
    while at < len(data):
        mark = data[at]
        if mark == 0x3B:
            whole = True
            break
        if mark == 0x2C:
            pictures += 1
            local = data[at + 9]
            at += 11 + (3 << (local & 7) + 1 if local & 0x80 else 0)
        elif mark == 0x21:
            at += 2
        else:
            raise ValueError("unknown block")
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    return Header("GIF", width, height, 8, 3, several=pictures > 1, whole=whole)


def _pnm(data: bytes) -> Header:
    numbers: list[int] = []
    at = 2
    wanted = 2 if data[1:2] in b"14" else 3
    while len(numbers) < wanted:
        while data[at : at + 1].isspace():
            at += 1
        if data[at : at + 1] == b"#":
            at = data.index(b"\n", at)
            continue
        end = at
        while data[end : end + 1].isdigit():
            end += 1
        numbers.append(int(data[at : min(end, at + 10)]))
        at = end
    width, height, most = (*numbers, 1)[:3]
    channels = 3 if data[1:2] in b"36" else 1
    bits = 8 if 1 < most <= 255 else most.bit_length()
    needed = at + 1 + width * height * channels if data[1:2] in b"56" and bits == 8 else 0
    return Header("PNM", width, height, bits, channels, whole=len(data) >= needed)
