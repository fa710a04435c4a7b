"""What does a station that starts ask its ledger's past? Which pictures had to go, and which audits were drawn."""

from __future__ import annotations

from sqlalchemy import text

from station.store.ledger import Ledger

NEWEST_DROPS = 4096
"""Drops are noted in batches, each removed before the next is noted; what a crash left is among the newest."""


def dropped_images(ledger: Ledger) -> list[str]:
    """The pictures noted last as dropped; a crash may have left their files on disk.

    Raises:
        LedgerFault: The ledger cannot be read.
    """
    newest = text("SELECT image_sha256 FROM dropped_image ORDER BY rowid DESC LIMIT :n")
    with ledger.transaction() as session:
        return [str(h) for h in session.execute(newest, {"n": NEWEST_DROPS}).scalars()]


def drawn_audits(ledger: Ledger, *, limit: int) -> list[tuple[str, float]]:
    """The newest audited parts with the probability they were drawn with: ``[(part_id, fraction)]``.

    Raises:
        LedgerFault: The ledger cannot be read.
    """
    with ledger.transaction() as session:
        rows = session.execute(
            text("SELECT part_id, p_select FROM inspection WHERE audit = 1 ORDER BY number DESC LIMIT :n"), {"n": limit}
        ).all()
    return [(str(part_id), float(fraction)) for part_id, fraction in rows]
