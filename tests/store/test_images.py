"""Part pictures: written whole or not at all, and found to be what they were."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import station.store.images as module
from station.core.errors import DiskFull, ImageFault, LedgerFault
from station.store.images import EncodedImage, ImageStore, encode
from tests.builders import picture


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def fails(code: int = errno.EIO) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_a_picture_is_named_by_its_bytes_and_read_back(tmp_path: Path) -> None:
    store, image = ImageStore(tmp_path), encode(picture(1))
    assert image.sha256 == hashlib.sha256(image.data).hexdigest()
    assert (image.width, image.height) == (96, 64)
    store.keep([image])
    assert store.read_bytes(image.sha256) == image.data
    again = store.read(image.sha256)
    assert again.shape == (64, 96, 3)
    assert float(np.abs(again.astype(int) - picture(1)).mean()) < 8
    assert store.used_bytes == len(image.data)


def test_the_same_picture_twice_takes_the_disk_once(tmp_path: Path) -> None:
    store, image = ImageStore(tmp_path), encode(picture(1))
    store.keep([image, image])
    store.keep([image])
    assert files(tmp_path) == [f"{image.sha256}.jpg"]
    assert store.used_bytes == len(image.data)


def test_file_and_folders_are_synced_before_keep_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}") if Path("/proc/self/fd").exists() else "?")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    image = encode(picture(1))
    store = ImageStore(tmp_path)
    store.keep([image])
    shard = tmp_path / image.sha256[:2]
    if "?" not in synced:
        assert synced[0] == str(shard / f"{image.sha256}.part")
        assert set(synced[1:]) == {str(tmp_path), str(shard)}
    assert len(synced) == 3
    synced.clear()
    ImageStore(tmp_path / "throw-away", durable=False).keep([image])
    assert synced == []


@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
def test_a_write_that_fails_leaves_nothing_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store, image = ImageStore(tmp_path), encode(picture(1))
    with monkeypatch.context() as broken:
        if step == "write":
            broken.setattr(Path, "open", fails())
        elif step == "fsync":
            broken.setattr(os, "fsync", fails())
        else:
            broken.setattr(Path, "replace", fails())
        with pytest.raises(LedgerFault, match="could not be written"):
            store.keep([image])
    assert files(tmp_path) == []
    assert store.used_bytes == 0
    with pytest.raises(LedgerFault, match="not on disk"):
        store.read_bytes(image.sha256)
    store.keep([image])
    assert store.read_bytes(image.sha256) == image.data


def test_after_a_failed_sync_of_the_folder_a_repetition_syncs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is there the second time, but its name may not yet survive a power cut."""
    store, image = ImageStore(tmp_path), encode(picture(1))
    with monkeypatch.context() as broken:
        broken.setattr(module, "_sync_folder", fails())
        with pytest.raises(LedgerFault):
            store.keep([image])
    synced: list[Path] = []
    monkeypatch.setattr(module, "_sync_folder", synced.append)
    store.keep([image])
    assert set(synced) == {tmp_path, tmp_path / image.sha256[:2]}
    synced.clear()
    store.keep([image])
    assert synced == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    store = ImageStore(tmp_path)
    monkeypatch.setattr(os, "fsync", fails(code))
    with pytest.raises(DiskFull):
        store.keep([encode(picture(1))])
    assert files(tmp_path) == []


def test_halves_that_a_crash_left_are_tidied_away_at_the_start(tmp_path: Path) -> None:
    image = encode(picture(1))
    ImageStore(tmp_path).keep([image])
    half = tmp_path / image.sha256[:2] / f"{'0' * 64}.part"
    half.write_bytes(b"half a pict")
    store = ImageStore(tmp_path)
    assert files(tmp_path) == [f"{image.sha256}.jpg"]
    assert store.used_bytes == len(image.data)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_kill_in_the_middle_leaves_no_picture_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    image = encode(picture(1))
    with monkeypatch.context() as dying:
        dying.setattr(os if step == "fsync" else Path, step, killed)
        with pytest.raises(KeyboardInterrupt):
            ImageStore(tmp_path).keep([image])
    assert files(tmp_path) == [f"{image.sha256}.part"]
    store = ImageStore(tmp_path)
    assert files(tmp_path) == []
    store.keep([image])
    assert store.read_bytes(image.sha256) == image.data


