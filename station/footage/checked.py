"""Was this picture healthy when it was last looked at under these limits?

Health hangs on the recipe, not on the model, so it is kept beside the scores under the hash of the health limits: one
line per picture, its pixel hash, and behind a tab why it cannot be trusted. A line that is none is passed over: then
the picture is looked at again.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


class Checked:
    """What the health check said of pictures.

    Args:
        root: The folder of all caches.
        health: From :func:`station.footage.reading.health_hash`.
    """

    def __init__(self, root: Path, health: str) -> None:
        self.path = root / f"health-{health[:16]}.txt"
        self._known: dict[str, str | None] = {}
        self._waiting: list[str] = []
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        self._whole = not text or text.endswith("\n")
        for line in text.split("\n")[:-1]:
            sha256, tab, words = line.partition("\t")
            if len(sha256) != 64:
                continue
            try:
                self._known[sha256] = str(json.loads(words)) if tab else None
            except ValueError:
                continue

    def __contains__(self, sha256: object) -> bool:
        return sha256 in self._known

    def ill(self, sha256: str | None) -> str | None:
        """Why the picture is known not to be trusted; ``None`` where it can be, or nobody looked."""
        return self._known.get(sha256 or "")

    def add(self, sha256: str, ill: str | None) -> None:
        """Keeps what the check said."""
        if sha256 not in self._known:
            self._known[sha256] = ill
            self._waiting.append(sha256 if ill is None else f"{sha256}\t{json.dumps(ill)}")

    def flush(self) -> None:
        """Writes what waits. A disk that refuses costs time at the next replay, with a word, nothing else."""
        if not self._waiting:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(("" if self._whole else "\n") + "\n".join(self._waiting) + "\n")
                file.flush()
                os.fsync(file.fileno())
            self._whole = True
        except OSError as error:
            log.warning("what was found healthy cannot be kept in %s: %s", self.path, error)
        self._waiting.clear()
