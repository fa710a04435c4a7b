"""What can the panel read, and where does it lie? The ledger and the pictures, never written to.

The panel may be started before the loop has ever run: then there is no ledger yet, which is said as such.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path

from pydantic import ValidationError

from station.config import StationConfig
from station.core.errors import LedgerFault
from station.recipe import Recipe
from station.store import queries
from station.store.database import Reader, open_reader
from station.store.images import image_path
from station.store.queries import RunInfo
from station.store.tally import ShiftTally

IMAGE_NAME = re.compile(r"[0-9a-f]{64}")
REFERENCE_FORMS = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png"}
HIDDEN_UNTIL_SETTLED = 1000
"""Open reviews looked through for hidden verdicts; far above any review lane."""


class Reading:
    """Read-only access to one station's store; safe to use from several threads."""

    def __init__(self, config: StationConfig) -> None:
        self.config = config
        self._engine: Reader | None = None
        self._recipes: dict[int, Recipe] = {}
        self._hidden: dict[int, str] = {}
        self.tally = ShiftTally()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Gives the connections back."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    @property
    def engine(self) -> Reader:
        """The ledger, opened read-only at the first use.

        Raises:
            LedgerFault: There is none yet.
        """
        with self._lock:
            if self._engine is None:
                self._engine = open_reader(self.config.store.database)
            return self._engine

    def run(self) -> RunInfo | None:
        """The loop's newest run; ``None`` in a fresh ledger."""
        return queries.newest_run(self.engine)

    def recipe(self, run_id: int | None = None) -> Recipe:
        """A run's recipe, as it wrote it down when it started; by default the newest run's, which is in force.

        Raises:
            LedgerFault: No such run has been noted, or its recipe cannot be read.
        """
        with self._lock:
            known = self._recipes.get(run_id or 0)
        if known is not None:
            return known
        run = self.run() if run_id is None else queries.run(self.engine, run_id)
        if run is None:
            raise LedgerFault("the loop has not run yet: start it first")
        with self._lock:
            if run.id not in self._recipes:
                try:
                    self._recipes[run.id] = Recipe.model_validate_json(run.recipe_json)
                except ValidationError as error:
                    raise LedgerFault(f"the recipe of run {run.id} cannot be read: {error}") from error
            return self._recipes[run.id]

    def hidden_parts(self) -> frozenset[str]:
        """Parts whose verdict must not be shown anywhere: a blind question about them is not settled yet.

        An answered question stays hidden until it is settled, because its answer can still be taken back.
        """
        asked = queries.open_reviews(self.engine, limit=HIDDEN_UNTIL_SETTLED)
        open_now = {r.id: r.part.part_id for r in asked if r.blind and r.moves}
        with self._lock:
            before = dict(self._hidden)
        for review_id, part_id in before.items():
            if review_id not in open_now:
                review = queries.review(self.engine, review_id)
                if review is not None and not review.settled:
                    open_now[review_id] = part_id
        with self._lock:
            self._hidden = open_now
        return frozenset(open_now.values())

    def image_path(self, sha256: str) -> Path | None:
        """The file of a part's picture; ``None`` where there is none of that name."""
        if not IMAGE_NAME.fullmatch(sha256):
            return None
        path = image_path(self.config.store.images, sha256)
        return path if path.is_file() else None

    def reference_path(self) -> Path | None:
        """The recipe's picture of a good part; ``None`` where it names none or the file is absent."""
        try:
            reference = self.recipe().reference
        except LedgerFault:
            return None
        if reference is None:
            return None
        folder = self.config.recipes.resolve()
        path = (folder / reference).resolve()
        inside = path.is_relative_to(folder) and path.suffix.lower() in REFERENCE_FORMS
        return path if inside and path.is_file() else None
