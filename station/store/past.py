"""What does a station that starts ask its ledger's past? Which pictures had to go, and which audits were drawn."""

from __future__ import annotations

from sqlalchemy import text

from station.store.ledger import Ledger


def dropped_images(ledger: Ledger) -> list[str]:
    """Every picture noted as dropped; a crash may have left its file on disk.

    Raises:
        LedgerFault: The ledger cannot be read.
    """
    with ledger.transaction() as session:
        return [str(h) for h in session.execute(text("SELECT image_sha256 FROM dropped_image")).scalars()]


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
