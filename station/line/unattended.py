"""What stands in for a line where there is none: footage, and stations that only advise."""

from __future__ import annotations

from station.core.part import PartId
from station.core.ports import LineSignals
from station.core.verdict import Disposition, StationState


class Unattended:
    """Commands nothing; the ledger still keeps every disposition."""

    name = "no line"

    def poll(self) -> LineSignals:
        """Nothing to ask."""
        return LineSignals(connected=True, moving=True)

    def sort(self, part_id: PartId, disposition: Disposition) -> None:
        """Nothing moves."""

    def show(self, state: StationState) -> None:
        """Nobody looks."""

    def close(self) -> None:
        """Nothing to let go of."""
