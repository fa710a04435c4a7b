"""Does footage give every file and every frame once, in order, the bad ones with their reason?"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from station.core.errors import DataRefused, SourceEnded
from station.core.part import Frame
from station.core.timing import ManualClock
from station.sources.footage import ImageFolder, VideoFile, open_footage
from tests.sources.files import encoded, number_of, picture, write_tiles, write_video


def folder(path: Path) -> ImageFolder:
    return ImageFolder(path, clock=ManualClock(), max_pixels=1_000_000)


def frames_of(source: ImageFolder | VideoFile) -> list[Frame]:
    frames = []
    try:
        while True:
            frame = source.read(0.0)
            assert frame is not None
            frames.append(frame)
    except SourceEnded:
        source.close()
        return frames


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# -- plain folders -----------------------------------------------------------------------------------------------


def test_a_folder_gives_every_file_below_it_sorted_by_path(tmp_path):
    names = ["b.png", "a/2.png", "a/10.png", "c.jpg", "a.png", "z/deep/1.png"]
    for number, name in enumerate(names):
        put(tmp_path / name, encoded(picture(number), Path(name).suffix))
    frames = frames_of(folder(tmp_path))
    assert [f.source for f in frames] == sorted(names)
    assert [f.index for f in frames] == list(range(6))
    for frame in frames:
        assert frame.image is not None
        assert number_of(frame.image) == names.index(frame.source)
        assert (frame.serial, frame.truth, frame.simulated) == (None, None, False)


def test_the_order_is_the_same_whatever_the_disk_says(tmp_path, monkeypatch):
    for name in "dacb":
        put(tmp_path / f"{name}.png", encoded(picture()))
    listed = os.scandir

    class Backwards:
        def __init__(self, path):
            with listed(path) as entries:
                self.entries = sorted(entries, key=lambda e: e.name, reverse=True)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(os, "scandir", Backwards)
    assert [f.source for f in frames_of(folder(tmp_path))] == ["a.png", "b.png", "c.png", "d.png"]


def test_what_is_no_part_is_left_out(tmp_path):
    put(tmp_path / "a.png", encoded(picture()))
    for name in (
        ".hidden.png",
        "Thumbs.db",
        "desktop.ini",
        "sub/Thumbs.db",
        "masks/a.png",
        "sub/masks/b.png",
        ".git/x",
    ):
        put(tmp_path / name, b"anything")
    assert [f.source for f in frames_of(folder(tmp_path))] == ["a.png"]


def test_a_bad_file_gives_one_frame_with_its_reason_and_the_rest_goes_on(tmp_path):
    good = encoded(picture(1))
    bad = {
        "b-empty.png": (b"", "0 bytes"),
        "c-cut.png": (good[: len(good) // 2], "truncated"),
        "d-cut.jpg": (encoded(picture(2), ".jpg")[:200], "truncated"),
        "e-text.txt": (b"hello", "no picture"),
        "f-deep.png": (encoded(np.full((20, 20), 9999, np.uint16)), "wrong depth: 16-bit; expected 8-bit"),
        "g-float.tif": (encoded(np.ones((20, 20), np.float32), ".tif"), "wrong depth"),
        "h-tiny.png": (encoded(picture()[:1, :1]), "too small"),
    }
    put(tmp_path / "a.png", good)
    put(tmp_path / "z.png", good)
    for name, (data, _) in bad.items():
        put(tmp_path / name, data)
    (tmp_path / "i-nothing.png").symlink_to(tmp_path / "gone.png")
    frames = frames_of(folder(tmp_path))
    assert len(frames) == len(bad) + 3
    assert frames[0].image is not None
    assert frames[-1].image is not None
    reasons = {f.source: f.fault for f in frames[1:-1]}
    assert "missing" in reasons.pop("i-nothing.png")
    for name, (_, words) in bad.items():
        assert words in reasons[name]


def test_a_pipe_does_not_block_and_a_file_that_became_one_is_a_fault(tmp_path):
    put(tmp_path / "a.png", encoded(picture()))
    put(tmp_path / "b.png", encoded(picture()))
    os.mkfifo(tmp_path / "c.png")
    source = folder(tmp_path)
    (tmp_path / "b.png").unlink()
    os.mkfifo(tmp_path / "b.png")
    frames = frames_of(source)
    assert [f.fault for f in frames] == [None, "no regular file"]


def test_a_file_that_vanishes_is_a_fault(tmp_path):
    for name in "ab":
        put(tmp_path / f"{name}.png", encoded(picture()))
    source = folder(tmp_path)
    (tmp_path / "a.png").unlink()
    assert ["missing" in (f.fault or "") for f in frames_of(source)] == [True, False]


def test_a_huge_file_is_not_read_into_memory(tmp_path):
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(2**36)
    (frame,) = frames_of(folder(tmp_path))
    assert "too large" in (frame.fault or "")


def test_a_sub_folder_that_cannot_be_opened_is_one_faulty_frame(tmp_path, monkeypatch):
    put(tmp_path / "a.png", encoded(picture()))
    put(tmp_path / "locked/x.png", encoded(picture()))
    listed = os.scandir

    def scandir(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    good, locked = frames_of(folder(tmp_path))
    assert good.image is not None
    assert (locked.source, locked.fault) == ("locked", "folder cannot be opened: Permission denied")


def test_a_link_in_a_circle_is_walked_once(tmp_path):
    put(tmp_path / "sub/a.png", encoded(picture()))
    (tmp_path / "sub/again").symlink_to(tmp_path, target_is_directory=True)
    assert [f.source for f in frames_of(folder(tmp_path))] == ["sub/a.png"]


def test_a_name_that_is_no_text_can_still_be_stored(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    put(tmp_path / name, encoded(picture()))
    (frame,) = frames_of(folder(tmp_path))
    assert frame.source == "caf\\xe9.png"
    assert frame.image is not None


@pytest.mark.parametrize("data", ["", "sub/.hidden"])
def test_a_folder_without_a_picture_is_refused(tmp_path, data):
    if data:
        put(tmp_path / data, b"x")
    with pytest.raises(DataRefused, match="no file to inspect"):
        folder(tmp_path)


def overwritten(suffix: str, at: int, junk: bytes) -> bytes:
    """A picture file with a few bytes changed."""
    whole = encoded(picture() if suffix != ".pgm" else picture()[:, :, 0], suffix)
    return whole[:at] + junk + whole[at + len(junk) :]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.one_of(
        st.binary(max_size=300),
        st.builds(
            overwritten,
            st.sampled_from([".png", ".jpg", ".bmp", ".tif", ".webp", ".gif", ".ppm", ".pgm"]),
            st.integers(0, 400),
            st.binary(max_size=8),
        ),
        st.builds(
            lambda magic, rest: magic + rest,
            st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"GIF89a", b"P6 "]),
            st.binary(max_size=200),
        ),
    )
)
def test_any_bytes_give_exactly_one_frame_and_never_a_crash(tmp_path, data):
    put(tmp_path / "x.png", data)
    put(tmp_path / "y.png", encoded(picture(5)))
    first, second = frames_of(folder(tmp_path))
    assert (first.image is None) != (first.fault is None)
    assert second.image is not None
    assert number_of(second.image) == 5


# -- folders with an index ---------------------------------------------------------------------------------------

ROWS = [("images/b.png", "tile-7", "crack"), ("images/a.png", "tile-2", "ok"), ("images/c.png", "tile-7", "ok")]


def test_an_index_gives_its_rows_in_their_order_with_part_and_label(tmp_path):
    frames = frames_of(folder(write_tiles(tmp_path / "t", ROWS)))
    assert [(f.source, f.serial, f.truth) for f in frames] == ROWS
    assert [number_of(f.image) for f in frames if f.image is not None] == [0, 1, 2]


def test_files_that_the_index_does_not_list_come_after_it(tmp_path):
    root = write_tiles(tmp_path / "t", ROWS)
    put(root / "images/aa.png", encoded(picture(8)))
    put(root / "images/new/z.txt", b"junk")
    put(root / "images/.DS_Store", b"junk")
    put(root / "README.md", b"not among the images")
    frames = frames_of(folder(root))
    assert [f.source for f in frames] == [*(r[0] for r in ROWS), "images/aa.png", "images/new/z.txt"]
    assert (frames[3].serial, frames[3].truth, frames[4].image) == (None, None, None)


def test_masks_are_not_parts_even_beside_the_images(tmp_path):
    put(tmp_path / "index.csv", b"image,mask,label\na.png,a-mask.png,crack\n")
    for name in ("a.png", "a-mask.png", "b.png", "masks/c.png"):
        put(tmp_path / name, encoded(picture()))
    assert [f.source for f in frames_of(folder(tmp_path))] == ["a.png", "b.png"]


def test_a_listed_file_that_is_missing_is_a_fault_with_its_part(tmp_path):
    root = write_tiles(tmp_path / "t", ROWS)
    (root / "images/a.png").unlink()
    frame = frames_of(folder(root))[1]
    assert (frame.source, frame.serial, frame.image) == ("images/a.png", "tile-2", None)
    assert "missing" in (frame.fault or "")


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "images/../../x.png"])
def test_an_index_cannot_point_outside(tmp_path, path):
    put(tmp_path / "secret.png", encoded(picture()))
    put(tmp_path / "t/index.csv", f"image\n{path}\n".encode())
    (frame,) = frames_of(folder(tmp_path / "t"))
    assert "outside" in (frame.fault or "")


def test_an_index_row_without_an_image_is_a_fault_and_a_second_one_is_taken_once(tmp_path, caplog):
    root = write_tiles(tmp_path / "t", ROWS[:1])
    with (root / "index.csv").open("a") as file:
        file.write(",,tile-9,exp0,ok\n./images/b.png,,tile-7,exp0,crack\n")
    first, second = frames_of(folder(root))
    assert first.image is not None
    assert "line 3 names no image" in (second.fault or "")
    assert "line 4 lists ./images/b.png again" in caplog.text


@pytest.mark.parametrize("data", [b"", b"picture,label\na,b\n", b"image\n\xff\xfe\n", b'image\n"a\n'])
def test_an_index_that_cannot_be_used_is_refused_with_its_name(tmp_path, data):
    put(tmp_path / "index.csv", data)
    put(tmp_path / "a.png", encoded(picture()))
    with pytest.raises(DataRefused, match=r"index\.csv"):
        folder(tmp_path)


def test_an_index_from_a_spreadsheet_with_a_mark_at_its_start_is_read(tmp_path):
    put(tmp_path / "index.csv", b"\xef\xbb\xbfimage,part\r\na.png,7\r\n")
    put(tmp_path / "a.png", encoded(picture()))
    assert [f.serial for f in frames_of(folder(tmp_path))] == ["7"]


def test_the_real_tiles_come_in_the_order_of_their_index(shared_data):
    root = shared_data / "magnetic-tiles"
    source = ImageFolder(root, clock=ManualClock(), max_pixels=40_000_000)
    assert len(source) == 833
    lines = (root / "index.csv").read_text().splitlines()[1:]
    for line in lines[:40]:
        frame = source.read(0.0)
        assert frame is not None
        assert frame.image is not None
        cells = line.split(",")
        assert [frame.source, frame.serial, frame.truth] == [cells[0], cells[2], cells[4]]
        assert frame.image.shape == (int(cells[6]), int(cells[5]), 3)
    source.close()


# -- videos ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "coder"), [("v.avi", "MJPG"), ("v.mkv", "FFV1"), ("v.mp4", "mp4v")])
def test_a_video_gives_every_frame_in_order(tmp_path, name, coder):
    source = open_footage(write_video(tmp_path / name, 20, coder=coder), clock=ManualClock())
    assert isinstance(source, VideoFile)
    frames = frames_of(source)
    assert [f.index for f in frames] == list(range(20))
    assert [number_of(f.image) for f in frames if f.image is not None] == list(range(20))
    assert {f.source for f in frames} == {name}
    assert source.missing == 0


def test_a_video_and_a_folder_agree_on_blue_and_red(tmp_path):
    put(tmp_path / "p/a.png", encoded(picture(width=64, height=48)))
    (still,) = frames_of(folder(tmp_path / "p"))
    moving = frames_of(VideoFile(write_video(tmp_path / "v.mkv", 1, coder="FFV1"), clock=ManualClock()))[0]
    assert still.image is not None
    assert moving.image is not None
    assert np.abs(still.image.astype(int) - moving.image.astype(int)).mean() < 4


def test_a_video_that_ends_early_says_so(tmp_path, caplog):
    path = write_video(tmp_path / "v.mkv", 30, coder="FFV1")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    source = VideoFile(path, clock=ManualClock())
    with caplog.at_level(logging.WARNING):
        frames = frames_of(source)
    assert 0 < len(frames) < 30
    assert source.missing == 30 - len(frames)
    assert f"{source.missing} of 30 promised frames are missing" in caplog.text
    with pytest.raises(SourceEnded, match="promised are missing"):
        source.read(0.0)


class BrokenCapture:
    """A capture whose second frame cannot be decoded and whose third is not 8-bit."""

    def __init__(self) -> None:
        self.count = 0

    def grab(self):
        self.count += 1
        return self.count <= 4

    def retrieve(self):
        if self.count == 2:
            return False, None
        return True, picture() if self.count != 3 else picture().astype(np.uint16)

    def release(self):
        pass


def test_a_frame_that_cannot_be_decoded_is_a_fault_and_the_rest_goes_on(tmp_path):
    source = VideoFile(write_video(tmp_path / "v.avi", 2), clock=ManualClock())
    source._capture.release()
    source._capture = BrokenCapture()
    frames = frames_of(source)
    assert [f.index for f in frames] == [0, 1, 2, 3]
    assert [f.image is None for f in frames] == [False, True, True, False]
    assert "frame 1 cannot be decoded" in (frames[1].fault or "")


@pytest.mark.parametrize("data", [b"", b"no video", bytes(5000)])
def test_a_file_that_is_no_video_is_refused_with_the_remedy(tmp_path, data):
    path = put(tmp_path / "v.mp4", data)
    with pytest.raises(DataRefused, match=r"v\.mp4.*convert"):
        open_footage(path, clock=ManualClock())


def test_footage_that_is_not_there_or_one_picture_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(DataRefused, match="name a video file or a folder"):
        open_footage(tmp_path / "gone", clock=ManualClock())
    path = put(tmp_path / "a.png", encoded(picture()))
    with pytest.raises(DataRefused, match="folder that it lies in"):
        open_footage(path, clock=ManualClock())


def test_the_real_clip_has_all_its_frames(shared_data):
    source = open_footage(shared_data / "footage" / "bolt-multi-size-detection.gif", clock=ManualClock())
    frames = frames_of(source)
    assert len(frames) == 37
    assert all(f.image is not None and f.image.shape == (270, 480, 3) for f in frames)
