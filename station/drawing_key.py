"""Which secret draws the audits of a ledger, and is it still the one its audits were drawn with?

Anyone who holds the key can check afterwards that the audited parts were drawn and not chosen. That holds only as
long as the key stays the same, so its loss or its exchange is an error and never quietly mended.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from station.core.errors import ConfigError
from station.core.part import PartId
from station.decision import drawn
from station.store.ledger import Ledger
from station.store.past import drawn_audits

KEY_BYTES = 32
AUDITS_CHECKED = 200
FORMER_NAME = "drawing.key"


def drawing_key(path: Path, ledger: Ledger) -> bytes:
    """The secret for audit draws, made with the ledger; readable by its user only.

    Args:
        path: The key's file.
        ledger: The ledger it belongs to.

    Raises:
        ConfigError: The key is gone, damaged, or another one than the ledger's audits were drawn with.
        LedgerFault: The ledger cannot be read.
    """
    if not path.exists():
        if ledger.next_number() > 1:
            raise ConfigError(f"the drawing key {path} of the ledger {ledger.path} is gone: {_remedy(path)}")
        _make(path)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{path} holds {len(key)} bytes instead of {KEY_BYTES}: {_remedy(path)}")
    for part_id, fraction in drawn_audits(ledger, limit=AUDITS_CHECKED):
        if not drawn(key, PartId(part_id), fraction, "audit"):
            raise ConfigError(
                f"{path} is not the key that the audit of part {part_id} was drawn with, it was exchanged: "
                f"{_remedy(path)}"
            )
    return key


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _remedy(path: Path) -> str:
    if path.with_name(FORMER_NAME).is_file():
        stem = path.stem
        return (
            f"files of an earlier version lie beside it: rename {FORMER_NAME} to {path.name}, images to {stem}.images "
            f"and line.journal to {stem}.journal"
        )
    return "restore it from a backup, audits hang on it; without one, start a new ledger with --db"