def test_the_budget_is_kept_and_nothing_is_written_beyond_it(tmp_path: Path) -> None:
    images = [encode(picture(n)) for n in range(3)]
    budget = len(images[0].data) + len(images[1].data)
    store = ImageStore(tmp_path, budget_bytes=budget)
    store.keep(images[:2])
    with pytest.raises(DiskFull, match="image_budget_mb"):
        store.keep(images[2:])
    assert len(files(tmp_path)) == 2
    assert store.drop([images[0].sha256, "f" * 64]) == len(images[0].data)
    assert store.used_bytes == len(images[1].data)
    store.keep(images[2:])


def test_no_part_is_taken_below_the_free_disk_that_must_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ImageStore(tmp_path, free_bytes=1e6)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_001))
    with pytest.raises(DiskFull, match="free some space"):
        store.keep([encode(picture(1))])
    assert files(tmp_path) == []


@pytest.mark.parametrize("damage", [lambda d: d[:-1], lambda d: d[:100] + b"\0" + d[101:], lambda d: b""])
def test_changed_bytes_are_refused(tmp_path: Path, damage: Any) -> None:
    store, image = ImageStore(tmp_path), encode(picture(1))
    store.keep([image])
    path = store.path(image.sha256)
    changed = damage(image.data)
    path.write_bytes(changed if changed != image.data else image.data + b"!")
    with pytest.raises(LedgerFault, match="was changed"):
        store.read(image.sha256)


def test_bytes_that_are_no_picture_are_refused_even_with_the_right_hash(tmp_path: Path) -> None:
    data = b"not a picture at all"
    image = EncodedImage(hashlib.sha256(data).hexdigest(), data, 8, 8)
    store = ImageStore(tmp_path)
    store.keep([image])
    with pytest.raises(LedgerFault, match="cannot be decoded"):
        store.read(image.sha256)


@pytest.mark.parametrize("name", ["", "abc", "../" * 21 + "x", "A" * 64, "g" * 64, "0" * 63 + "/"])
def test_only_hashes_become_paths(tmp_path: Path, name: str) -> None:
    with pytest.raises(LedgerFault, match="is no image hash"):
        ImageStore(tmp_path).path(name)


def test_what_is_no_picture_is_not_encoded() -> None:
    with pytest.raises(ImageFault):
        encode(np.zeros((4, 4, 3), np.uint8))


def test_a_picture_that_cannot_be_removed_is_a_fault_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, image = ImageStore(tmp_path), encode(picture(1))
    store.keep([image])
    monkeypatch.setattr(Path, "unlink", fails(errno.EACCES))
    with pytest.raises(LedgerFault, match="could not be removed"):
        store.drop([image.sha256])
    assert store.used_bytes == len(image.data)


def test_pictures_removed_before_one_that_cannot_be_no_longer_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ImageStore(tmp_path)
    images = [encode(picture(n)) for n in range(3)]
    store.keep(images)
    real = Path.unlink

    def unlink(path: Path, *given: Any, **named: Any) -> None:
        if images[1].sha256 in path.name:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        real(path, *given, **named)

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(LedgerFault, match="could not be removed"):
        store.drop([i.sha256 for i in images])
    assert store.used_bytes == len(images[1].data) + len(images[2].data) == ImageStore(tmp_path).used_bytes


def test_a_disk_that_fills_in_the_middle_keeps_the_pictures_before_whole_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ImageStore(tmp_path, durable=False)
    images = [encode(picture(n)) for n in range(2)]
    real = Path.replace

    def replace(path: Path, target: Path) -> Path:
        if images[1].sha256 in target.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, target)

    with monkeypatch.context() as full:
        full.setattr(Path, "replace", replace)
        with pytest.raises(DiskFull, match="the disk is full"):
            store.keep(images)
    assert files(tmp_path) == [f"{images[0].sha256}.jpg"]
    assert store.used_bytes == len(images[0].data)
    store.keep(images)
    assert store.read_bytes(images[1].sha256) == images[1].data
