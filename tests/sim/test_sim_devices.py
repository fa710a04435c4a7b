"""Do the simulated camera, line and truth behave as the real ones must?"""

from __future__ import annotations

import errno
import os
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


@pytest.mark.parametrize("rest", [b"ST01-0000", b"ST01-000002 RELEA", b"\xff\xfe\x00"])
def test_an_unfinished_journal_line_is_cut_at_the_next_start(tmp_path: Path, rest: bytes) -> None:
    journal = tmp_path / "line.journal"
    journal.write_bytes(b"ST01-000001 RELEASE\n" + rest)
    assert read_journal(journal) == [("ST01-000001", "RELEASE")]
    line = SimulatedLine(journal)
    assert journal.read_bytes() == b"ST01-000001 RELEASE\n"
    line.sort(PartId("ST01-000002"), Disposition.RELEASE)
    line.close()
    assert read_journal(journal) == [("ST01-000001", "RELEASE"), ("ST01-000002", "RELEASE")]


@pytest.mark.parametrize("cut_fails", [False, True])
@pytest.mark.parametrize("half", [0, 1, 9, 18])
def test_a_full_disk_leaves_no_half_line_in_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half: int, cut_fails: bool
) -> None:
    journal = tmp_path / "line.journal"
    line = SimulatedLine(journal)
    first, second, third = (PartId(f"ST01-{n:06d}") for n in (1, 2, 3))
    line.sort(first, Disposition.HOLD)
    with monkeypatch.context() as full:
        real = os.write
        full.setattr(os, "write", lambda file, data: real(file, data[:half]))
        if cut_fails:
            full.setattr(os, "ftruncate", _disk_error)
        for _ in range(2):
            with pytest.raises(LineFault, match="disk"):
                line.sort(second, Disposition.RELEASE)
        if not cut_fails:
            assert journal.read_text() == "ST01-000001 HOLD\n"
    line.sort(third, Disposition.RELEASE)
    line.sort(second, Disposition.RELEASE)
    line.sort(first, Disposition.RELEASE)
    line.close()
    told = [(first, "HOLD"), (third, "RELEASE"), (second, "RELEASE"), (first, "RELEASE")]
    assert read_journal(journal) == told


def _disk_error(*_: object) -> None:
    raise OSError(errno.EIO, "disk error")


def test_a_journal_that_holds_something_else_is_refused_by_line(tmp_path: Path) -> None:
    journal = tmp_path / "line.journal"
    for wrong in ("ST01-000002 REST01-000003 RELEASE\n", "ST01-000002\n", "ST01-000002 AWAY\n", "\n"):
        journal.write_text("ST01-000001 RELEASE\n" + wrong)
        with pytest.raises(LineFault, match=r"line 2 of .*line\.journal.*mend it"):
            SimulatedLine(journal)
    with pytest.raises(LineFault, match="cannot be read"):
        SimulatedLine(tmp_path)
