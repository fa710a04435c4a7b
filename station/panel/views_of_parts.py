"""Which pictures show the same physical part, and what holds of the part if something holds of its pictures?

Groups of rows, laid out once, so that a question about a hundred thousand parts is one pass over a column.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Pictures of several physical parts, those of one part one after the other.

    Attributes:
        rows: Which pictures, ``(pictures,)``.
        starts: Where in ``rows`` each part begins, ``(parts,)``.
    """

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, rows: NDArray[np.int64], unit: NDArray[np.int64]) -> Group:
        """The pictures ``rows``, together by ``unit`` (of every picture)."""
        ordered = rows[np.argsort(unit[rows], kind="stable")]
        which = unit[ordered]
        begins = np.flatnonzero(np.r_[True, which[1:] != which[:-1]]) if len(which) else np.zeros(0, np.int64)
        return cls(ordered, begins.astype(np.int64))

    def __len__(self) -> int:
        return len(self.starts)

    def any(self, of_pictures: Bools) -> Bools:
        """Per part: whether it is true of any of its pictures."""
        if not len(self):
            return np.zeros(0, np.bool_)
        return np.asarray(np.logical_or.reduceat(of_pictures[self.rows], self.starts))

    def least(self, of_pictures: Floats) -> Floats:
        """Per part: the smallest over its pictures."""
        return np.asarray(np.minimum.reduceat(of_pictures[self.rows], self.starts)) if len(self) else np.zeros(0)

    def most(self, of_pictures: Floats) -> Floats:
        """Per part: the largest over its pictures."""
        return np.asarray(np.maximum.reduceat(of_pictures[self.rows], self.starts)) if len(self) else np.zeros(0)


NOBODY = Group(np.zeros(0, np.int64), np.zeros(0, np.int64))
"""No part at all."""
