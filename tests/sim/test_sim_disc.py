"""Do the pixels of a rendered disc agree with its truth?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from station.sim.disc import DEFECT_CLASSES, DiscImage, draw_spec, render_disc

SEVERITIES = (0.1, 0.3, 0.6, 1.0)


def difference(image: DiscImage) -> np.ndarray:
    """Change of every pixel against the same disc without marks, over a mid-grey belt; (side, side) in grey values."""
    clean = render_disc(replace(image.spec, planted=(), harmless=()), diameter_px=image.diameter_px)

    def on_belt(disc: DiscImage) -> np.ndarray:
        return disc.bgr + 60.0 * (1 - disc.alpha[:, :, None] / 255.0)

    return np.abs(on_belt(image) - on_belt(clean)).mean(axis=2)


def test_the_same_disc_renders_to_the_same_bytes():
    spec = draw_spec(3, 3, defect_rate=1, harmless_rate=1)
    one, two = render_disc(spec, diameter_px=150), render_disc(spec, diameter_px=150)
    assert one.bgr.tobytes() == two.bgr.tobytes()
    assert one.alpha.tobytes() == two.alpha.tobytes()
    assert all(one.masks[kind].tobytes() == two.masks[kind].tobytes() for kind in DEFECT_CLASSES)
    other = render_disc(draw_spec(3, 4), diameter_px=150)
    assert one.bgr.tobytes() != other.bgr.tobytes()


def test_shapes_types_and_geometry():
    image = render_disc(draw_spec(3, 3), diameter_px=200)
    side = 2 * image.half + 1
    assert image.bgr.shape == (side, side, 3)
    assert image.alpha.shape == image.metal.shape == (side, side)
    assert (image.bgr.dtype, image.alpha.dtype, image.metal.dtype) == (np.uint8, np.uint8, np.bool_)
    assert set(image.masks) == set(DEFECT_CLASSES)
    columns = np.flatnonzero(image.metal.any(axis=0))
    assert columns[-1] - columns[0] + 1 == pytest.approx(200, abs=2)
    assert not image.metal[image.half, image.half]  # the bore
    assert (image.alpha[image.metal] > 120).all()
    assert image.alpha[0].max() < 40  # the shadow has faded at the sprite's edge
    assert not image.bgr.flags.writeable


@pytest.mark.parametrize("kind", DEFECT_CLASSES)
@pytest.mark.parametrize("index", range(4))
def test_the_pixels_of_a_mask_change_by_an_amount_that_grows_with_severity(kind: str, index: int):
    changes, contrast = [], []
    for severity in SEVERITIES:
        spec = draw_spec(11, index, harmless_rate=0, planted=[(kind, severity)])
        image = render_disc(spec, diameter_px=300)
        mask, change = image.masks[kind], difference(image)
        assert mask.sum() > 30
        changes.append(change[mask].mean())
        contrast.append(change[mask].mean() / (change[~mask].mean() + 1e-3))
        assert all(not image.masks[other].any() for other in DEFECT_CLASSES if other != kind)
    assert np.all(np.diff(changes) > 0.5), changes
    assert changes[0] > 0.5  # faint, but there
    assert changes[-1] > 12  # plain to see
    assert min(contrast) > 20  # nothing of it lies elsewhere


@pytest.mark.parametrize("diameter_px", [75.0, 300.0])
def test_boxes_hold_their_mask_and_defects_lie_on_the_metal(diameter_px: float):
    for index in range(25):
        spec = draw_spec(12, index, defect_rate=1)
        image = render_disc(spec, diameter_px=diameter_px)
        drilled = render_disc(replace(spec, planted=()), diameter_px=diameter_px)
        assert [(p.kind, p.severity) for p in image.planted] == [(m.kind, m.severity) for m in spec.planted]
        boxed = {kind: np.zeros_like(image.metal) for kind in DEFECT_CLASSES}
        for planted in image.planted:
            x0, y0, x1, y1 = (int(edge) for edge in planted.box)
            assert 0 <= x0 < x1 <= image.metal.shape[1]
            assert 0 <= y0 < y1 <= image.metal.shape[0]
            assert image.masks[planted.kind][y0:y1, x0:x1].any()
            boxed[planted.kind][y0:y1, x0:x1] = True
        for kind, mask in image.masks.items():
            assert not (mask & ~boxed[kind]).any()
            assert not (mask & ~image.metal).any() or kind == "missing_hole"
            if kind != "missing_hole":
                assert not (mask & ~drilled.metal).any()  # not in a hole either, even one that was never drilled


def test_a_missing_hole_is_where_a_hole_should_be():
    spec = draw_spec(13, 1, planted=[("missing_hole", 1.0)])
    image = render_disc(spec, diameter_px=300)
    drilled = render_disc(replace(spec, planted=()), diameter_px=300)
    hole = drilled.alpha < 255
    mask = image.masks["missing_hole"]
    assert (hole & mask).sum() > 400
    assert image.metal[mask].all()
    assert (image.alpha[mask] == 255).all()
    assert (~drilled.metal & mask).sum() > 400


def test_harmless_marks_show_but_are_in_no_mask():
    shown = 0
    for index in range(20):
        image = render_disc(draw_spec(14, index, defect_rate=0, harmless_rate=1), diameter_px=300)
        assert image.harmless
        assert not image.planted
        assert all(not mask.any() for mask in image.masks.values())
        change = difference(image)
        for mark in image.harmless:
            x0, y0, x1, y1 = (int(edge) for edge in mark.box)
            shown += change[y0:y1, x0:x1].max() > 8
            change[max(y0 - 14, 0) : y1 + 14, max(x0 - 14, 0) : x1 + 14] = 0
        assert change.max() < 8  # nothing outside of the boxes but the halo of a glint
    assert shown > 20


def test_harmless_marks_leave_the_masks_of_defects_as_they_are():
    spec = draw_spec(15, 2, harmless_rate=1, planted=[("scratch", 0.8), ("stain", 0.4)])
    assert spec.harmless
    with_dust, without = render_disc(spec, diameter_px=200), render_disc(replace(spec, harmless=()), diameter_px=200)
    assert all((with_dust.masks[kind] == without.masks[kind]).all() for kind in DEFECT_CLASSES)


def test_a_turned_face_shines_in_a_bow_tie_towards_the_lamp():
    image = render_disc(draw_spec(16, 0, defect_rate=0, harmless_rate=0), diameter_px=300)
    grey, half, reach = image.bgr[:, :, 1].astype(float), image.half, 74  # on the face between hub and holes

    def around(angle_deg: float) -> float:
        angles = np.deg2rad(angle_deg + np.linspace(-8, 8, 30))
        return float(
            grey[(half + reach * np.sin(angles)).astype(int), (half + reach * np.cos(angles)).astype(int)].mean()
        )

    assert min(around(-128), around(52)) > 1.15 * max(around(-38), around(142))


@pytest.mark.parametrize("diameter_px", [0.0, 3.0, float("nan"), 1e6])
def test_a_diameter_that_shows_nothing_is_refused(diameter_px: float):
    with pytest.raises(ValueError, match="diameter"):
        render_disc(draw_spec(1, 1), diameter_px=diameter_px)
