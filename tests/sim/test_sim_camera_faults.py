"""Does a broken camera deliver what a broken camera delivers?"""

from __future__ import annotations

import numpy as np
import pytest

from station.sim.faults import FAULTS, FaultyCamera, black, blurred, saturated
from station.sim.world import Belt


def test_the_faults_look_like_themselves():
    belt = Belt(seed=1, width=160)
    belt.advance(40)
    frame = belt.frame()
    before = frame.copy()
    assert black(frame).max() <= 2
    assert (saturated(frame) == 255).mean() > 0.9
    assert np.diff(blurred(frame).astype(int), axis=1).std() < 0.4 * np.diff(frame.astype(int), axis=1).std()
    assert (frame == before).all()
    with pytest.raises(ValueError, match="sigma_px"):
        blurred(frame, sigma_px=0.0)


def test_a_frozen_camera_repeats_itself_until_it_is_mended():
    belt, camera = Belt(seed=2, width=160), FaultyCamera()
    belt.advance(40)
    assert camera.see(belt.frame()).tobytes() != camera.see(belt.frame()).tobytes()
    camera.set("frozen")
    first = camera.see(belt.frame())
    belt.advance(3)
    assert camera.see(belt.frame()).tobytes() == first.tobytes()
    camera.set(None)
    live = belt.frame()
    assert camera.see(live) is live
    camera.set("frozen")
    assert camera.see(belt.frame()).tobytes() != first.tobytes()


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_keeps_the_shape(fault: str):
    camera = FaultyCamera()
    camera.set(fault)
    seen = camera.see(Belt(seed=3, width=160).frame())
    assert seen.shape == (120, 160, 3)
    assert seen.dtype == np.uint8


def test_an_unknown_fault_is_refused():
    with pytest.raises(ValueError, match="known faults: black"):
        FaultyCamera().set("on fire")
