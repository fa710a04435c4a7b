"""How is a PIN or a password kept, and does one fit? As an argon2id hash, compared in the same time for everybody."""

from __future__ import annotations

import secrets
import threading
from contextlib import suppress

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""argon2id with 19 MiB: 25 ms on one core of a small machine, and a busy one still answers within 100 ms."""


class Vault:
    """Makes and compares hashes, one at a time: each takes its memory and a core, and the loop needs both.

    Args:
        hasher: Parameters of new hashes; those of other parameters are made anew at their next right use.
    """

    def __init__(self, hasher: PasswordHasher = HASHER) -> None:
        self._hasher = hasher
        self._decoy: str | None = None
        self._one = threading.Lock()

    def hash(self, secret: str) -> str:
        """The hash to keep; blocks for the time of one hash.

        Raises:
            ValueError: No such secret may be used; the message says what may.
        """
        fault = fault_of(secret)
        if fault is not None:
            raise ValueError(fault)
        with self._one:
            return self._hasher.hash(secret)

    def fits(self, hashed: str | None, secret: str) -> bool:
        """Whether the secret is the one; ``None`` never fits and takes as long. Blocks for the time of one hash."""
        with self._one:
            if self._decoy is None:
                self._decoy = self._hasher.hash(secrets.token_hex(32))
            with suppress(VerificationError, InvalidHashError):
                return self._hasher.verify(hashed or self._decoy, secret) and hashed is not None
            return False

    def renewed(self, hashed: str, secret: str) -> str:
        """The hash to keep from now on: a new one where ``hashed`` was made with other parameters."""
        with self._one:
            return self._hasher.hash(secret) if self._hasher.check_needs_rehash(hashed) else hashed


def fault_of(secret: str) -> str | None:
    """Why a secret cannot be used; ``None`` where it can."""
    if secret.isascii() and secret.isdigit() and 4 <= len(secret) <= 12:
        return None
    if 8 <= len(secret) <= 128:
        return None
    return "a PIN has 4 to 12 digits, a password 8 to 128 characters"
