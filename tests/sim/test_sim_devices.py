"""Do the simulated camera, line and truth behave as the real ones must?"""

from __future__ import annotations

from pathlib import Path

import pytest

from station.core.errors import LineFault, SourceEnded
from station.core.part import PartId
from station.core.timing import ManualClock
from station.core.verdict import Disposition, StationState
from station.recipe import PresenceSettings
from station.sim.devices import KnownTruth, SimulatedLine, SimulatorSource, read_journal
from station.sim.world import Belt
from station.trigger import make_trigger


def source(*, parts: int, seed: int = 3, moving: bool = True) -> SimulatorSource:
    belt = Belt(seed=seed, parts=parts, width=160, defect_rate=0.5)
    return SimulatorSource(belt, clock=ManualClock(), frames_per_s=0, moving=lambda: moving)


def test_every_part_is_sighted_once_with_its_own_truth() -> None:
    camera = source(parts=12)
    known = KnownTruth(make_trigger(PresenceSettings()), camera)
    sightings = []
    while True:
        try:
            frame = camera.read(1.0)
        except SourceEnded:
            sightings += known.flush()
            break
        assert frame is not None
        assert frame.simulated
        sightings += known.update(frame)
    belt = Belt(seed=3, parts=12, width=160, defect_rate=0.5)
    assert [s.frame.serial for s in sightings] == [belt.spec(n).serial for n in range(12)]
    for n, sighting in enumerate(sightings):
        assert (sighting.frame.truth != "ok") == belt.spec(n).defective
        part = known.known(str(sighting.frame.serial))
        assert part is not None
        assert len(part.defects) == len(belt.spec(n).planted)
        cut = sighting.cut()
        assert cut is not None
        for defect in part.defects:
            assert 0 <= defect.box.x0 < defect.box.x1 <= cut.shape[1] + 1


def test_a_standing_belt_shows_the_same_scene_and_uses_up_no_part() -> None:
    camera = source(parts=2, moving=False)
    clock_before = camera._clock.monotonic()
    indexes = [frame.index for _ in range(5) if (frame := camera.read(1.0)) is not None]
    assert indexes == [0, 1, 2, 3, 4]
    assert camera._belt.travelled_px == 0
    assert camera._clock.monotonic() > clock_before, "a standing belt must not cost a whole core"


def test_a_paced_camera_waits_no_longer_than_asked() -> None:
    camera = SimulatorSource(Belt(seed=1, parts=1, width=160), clock=ManualClock(), frames_per_s=1)
    assert camera.read(5.0) is not None
    assert camera.read(0.25) is None
    assert camera.read(5.0) is not None


def test_a_closed_camera_has_ended() -> None:
    camera = source(parts=1)
    camera.close()
    camera.close()
    with pytest.raises(SourceEnded):
        camera.read(0.1)


def test_the_line_rests_on_hold_and_moves_on_running_only() -> None:
    line = SimulatedLine()
    assert not line.moving
    for state in StationState:
        line.show(state)
        assert line.moving == (state is StationState.RUNNING)
    line.show(StationState.RUNNING)
    line.close()
    assert not line.moving


def test_the_line_takes_each_command_once_and_remembers_across_lives(tmp_path: Path) -> None:
    journal = tmp_path / "line.journal"
    line = SimulatedLine(journal)
    part = PartId("ST01-000001")
    for disposition in (Disposition.HOLD, Disposition.HOLD, Disposition.RELEASE, Disposition.RELEASE):
        line.sort(part, disposition)
    line.close()
    again = SimulatedLine(journal)
    again.sort(part, Disposition.RELEASE)
    with pytest.raises(LineFault, match="already left as RELEASE"):
        again.sort(part, Disposition.REJECT)
    again.close()
    assert read_journal(journal) == [(part, "HOLD"), (part, "RELEASE")]


def test_an_unfinished_journal_line_does_not_count(tmp_path: Path) -> None:
    journal = tmp_path / "line.journal"
    journal.write_text("ST01-000001 RELEASE\nST01-0000")
    assert read_journal(journal) == [("ST01-000001", "RELEASE")]
    line = SimulatedLine(journal)
    line.sort(PartId("ST01-000002"), Disposition.RELEASE)
    line.close()
    assert read_journal(journal)[-1] == ("ST01-000002", "RELEASE")
