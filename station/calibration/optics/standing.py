"""May the machine release by itself: was the camera checked of late, and was it good?

A station with a baseline is checked at the start of each shift. The newest outcome lies in ``check.json``; where it is
missing, too old, bad, or was taken under another baseline or other corrections, nothing is released automatically. A
station that never made a baseline is not checked, so nothing is held there for want of one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import Field, ValidationError

from station.calibration.optics.baseline import BaselineRecord
from station.calibration.optics.record import Record, read_record, write_bytes
from station.core.errors import ConfigError
from station.core.timing import Clock

BASELINE, PICTURE, CHECK = "baseline.toml", "baseline.png", "check.json"
REMEDY = "run 'station calibrate check'"

LOOK_EVERY_S = 1.0
_SLACK = timedelta(minutes=2)  # a clock that was set back a little


class Check(Record):
    """The outcome of one check."""

    at: datetime = Field(description="When the picture was taken (UTC).")
    good: bool
    words: tuple[str, ...] = ()
    baseline_sha256: str
    optics_sha256: str | None = None


def keep_check(folder: Path, check: Check) -> None:
    """Writes the newest outcome into the station's folder.

    Raises:
        ConfigError: It cannot be written.
    """
    data = json.dumps(check.model_dump(mode="json"), indent=1, ensure_ascii=False)
    write_bytes(folder / CHECK, (data + "\n").encode())


def why_blocked(folder: Path, *, optics_sha256: str | None, now: datetime, hours: float) -> str | None:
    """Why nothing may be released automatically, in words; ``None`` where it may.

    Args:
        folder: The station's calibration.
        optics_sha256: Hash of the corrections in force.
        now: UTC.
        hours: How long a check holds.
    """
    path = folder / BASELINE
    try:
        if not path.exists():
            return (
                None if not (folder / PICTURE).exists() else f"{path} is gone: run 'station calibrate baseline' again"
            )
        baseline = read_record(path, BaselineRecord, remedy="run 'station calibrate baseline' again")
    except (ConfigError, OSError) as error:
        return str(error)
    if baseline.optics_sha256 != optics_sha256:
        return "the camera's calibration is not the one of its baseline: run 'station calibrate baseline', then check"
    try:
        check = Check.model_validate_json((folder / CHECK).read_bytes())
    except FileNotFoundError:
        return f"the camera was not checked yet: {REMEDY}"
    except (OSError, ValidationError) as error:
        return f"{folder / CHECK} cannot be read ({type(error).__name__}): {REMEDY}"
    if (check.baseline_sha256, check.optics_sha256) != (baseline.sha256, optics_sha256):
        return f"the baseline or the calibration changed since the camera was checked: {REMEDY}"
    if check.at.tzinfo is None or check.at > now + _SLACK:
        return f"the camera's check lies in the future: set the clock, then {REMEDY}"
    if now - check.at > timedelta(hours=hours):
        return f"the camera was last checked at {check.at:%Y-%m-%d %H:%M} UTC, {hours:g} h ago or more: {REMEDY}"
    if not check.good:
        return (
            f"the camera is out since {check.at:%Y-%m-%d %H:%M} UTC ({'; '.join(check.words)}): mend it, then {REMEDY}"
        )
    return None


class Standing:
    """The answer while the station runs: asked for every frame, looked up once a second.

    Args:
        folder: The station's calibration.
        optics_sha256: Hash of the corrections in force.
        hours: How long a check holds.
        clock: For the age of the check.
        look: Tests give their own.
    """

    def __init__(
        self,
        folder: Path,
        *,
        optics_sha256: str | None,
        hours: float,
        clock: Clock,
        look: Callable[..., str | None] = why_blocked,
    ) -> None:
        self._folder, self._optics_sha256, self._hours, self._clock, self._look = (
            folder,
            optics_sha256,
            hours,
            clock,
            look,
        )
        self._looked_s: float | None = None
        self._words: str | None = None

    def __call__(self) -> str | None:
        """Why nothing may be released automatically; ``None`` where it may."""
        now_s = self._clock.monotonic()
        if self._looked_s is None or now_s - self._looked_s >= LOOK_EVERY_S:
            self._words = self._look(
                self._folder, optics_sha256=self._optics_sha256, now=self._clock.now(), hours=self._hours
            )
            self._looked_s = now_s
        return self._words
