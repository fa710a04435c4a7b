"""What was promised about fixed limits, on what evidence, and does it still hold?

A certificate is a value: it is issued once (:mod:`station.calibration.certify`), kept as JSON with a hash over its
content, and asked whether it holds for what runs now. It dies when model, recipe or camera changes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from station.calibration.guarantee import at_most, parts_needed, percent
from station.core.errors import DataRefused

EVERY_CLASS = "*"
"""Key of one limit for defective parts of every class together."""

FORMAT = 1
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Claim:
    """What is promised for one limit.

    Attributes:
        label: The class, or :data:`EVERY_CLASS`.
        limit: ``pass_below``.
        alpha: Miss rate that was to be shown.
        delta: Chance that this claim is wrong: its share among the claims, not yet divided by the looks.
        looks: Evaluations of the sealed set so far, this one included.
        parts: Defective parts.
        lots: Distinct lots among those whose lot is known.
        misses: Defective parts below the limit.
        single: Bound as if this were the only look.
        upper: Bound of the miss rate that is promised, at ``delta / looks``.
    """

    label: str
    limit: float
    alpha: float
    delta: float
    looks: int
    parts: int
    lots: int
    misses: int
    single: float
    upper: float

    @property
    def subject(self) -> str:
        """The class in words."""
        return "every class" if self.label == EVERY_CLASS else self.label

    @property
    def reached(self) -> bool:
        """Whether the promised bound is as low as was to be shown."""
        return self.upper <= self.alpha

    @property
    def missing(self) -> str:
        """What it would take, empty if it is reached: ``+287 defective parts for 1 %``, if none of them is missed."""
        if self.reached:
            return ""
        more = parts_needed(self.alpha, 1 - self.delta / self.looks, self.misses) - self.parts
        return f"+{more} defective parts for {percent(self.alpha)}"

    def __str__(self) -> str:
        words = (
            f"{self.subject}: {self.misses} of {self.parts} defective parts from {self.lots} lots "
            f"missed below {self.limit:.4g}"
        )
        if self.looks == 1:
            words += f"; at most {at_most(self.upper)} at {percent(1 - self.delta)}"
        else:
            words += (
                f"; looked at {self.looks} times: the best of several looks promises less than the "
                f"{at_most(self.single)} of one look; at most {at_most(self.upper)} at {percent(1 - self.delta)} "
                "for all of them at once"
            )
        return f"{words}; {self.missing}" if self.missing else words


@dataclass(frozen=True, slots=True)
class Assumption:
    """Something that the claims rest on.

    Attributes:
        name: Which.
        holds: True, False, or None where nobody has said.
        words: What is known.
    """

    name: str
    holds: bool | None
    words: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """A promise about the limits of one model, recipe and camera, with its evidence.

    Attributes:
        claims: One per limit.
        delta: Chance that any of the claims is wrong.
        looks: Evaluations of the sealed set so far, this one included.
        set_sha256: Which parts with which truth; the scores, which are the model's, are not in it.
        model_sha256: Of the model that gave the scores.
        recipe_sha256: Of the recipe with these limits.
        optics_sha256: Of camera, lens and light; ``None`` for a station that is not calibrated.
        issued_at: With its time zone.
        expires_at: With its time zone.
        assumptions: What the claims rest on.
    """

    claims: tuple[Claim, ...]
    delta: float
    looks: int
    set_sha256: str
    model_sha256: str
    recipe_sha256: str
    optics_sha256: str | None
    issued_at: datetime
    expires_at: datetime
    assumptions: tuple[Assumption, ...]

    def __post_init__(self) -> None:
        for what in ("set_sha256", "model_sha256", "recipe_sha256", "optics_sha256"):
            if what == "optics_sha256" and self.optics_sha256 is None:
                continue
            # Two empty ones would be equal, and a certificate of nothing would hold for everything.
            if not _SHA256.fullmatch(getattr(self, what)):
                raise DataRefused(f"{what} {getattr(self, what)!r} is no SHA-256; give its 64 hexadecimal digits")
        if self.issued_at.tzinfo is None or self.expires_at.tzinfo is None:
            raise DataRefused("a certificate needs times with a time zone; give datetime.now(UTC)")
        if self.expires_at <= self.issued_at:
            raise DataRefused(f"it would expire {self.expires_at} and be issued {self.issued_at}; set a later expiry")
        if not self.claims:
            raise DataRefused("a certificate without a claim promises nothing; give at least one limit")

    @property
    def missing(self) -> tuple[str, ...]:
        """What it would take to reach every claim, in words; empty if all are reached."""
        return tuple(f"{claim.subject}: {claim.missing}" for claim in self.claims if claim.missing)

    def valid_for(self, model_sha256: str, recipe_sha256: str, optics_sha256: str | None, now: datetime) -> list[str]:
        """Why it does not hold for this model, recipe and camera at this time; empty if it holds.

        Claims that were never reached and assumptions known to be broken are reasons too. An assumption of which
        nothing is known is none: it is for people to read.

        Args:
            model_sha256: Of the model in use.
            recipe_sha256: Of the recipe in use.
            optics_sha256: Of camera, lens and light in use; ``None`` for a station that is not calibrated.
            now: With its time zone.

        Raises:
            DataRefused: ``now`` has no time zone.
        """
        if now.tzinfo is None:
            raise DataRefused(f"{now} has no time zone; give datetime.now(UTC)")
        reasons = [
            f"the {what} is another one: certified {_short(mine)}, in use {_short(theirs)}"
            for what, mine, theirs in (
                ("model", self.model_sha256, model_sha256),
                ("recipe", self.recipe_sha256, recipe_sha256),
                ("camera or its optics", self.optics_sha256, optics_sha256),
            )
            if mine != theirs
        ]
        if now < self.issued_at:
            reasons.append(f"it was issued later, {self.issued_at.isoformat()}: check the clock")
        if now >= self.expires_at:
            reasons.append(f"it expired {self.expires_at.isoformat()}")
        reasons += [f"not reached, {words}" for words in self.missing]
        reasons += [f"{a.name}: {a.words}" for a in self.assumptions if a.holds is False]
        return reasons

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with the SHA-256 of the rest under ``sha256``."""
        plain = asdict(self) | {
            "format": FORMAT,
            "claims": [asdict(claim) for claim in self.claims],
            "assumptions": [asdict(assumption) for assumption in self.assumptions],
            "issued_at": self.issued_at.isoformat(),
            "expires_at": self.expires_at.isoformat(),
        }
        return plain | {"sha256": digest(plain)}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Certificate:
        """The certificate that :meth:`to_dict` wrote.

        Raises:
            DataRefused: It was changed since, or is none.
        """
        try:
            plain = {name: value for name, value in found.items() if name != "sha256"}
            if digest(plain) != found.get("sha256"):
                raise DataRefused("the certificate was changed after it was issued; certify again")
            if plain.pop("format", None) != FORMAT:
                raise DataRefused(f"the certificate is not of format {FORMAT}; certify again")
            times = {name: datetime.fromisoformat(plain[name]) for name in ("issued_at", "expires_at")}
            claims = tuple(Claim(**claim) for claim in plain["claims"])
            assumptions = tuple(Assumption(**assumption) for assumption in plain["assumptions"])
            return cls(**plain | times | {"claims": claims, "assumptions": assumptions})
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise DataRefused(f"this is no certificate ({error}); certify again") from error


def _short(sha256: str | None) -> str:
    return "without calibration" if sha256 is None else sha256[:12]


def digest(plain: object) -> str:
    """SHA-256 of plain values as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True, allow_nan=False).encode()).hexdigest()
