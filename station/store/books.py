"""Do the books hold? Everything in the ledger that must not be, and what must lie beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from sqlalchemy import Connection, Engine, text

from station.core.errors import LedgerFault
from station.store.queries import balance


def faults_in_books(engine: Engine) -> list[str]:
    """Everything in the ledger that must not be, in words; empty where all is well.

    Checked: the books balance; part numbers have no gap; every release has a passed inspection or a
    person's standing answer; no part has two final commands; every label has its crop and the crop its
    hash; every pass has its picture; every part was judged by the limits of its run, and every run
    by those of its version; limits that widen were approved by a second person; SQLite's own integrity.
    """
    found: list[str] = []
    try:
        _find_faults(engine, found)
    except LedgerFault as fault:  # pages so damaged that SQLite will not read them
        found.append(str(fault))
    return found


def _find_faults(engine: Engine, found: list[str]) -> None:
    books = balance(engine)
    if not books.holds:
        found.append(f"the books do not balance: {books}")
    questions = {
        "released without a pass or a person's answer": """
            SELECT c.part_id FROM command c JOIN inspection i ON i.part_id = c.part_id
            WHERE c.disposition = 'RELEASE' AND NOT (c.confirmation_id IS NULL AND i.evaluation = 'OK' AND i.audit = 0)
            AND NOT EXISTS (SELECT 1 FROM confirmation f WHERE f.id = c.confirmation_id AND f.part_id = c.part_id
                            AND f.answer = 'false_alarm' AND f.undone_at IS NULL)""",
        "rejected or sent to rework without a person's answer": """
            SELECT c.part_id FROM command c WHERE c.disposition IN ('REJECT', 'REWORK')
            AND NOT EXISTS (SELECT 1 FROM confirmation f WHERE f.id = c.confirmation_id AND f.part_id = c.part_id
                            AND f.undone_at IS NULL AND CASE f.answer
                                WHEN 'agree' THEN 'REJECT' WHEN 'other_class' THEN 'REJECT'
                                WHEN 'missed_defect' THEN 'REJECT' WHEN 'rework' THEN 'REWORK'
                                ELSE '' END = c.disposition)""",
        "has more than one final command": """
            SELECT part_id FROM command WHERE disposition <> 'HOLD' GROUP BY part_id HAVING count(*) > 1""",
        "has no command": """
            SELECT part_id FROM inspection i WHERE NOT EXISTS (SELECT 1 FROM command c WHERE c.part_id = i.part_id)""",
        "is held without an open review": """
            SELECT part_id FROM inspection i
            WHERE NOT EXISTS (SELECT 1 FROM command c WHERE c.part_id = i.part_id AND c.disposition <> 'HOLD')
            AND NOT EXISTS (SELECT 1 FROM review r
                            WHERE r.part_id = i.part_id AND r.settled_at IS NULL AND r.moves = 1)""",
        "has a settled review without the command it asked for": """
            SELECT c.part_id FROM confirmation c JOIN review r ON r.id = c.review_id
            WHERE r.settled_at IS NOT NULL AND c.undone_at IS NULL AND c.answer <> 'unsure' AND r.moves = 1
            AND NOT EXISTS (SELECT 1 FROM command d WHERE d.confirmation_id = c.id)""",
        "has a settled review without an answer": """
            SELECT part_id FROM review r WHERE settled_at IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM confirmation c WHERE c.review_id = r.id AND c.undone_at IS NULL)""",
        "has a label without its crop": """
            SELECT c.part_id FROM confirmation c JOIN inspection i ON i.part_id = c.part_id
            WHERE c.answer IN ('agree', 'false_alarm', 'other_class', 'missed_defect') AND i.image_sha256 IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM review r WHERE r.id = c.review_id AND (r.reason = 'challenge' OR (
                r.reason = 'correction' AND i.image_sha256 IN (SELECT image_sha256 FROM dropped_image))))
            AND NOT EXISTS (SELECT 1 FROM sample s WHERE s.confirmation_id = c.id)""",
        "is asked about under another's number without being a challenge, or trains from one": """
            SELECT r.part_id FROM review r WHERE (r.shown_as IS NOT NULL AND r.moves = 1) OR (r.reason = 'challenge'
            AND EXISTS (SELECT 1 FROM sample s JOIN confirmation c ON c.id = s.confirmation_id
                        WHERE c.review_id = r.id))""",
        "passed without a score, a model or a picture": """
            SELECT part_id FROM inspection WHERE evaluation = 'OK'
            AND (score IS NULL OR model_sha256 IS NULL OR image_sha256 IS NULL)""",
        "was judged by other limits than its run's": """
            SELECT part_id FROM inspection i JOIN run n ON n.id = i.run_id WHERE i.recipe_sha256 <> n.recipe_sha256""",
        "limits that widen were put in force without a second person": """
            SELECT 'version ' || e.version_id FROM limits_event e JOIN limits_version v ON v.id = e.version_id
            WHERE e.kind = 'activated' AND e.widens = 1 AND NOT EXISTS (
                SELECT 1 FROM limits_event a WHERE a.version_id = e.version_id AND a.kind = 'approved' AND a.id < e.id
                AND lower(trim(a.person)) <> lower(trim(v.made_by)))""",
    }
    with engine.connect() as connection:
        for words, sql in questions.items():
            parts = [r[0] for r in connection.execute(text(sql)).all()]
            if parts:
                more = f" and {len(parts) - 5} more" if len(parts) > 5 else ""
                found.append(f"{words}: {', '.join(parts[:5])}{more}")
        damaged = [
            str(row[0])
            for row in connection.execution_options(yield_per=64).execute(
                text("SELECT part_id, crop, crop_sha256 FROM sample")
            )
            if hashlib.sha256(row[1]).hexdigest() != row[2]
        ]
        if damaged:
            found.append(f"has a crop that does not match its hash: {', '.join(damaged[:5])}")
        found += [f"run {run_id} {words}" for run_id, words in _wrong_runs(connection)]
        loose = sorted({str(r[0]) for r in connection.execute(text("PRAGMA foreign_key_check")).all()})
        if loose:
            found.append(f"refers to rows that are gone: {', '.join(loose)}")
        whole = [str(w) for w in connection.execute(text("PRAGMA integrity_check(5)")).scalars()]
        if whole != ["ok"]:
            found.append(f"SQLite reports: {'; '.join(whole)}")


def _wrong_runs(connection: Connection) -> Iterator[tuple[int, str]]:
    """Runs whose recipe is not the one they name by its hash, or not under the limits of the version they name."""
    rows = connection.execute(
        text(
            "SELECT n.id, n.recipe_json, n.recipe_sha256, v.limits "
            "FROM run n LEFT JOIN limits_version v ON v.id = n.limits_version"
        )
    )
    for run_id, recipe, sha256, limits in rows:
        if hashlib.sha256(recipe.encode()).hexdigest() != sha256:
            yield run_id, "keeps a recipe that does not match its hash"
        elif limits is not None:
            whole, given = json.loads(recipe), json.loads(limits)
            of_run = {c["name"]: {f: c.get(f) for f in given["classes"].get(c["name"], ())} for c in whole["classes"]}
            if of_run != given["classes"] or whole.get("ignore", []) != given["ignore"]:
                yield run_id, "judged by other limits than those of the version it names"


def needed_images(engine: Engine) -> Iterator[tuple[str, str]]:
    """``(part_id, image_sha256)`` of every picture that must be on disk."""
    with engine.connect() as connection:
        for row in connection.execution_options(yield_per=256).execute(
            text(
                "SELECT part_id, image_sha256 FROM inspection WHERE image_sha256 IS NOT NULL "
                "AND image_sha256 NOT IN (SELECT image_sha256 FROM dropped_image)"
            )
        ):
            yield str(row[0]), str(row[1])


def releases(engine: Engine) -> dict[str, str]:
    """``{part_id: final disposition}`` of every part with a final command."""
    with engine.connect() as connection:
        return {
            str(p): str(d)
            for p, d in connection.execute(
                text("SELECT part_id, disposition FROM command WHERE disposition <> 'HOLD'")
            ).all()
        }
