"""Does every picture reach the model the same way, and is the way back right?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import station.detector.tensors as tensors
from station.core.errors import DetectorFault, ImageFault
from station.detector.tensors import Prepared, prepare, preprocess_hash
from station.registry import InputSpec

NUMPY_PADDING = {"replicate": "edge", "reflect": "reflect", "constant": "constant"}


def spec(**changes: Any) -> InputSpec:
    return InputSpec.model_validate({"multiple": 32, "padding": "replicate", "max_pixels": 1_000_000, **changes})


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(deadline=None)
@given(st.integers(8, 70), st.integers(8, 70), st.sampled_from([1, 4, 16, 32]), st.sampled_from(sorted(NUMPY_PADDING)))
def test_padding_is_numpys(height: int, width: int, multiple: int, padding: str) -> None:
    image = noise(height, width)
    prepared = prepare(image, spec(multiple=multiple, padding=padding))
    bottom, right = -height % multiple, -width % multiple
    expected = np.pad(image, ((0, bottom), (0, right), (0, 0)), mode=NUMPY_PADDING[padding])  # type: ignore[call-overload]
    assert np.array_equal(prepared.tensor[0], expected)
    assert prepared.tensor.dtype == np.uint8
    assert prepared.tensor.flags.c_contiguous
    assert prepared.real == prepared.source == (height, width)
    assert prepared.scale == (1.0, 1.0)


def test_a_picture_that_fits_is_not_copied() -> None:
    image = noise(64, 96)
    assert np.shares_memory(prepare(image, spec()).tensor, image)


@pytest.mark.parametrize("view", [(slice(None, None, -1),), (slice(3, 67), slice(5, 101)), (slice(None, None, 2),)])
def test_views_are_taken_as_they_look(view: tuple[slice, ...]) -> None:
    image = noise(128, 128)[view]
    prepared = prepare(image, spec())
    assert prepared.tensor.flags.c_contiguous
    assert np.array_equal(prepared.tensor[0, : image.shape[0], : image.shape[1]], image)


def test_a_read_only_picture_is_taken_and_stays() -> None:
    image = noise(50, 50)
    before = image.copy()
    image.flags.writeable = False
    prepare(image, spec())
    assert np.array_equal(image, before)


@settings(deadline=None)
@given(st.integers(8, 200), st.integers(8, 200), st.integers(8, 256))
def test_resizing_brings_the_longer_side_to_its_length(height: int, width: int, resize_long: int) -> None:
    prepared = prepare(noise(height, width), spec(resize_long=resize_long))
    assert max(prepared.real) == resize_long
    expected = min(height, width) * resize_long / max(height, width)
    assert abs(min(prepared.real) - max(1.0, expected)) <= 0.5
    assert prepared.tensor.shape[1] % 32 == prepared.tensor.shape[2] % 32 == 0


def test_a_sliver_keeps_one_pixel() -> None:
    assert prepare(noise(8, 200), spec(resize_long=8)).real == (1, 8)
    assert prepare(noise(200, 8), spec(resize_long=8)).real == (8, 1)


def test_resizing_keeps_places_and_grey_levels() -> None:
    image = np.zeros((200, 100, 3), np.uint8)
    image[100:, :] = (10, 20, 30)
    for resize_long in (50, 400):
        real = prepare(image, spec(resize_long=resize_long, multiple=1)).tensor[0]
        assert (real[: resize_long // 2 - 2] == 0).all()
        assert (real[resize_long // 2 + 2 :] == (10, 20, 30)).all()


def test_too_many_pixels_are_refused_before_and_after_resizing() -> None:
    prepare(noise(100, 100), spec(multiple=1, max_pixels=10_000))
    with pytest.raises(ImageFault, match=r"100 x 100 .* allows 9,999"):
        prepare(noise(100, 100), spec(multiple=1, max_pixels=9_999))
    with pytest.raises(ImageFault, match="16,384 pixels in the model"):  # the padding counts
        prepare(noise(100, 100), spec(max_pixels=12_000))
    with pytest.raises(ImageFault, match="1,000,000 pixels in the model"):
        prepare(noise(10, 10), spec(multiple=1, max_pixels=500_000, resize_long=1000))
    with pytest.raises(ImageFault):  # also where resizing would make it small
        prepare(noise(100, 100), spec(multiple=1, max_pixels=9_999, resize_long=20))


@pytest.mark.parametrize(
    "image",
    [None, np.zeros((40, 40), np.uint8), np.zeros((40, 40, 4), np.uint8), np.zeros((40, 40, 3)), np.zeros((4, 40, 3))],
)
def test_what_is_no_picture_is_refused(image: Any) -> None:
    with pytest.raises(ImageFault):
        prepare(image, spec())


@settings(deadline=None)
@given(
    st.integers(8, 300),
    st.integers(8, 300),
    st.sampled_from([0, 64, 333]),
    st.tuples(*[st.floats(0.0, 1.0) for _ in range(4)]),
)
def test_the_way_back_is_the_inverse(height: int, width: int, resize_long: int, place: Any) -> None:
    prepared = prepare(noise(height, width), spec(resize_long=resize_long))
    real_height, real_width = prepared.real
    (xa, xb), (ya, yb) = sorted(place[:2]), sorted(place[2:])
    if xb - xa < 1e-6 or yb - ya < 1e-6:
        return
    box = prepared.to_part(xa * real_width, ya * real_height, xb * real_width, yb * real_height)
    assert np.allclose(box.xyxy, (xa * width, ya * height, xb * width, yb * height), atol=1e-6)
    assert box.x1 <= width
    assert box.y1 <= height


def test_boxes_in_the_padding_are_cut_off_or_a_fault() -> None:
    prepared = prepare(noise(40, 40), spec())
    assert prepared.to_part(-5, 30, 60, 64).xyxy == (0, 30, 40, 40)
    with pytest.raises(DetectorFault):
        prepared.to_part(41, 0, 60, 10)


def test_prepared_is_checked_at_the_door() -> None:
    tensor = np.zeros((1, 32, 32, 3), np.uint8)
    Prepared(tensor, (32, 32), (8, 8))
    for bad in (
        (tensor[0], (32, 32), (8, 8)),
        (tensor.astype(np.float32), (32, 32), (8, 8)),
        (tensor, (33, 32), (8, 8)),
        (tensor, (0, 32), (8, 8)),
        (tensor, (32, 32), (0, 8)),
    ):
        with pytest.raises(DetectorFault):
            Prepared(*bad)


def test_the_hash_changes_with_every_field_and_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"multiple": 16},
        {"padding": "reflect"},
        {"max_pixels": 5},
        {"resize_long": 9},
    ]
    assert {*(key for change in changes for key in change), "colour"} == set(InputSpec.model_fields)
    hashes = [preprocess_hash(spec(**change)) for change in changes]
    monkeypatch.setattr(tensors, "PREPARE_VERSION", tensors.PREPARE_VERSION + 1)
    hashes.append(preprocess_hash(spec()))
    assert len(set(hashes)) == len(hashes)
    assert all(len(h) == 64 for h in hashes)


def test_the_hash_is_the_one_kept_in_old_inspections() -> None:
    # A change here means that stored hashes lose their meaning: raise PREPARE_VERSION on purpose instead.
    assert preprocess_hash(spec()) == "a8b53fa7be489f81426e24c79eae2c2779277086eb0d0c97b2cabe4e06cd48e9"
