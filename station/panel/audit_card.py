"""How many defective parts leave this station, as far as audits, stops and challenge parts tell? From the ledger alone.

Everything is counted from the last change of model or recipe on: before it, another machine judged.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from station.calibration.escapes import (
    AuditCard,
    TotalMiss,
    audit_card,
    disagreement,
    product_bound,
    total_miss,
)
from station.calibration.guarantee import DELTA
from station.calibration.rates import Share
from station.core.errors import LedgerFault
from station.panel.reading import Reading
from station.store import queries
from station.store.challenges import challenge_results
from station.store.tally import audited

TARGET = 0.005
"""Share of escapes among passed parts to be shown, unless another one is asked for."""

FRESH_S = 5.0
"""Counts so old are told again: a screen asks every few seconds, and the ledger may be long."""

MOST_RUNS = 500
"""Runs looked back at; more restarts without a change of recipe or model are not expected."""


@dataclass(frozen=True, slots=True)
class Escapes:
    """What is known of escapes.

    Attributes:
        since: When recipe and model came into force, ISO UTC.
        audits: Audited parts found defective, of all judged ones; ``None`` while there is no audit.
        card: Both bounds; ``None`` likewise.
        passed: Parts that the machine passed since then.
        confirmed: Stopped parts in which a person confirmed a defect.
        waiting: Stopped parts that nobody has answered yet; the product bound takes them for defective.
        audit_fraction: Share of the passed parts that is drawn.
        misses: Misses of the model on labelled parts at the limits in force; ``None`` where no footage was named.
        product: Bound of the escapes among passed parts from the stops; ``None`` where it bounds nothing.
        alarm: Whether audits and product bound contradict each other; ``None`` where one is missing.
        inspectors: Defective challenge parts that people let go, of all they were shown; ``None`` without any.
        total: Who lets defective parts go, in upper bounds; ``None`` without ``misses``.
    """

    since: str
    audits: Share | None
    card: AuditCard | None
    passed: int
    confirmed: int
    waiting: int
    audit_fraction: float
    misses: Share | None
    product: float | None
    alarm: bool | None
    inspectors: Share | None
    total: TotalMiss | None


class Auditing:
    """Tells what is known of escapes; the ledger's counts are kept for some seconds. Safe for several threads."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._lock = threading.Lock()
        self._told: tuple[float, str, tuple[int, int], queries.ShiftCounts, Share | None] | None = None

    def escapes(self, *, target: float = TARGET, misses: Share | None = None) -> Escapes:
        """What is known of escapes since the last change.

        Args:
            target: Share of escapes among passed parts to be shown, in (0, 1).
            misses: Misses of the model on labelled parts at the limits in force.

        Raises:
            LedgerFault: The loop has not run yet.
            DataRefused: The target is out of range.
        """
        since, (judged, escaped), counts, inspectors = self._counts()
        recipe = self._reading.recipe()
        audits = Share(escaped, judged) if judged else None
        passed = counts.by_evaluation.get("OK", 0)
        confirmed = max(0, counts.confirmed_defects - counts.audit_escapes)
        product = alarm = None
        if misses is not None and passed:
            bound = product_bound(confirmed + counts.waiting, passed, misses)
            product = bound if bound < 1.0 else None
            if audits is not None:
                alarm = disagreement(audits, confirmed + counts.waiting, passed, misses) is not None
        total = None
        if misses is not None:
            half = 1 - DELTA / 2
            total = total_miss(
                misses.upper(half), inspectors.upper(half) if inspectors else 0.0, recipe.review.audit_fraction
            )
        return Escapes(
            since=since,
            audits=audits,
            card=audit_card(audits, target) if audits is not None else None,
            passed=passed,
            confirmed=confirmed,
            waiting=counts.waiting,
            audit_fraction=recipe.review.audit_fraction,
            misses=misses,
            product=product,
            alarm=alarm,
            inspectors=inspectors,
            total=total,
        )

    def _counts(self) -> tuple[str, tuple[int, int], queries.ShiftCounts, Share | None]:
        with self._lock:
            if self._told is None or time.monotonic() - self._told[0] > FRESH_S:
                engine = self._reading.engine
                since = self._since()
                results = challenge_results(engine, since=since)
                shown, found = (sum(r.defects[k] for r in results) for k in (0, 1))
                inspectors = Share(shown - found, shown) if shown else None
                told = audited(engine, since=since), queries.shift_counts(engine, since=since), inspectors
                self._told = (time.monotonic(), since, *told)
            return self._told[1:]

    def _since(self) -> str:
        """When the newest recipe and model came into force: the start of the first run of them without a break."""
        engine = self._reading.engine
        newest = self._reading.run()
        if newest is None:
            raise LedgerFault("the loop has not run yet: start it first")
        first = newest
        for run_id in range(newest.id - 1, max(0, newest.id - MOST_RUNS), -1):
            before = queries.run(engine, run_id)
            if before is None or (before.recipe_json, before.model) != (newest.recipe_json, newest.model):
                break
            first = before
        return first.started_at
