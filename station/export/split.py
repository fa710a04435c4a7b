"""On which side of train, val and test does a part stand?"""

from __future__ import annotations

import hashlib
import math
from enum import StrEnum

from station.core.errors import ConfigError

RULE = (
    "Groups are split, never samples. A group is the lot where it is known, else the serial, else the part id; "
    "a serial stays for ever in the group in which its first confirmed sample put it, also where a later one names "
    "another lot, so a physical part is never divided. A group's side is sha256(seed, group) read as a number in "
    "[0, 1) and compared with the shares: a later, larger export leaves every group where it was."
)


class Side(StrEnum):
    """A side of the split."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class Splitter:
    """Deals out groups of parts; ask for the samples in the order in which they were confirmed.

    Args:
        shares: Expected shares of groups in train, val and test; they sum to 1.
        seed: Another seed is another split.

    Raises:
        ConfigError: The shares are no shares.
    """

    def __init__(self, shares: tuple[float, float, float], *, seed: int) -> None:
        if (
            len(shares) != 3
            or not all(math.isfinite(s) and s >= 0 for s in shares)
            or not math.isclose(sum(shares), 1.0, abs_tol=1e-6)
        ):
            raise ConfigError(f"the shares {shares} are no split: give train, val and test, each 0 or more, sum 1")
        self.shares, self.seed = shares, seed
        self._group_of_serial: dict[str, str] = {}

    def group(self, part_id: str, *, serial: str | None, lot: str | None) -> str:
        """The group of one part: ``lot:…``, ``serial:…`` or ``part:…``."""
        own = f"lot:{lot}" if lot else f"serial:{serial}" if serial else f"part:{part_id}"
        return self._group_of_serial.setdefault(serial, own) if serial else own

    def side(self, group: str) -> Side:
        """The side of a group; depends on seed, shares and the group's name alone."""
        digest = hashlib.sha256(f"{self.seed}\0{group}".encode()).digest()
        place = int.from_bytes(digest[:6], "big") / 2**48
        edge, last = 0.0, Side.TRAIN
        for side, share in zip(Side, self.shares, strict=True):
            if share > 0:
                edge, last = edge + share, side
                if place < edge:
                    return side
        return last  # 0.1 + 0.2 + 0.7 may end a hair below 1
