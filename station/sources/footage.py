"""Is this footage a video file or a folder of part photographs?"""

from __future__ import annotations

from pathlib import Path

from station.core.errors import DataRefused, ImageFault
from station.core.timing import Clock
from station.sources.folder import ImageFolder
from station.sources.headers import read_header
from station.sources.video import VideoFile

__all__ = ["ImageFolder", "VideoFile", "open_footage"]

_MAX_PIXELS = 40_000_000


def open_footage(path: Path, *, clock: Clock, max_pixels: int = _MAX_PIXELS) -> ImageFolder | VideoFile:
    """Opens footage by what it is: a folder (with or without ``index.csv``), or a video file, GIF included.

    Args:
        path: Folder or file.
        clock: For the frames' times.
        max_pixels: Larger pictures are not decoded.

    Raises:
        DataRefused: Nothing is there, or it is neither; the message names the remedy.
    """
    if path.is_dir():
        return ImageFolder(path, clock=clock, max_pixels=max_pixels)
    if not path.exists():
        raise DataRefused(f"there is no {path}; name a video file or a folder of pictures")
    if _is_picture(path):
        raise DataRefused(f"{path} is one picture; name the folder that it lies in")
    return VideoFile(path, clock=clock, max_pixels=max_pixels)


def _is_picture(path: Path) -> bool:
    """True for a still picture; a GIF may move, so it counts as a video."""
    try:
        with path.open("rb") as file:
            return read_header(file.read(2**16)).kind != "GIF"
    except ImageFault:
        return False
    except OSError as error:
        raise DataRefused(f"{path} cannot be read: {error.strerror}; grant the right to read it") from error
