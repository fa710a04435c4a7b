"""How did the ledger's tables come to be? One numbered, frozen step after the other.

Each step runs in one transaction together with its own record, with foreign keys off; counts of all
rows are compared before and after. A step that has been released is never edited: add the next one.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

from station.core.errors import LedgerFault


@dataclass(frozen=True, slots=True)
class Migration:
    """One step.

    Attributes:
        version: 1, 2, 3 …, gapless.
        name: What it does, for the record.
        statements: SQL, run in order.
        drops_rows: True where losing rows is the purpose.
    """

    version: int
    name: str
    statements: tuple[str, ...]
    drops_rows: bool = False


def _append_only(table: str, frozen_columns: str, name: str) -> tuple[str, str, str]:
    columns = [c.strip() for c in frozen_columns.split(",")]
    changed = " OR ".join(f"OLD.{c} IS NOT NEW.{c}" for c in columns)
    return (
        f"CREATE TRIGGER {name}_no_delete BEFORE DELETE ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} rows are never deleted'); END",
        f"CREATE TRIGGER {name}_no_update BEFORE UPDATE ON {table} WHEN {changed} "
        f"BEGIN SELECT RAISE(ABORT, '{table} rows are never changed'); END",
        # INSERT OR REPLACE deletes without asking the trigger above (unless recursive triggers are on).
        f"CREATE TRIGGER {name}_no_replace BEFORE INSERT ON {table} "
        f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {columns[0]} = NEW.{columns[0]}) "
        f"BEGIN SELECT RAISE(ABORT, '{table} rows are never replaced'); END",
    )


_FIRST = (
    """CREATE TABLE run (
        id INTEGER PRIMARY KEY,
        started_at TEXT NOT NULL,
        ended_at TEXT,
        station TEXT NOT NULL,
        recipe TEXT NOT NULL,
        recipe_sha256 TEXT NOT NULL,
        recipe_json TEXT NOT NULL CONSTRAINT run_recipe_is_json CHECK (json_valid(recipe_json)),
        model TEXT,
        model_sha256 TEXT,
        source TEXT NOT NULL,
        line TEXT NOT NULL,
        software TEXT NOT NULL,
        optics_sha256 TEXT,
        limits_version INTEGER REFERENCES limits_version(id) ON DELETE RESTRICT
    ) STRICT""",
    """CREATE TABLE limits_version (
        id INTEGER PRIMARY KEY,
        recipe TEXT NOT NULL CONSTRAINT limits_version_recipe CHECK (length(recipe) > 0),
        model TEXT,
        made_at TEXT NOT NULL,
        made_by TEXT NOT NULL CONSTRAINT limits_version_made_by CHECK (length(trim(made_by)) > 0),
        base INTEGER REFERENCES limits_version(id) ON DELETE RESTRICT
            CONSTRAINT limits_version_base_is_older CHECK (base < id),
        limits TEXT NOT NULL CONSTRAINT limits_version_limits CHECK (
            json_type(limits, '$.classes') IS 'object' AND json_type(limits, '$.ignore') IS 'array'
        ),
        reason TEXT NOT NULL CONSTRAINT limits_version_has_reason CHECK (length(trim(reason)) > 0),
        diff TEXT CONSTRAINT limits_version_diff CHECK (diff IS NULL OR json_type(diff) IS 'object'),
        certificate TEXT
            CONSTRAINT limits_version_certificate CHECK (certificate IS NULL OR json_type(certificate) IS 'object'),
        widens INTEGER NOT NULL CONSTRAINT limits_version_widens CHECK (widens IN (0, 1))
    ) STRICT""",
    "CREATE INDEX limits_version_recipe ON limits_version(recipe, id)",
    """CREATE TABLE limits_event (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE CONSTRAINT limits_event_key CHECK (length(key) > 0),
        recipe TEXT NOT NULL,
        version_id INTEGER REFERENCES limits_version(id) ON DELETE RESTRICT,
        kind TEXT NOT NULL CONSTRAINT limits_event_kind
            CHECK (kind IN ('drafted', 'approved', 'activated', 'rolled_back', 'withdrawn')),
        at TEXT NOT NULL,
        person TEXT NOT NULL CONSTRAINT limits_event_person CHECK (length(trim(person)) > 0),
        via TEXT NOT NULL CONSTRAINT limits_event_via CHECK (via IN ('panel', 'command line')),
        reason TEXT NOT NULL CONSTRAINT limits_event_has_reason CHECK (length(trim(reason)) > 0),
        widens INTEGER CONSTRAINT limits_event_widens CHECK (widens IN (0, 1)),
        CONSTRAINT limits_event_says_whether_it_widens
            CHECK ((widens IS NOT NULL) = (kind IN ('activated', 'rolled_back'))),
        -- Without a version it is about the limits of the recipe file, which need nobody's draft.
        CONSTRAINT limits_event_is_about_a_version
            CHECK (version_id IS NOT NULL OR kind IN ('activated', 'rolled_back'))
    ) STRICT""",
    "CREATE INDEX limits_event_recipe ON limits_event(recipe, id)",
    "CREATE INDEX limits_event_version ON limits_event(version_id) WHERE version_id IS NOT NULL",
    """CREATE TABLE inspection (
        number INTEGER PRIMARY KEY,
        part_id TEXT NOT NULL UNIQUE,
        run_id INTEGER NOT NULL REFERENCES run(id) ON DELETE RESTRICT,
        triggered_at TEXT NOT NULL,
        source TEXT NOT NULL,
        frame_index INTEGER NOT NULL,
        origin_x REAL NOT NULL,
        origin_y REAL NOT NULL,
        simulated INTEGER NOT NULL CONSTRAINT inspection_simulated CHECK (simulated IN (0, 1)),
        serial TEXT,
        lot TEXT,
        truth TEXT,
        image_sha256 TEXT,
        image_width INTEGER,
        image_height INTEGER,
        recipe_sha256 TEXT NOT NULL,
        model_sha256 TEXT,
        preprocess TEXT,
        evaluation TEXT NOT NULL
            CONSTRAINT inspection_evaluation CHECK (evaluation IN ('OK', 'NOT_OK', 'NOT_DECIDABLE', 'UNDEFINED')),
        reason TEXT NOT NULL CONSTRAINT inspection_has_reason CHECK (length(reason) > 0),
        score REAL CONSTRAINT inspection_score CHECK (score BETWEEN 0.0 AND 1.0),
        label TEXT,
        scores TEXT NOT NULL CONSTRAINT inspection_scores_json CHECK (json_valid(scores)),
        candidates TEXT NOT NULL CONSTRAINT inspection_candidates_json CHECK (json_valid(candidates)),
        p_select REAL NOT NULL CONSTRAINT inspection_p_select CHECK (p_select BETWEEN 0.0 AND 1.0),
        audit INTEGER NOT NULL CONSTRAINT inspection_audit CHECK (audit IN (0, 1)),
        stage_ms TEXT NOT NULL,
        heat BLOB CONSTRAINT inspection_heat CHECK (heat IS NULL OR length(heat) > 0),
        CONSTRAINT inspection_pass_has_evidence CHECK (
            evaluation <> 'OK'
            OR (score IS NOT NULL AND model_sha256 IS NOT NULL AND image_sha256 IS NOT NULL)
        ),
        CONSTRAINT inspection_audits_passed_parts CHECK (audit = 0 OR evaluation = 'OK')
    ) STRICT""",
    "CREATE INDEX inspection_triggered_at ON inspection(triggered_at)",
    "CREATE INDEX inspection_stopped ON inspection(number) WHERE evaluation <> 'OK'",
    """CREATE TABLE review (
        id INTEGER PRIMARY KEY,
        part_id TEXT NOT NULL REFERENCES inspection(part_id) ON DELETE RESTRICT,
        opened_at TEXT NOT NULL,
        reason TEXT NOT NULL
            CONSTRAINT review_reason
            CHECK (reason IN (
                'uncertain', 'rejected', 'undefined', 'audit', 'second_person', 'challenge', 'correction'
            )),
        blind INTEGER NOT NULL CONSTRAINT review_blind CHECK (blind IN (0, 1)),
        moves INTEGER NOT NULL CONSTRAINT review_moves CHECK (moves = (reason NOT IN ('challenge', 'correction'))),
        shown_as TEXT
            REFERENCES inspection(part_id) ON DELETE RESTRICT
            CONSTRAINT review_shown_as CHECK ((shown_as IS NOT NULL) = (reason = 'challenge')),
        excluded_person TEXT,
        claimed_by TEXT,
        claimed_until TEXT,
        settled_at TEXT
    ) STRICT""",
    "CREATE UNIQUE INDEX review_one_open_per_part ON review(part_id) WHERE settled_at IS NULL",
    "CREATE INDEX review_open ON review(opened_at) WHERE settled_at IS NULL",
    "CREATE INDEX review_part ON review(part_id)",
    "CREATE INDEX review_shown ON review(shown_as) WHERE shown_as IS NOT NULL",
    """CREATE TABLE confirmation (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        review_id INTEGER NOT NULL REFERENCES review(id) ON DELETE RESTRICT,
        part_id TEXT NOT NULL REFERENCES inspection(part_id) ON DELETE RESTRICT,
        answer TEXT NOT NULL
            CONSTRAINT confirmation_answer
            CHECK (answer IN ('agree', 'false_alarm', 'other_class', 'missed_defect', 'unsure', 'rework')),
        person TEXT NOT NULL CONSTRAINT confirmation_person CHECK (length(person) > 0),
        answered_at TEXT NOT NULL,
        seconds REAL NOT NULL CONSTRAINT confirmation_seconds CHECK (seconds >= 0.0),
        label TEXT,
        box TEXT CONSTRAINT confirmation_box CHECK (box IS NULL OR json_array_length(box) = 4),
        note TEXT,
        shown TEXT NOT NULL,
        cause TEXT CONSTRAINT confirmation_cause CHECK (cause IS NULL OR answer = 'false_alarm'),
        judgements TEXT NOT NULL CONSTRAINT confirmation_judgements CHECK (json_valid(judgements)),
        undone_at TEXT,
        undone_by TEXT,
        undo_key TEXT UNIQUE
    ) STRICT""",
    "CREATE INDEX confirmation_part ON confirmation(part_id)",
    "CREATE UNIQUE INDEX confirmation_one_standing ON confirmation(review_id) WHERE undone_at IS NULL",
    """CREATE TABLE command (
        id INTEGER PRIMARY KEY,
        part_id TEXT NOT NULL REFERENCES inspection(part_id) ON DELETE RESTRICT,
        disposition TEXT NOT NULL
            CONSTRAINT command_disposition CHECK (disposition IN ('RELEASE', 'HOLD', 'REJECT', 'REWORK')),
        confirmation_id INTEGER UNIQUE REFERENCES confirmation(id) ON DELETE RESTRICT,
        decided_at TEXT NOT NULL,
        acknowledged_at TEXT
    ) STRICT""",
    "CREATE INDEX command_part ON command(part_id)",
    "CREATE UNIQUE INDEX command_one_final_per_part ON command(part_id) WHERE disposition <> 'HOLD'",
    "CREATE INDEX command_unacknowledged ON command(id) WHERE acknowledged_at IS NULL",
    """CREATE TRIGGER command_machine_releases_passed_parts_only BEFORE INSERT ON command
       WHEN NEW.confirmation_id IS NULL AND NEW.disposition <> 'HOLD'
       BEGIN SELECT CASE
           WHEN NEW.disposition <> 'RELEASE' THEN RAISE(ABORT, 'only a person rejects or sends to rework')
           WHEN NOT EXISTS (
               SELECT 1 FROM inspection WHERE part_id = NEW.part_id AND evaluation = 'OK' AND audit = 0
           ) THEN RAISE(ABORT, 'the machine releases passed parts only')
       END; END""",
    """CREATE TRIGGER command_follows_its_confirmation BEFORE INSERT ON command
       WHEN NEW.confirmation_id IS NOT NULL
       BEGIN SELECT CASE
           WHEN NOT EXISTS (
               SELECT 1 FROM confirmation c JOIN review r ON r.id = c.review_id
               WHERE c.id = NEW.confirmation_id AND c.part_id = NEW.part_id AND c.undone_at IS NULL AND r.moves = 1
                 AND CASE c.answer
                     WHEN 'false_alarm' THEN 'RELEASE' WHEN 'rework' THEN 'REWORK'
                     WHEN 'unsure' THEN 'HOLD' ELSE 'REJECT' END = NEW.disposition
           ) THEN RAISE(ABORT, 'the command does not follow from a standing confirmation')
       END; END""",
    """CREATE TABLE sample (
        id INTEGER PRIMARY KEY,
        confirmation_id INTEGER NOT NULL REFERENCES confirmation(id) ON DELETE RESTRICT,
        part_id TEXT NOT NULL REFERENCES inspection(part_id) ON DELETE RESTRICT,
        label TEXT NOT NULL CONSTRAINT sample_label CHECK (length(label) > 0),
        box TEXT NOT NULL CONSTRAINT sample_box CHECK (json_array_length(box) = 4),
        crop_box TEXT NOT NULL CONSTRAINT sample_crop_box CHECK (json_array_length(crop_box) = 4),
        crop BLOB NOT NULL CONSTRAINT sample_crop CHECK (length(crop) > 0),
        crop_format TEXT NOT NULL CONSTRAINT sample_format CHECK (crop_format IN ('png', 'jpg')),
        crop_sha256 TEXT NOT NULL,
        person TEXT NOT NULL,
        confirmed_at TEXT NOT NULL,
        seconds REAL NOT NULL,
        model_sha256 TEXT,
        proposed TEXT,
        score REAL,
        reason TEXT NOT NULL,
        p_select REAL NOT NULL
    ) STRICT""",
    "CREATE INDEX sample_confirmation ON sample(confirmation_id)",
    """CREATE TABLE known_part (
        id INTEGER PRIMARY KEY,
        part_id TEXT NOT NULL REFERENCES inspection(part_id) ON DELETE RESTRICT,
        expected TEXT NOT NULL CONSTRAINT known_part_expected CHECK (expected IN ('ok', 'defect')),
        noted_at TEXT NOT NULL,
        noted_by TEXT NOT NULL CONSTRAINT known_part_noted_by CHECK (length(noted_by) > 0),
        withdrawn_at TEXT,
        withdrawn_by TEXT
    ) STRICT""",
    "CREATE UNIQUE INDEX known_part_once ON known_part(part_id) WHERE withdrawn_at IS NULL",
    """CREATE TABLE event (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        kind TEXT NOT NULL,
        text TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE dropped_image (
        image_sha256 TEXT PRIMARY KEY,
        dropped_at TEXT NOT NULL
    ) STRICT""",
    # For the searches of station.store.history: none of them reads the whole ledger.
    "CREATE INDEX inspection_verdict ON inspection(evaluation, triggered_at) WHERE evaluation <> 'OK'",
    "CREATE INDEX inspection_label ON inspection(label, triggered_at) WHERE evaluation <> 'OK'",
    "CREATE INDEX inspection_serial ON inspection(serial) WHERE serial IS NOT NULL",
    "CREATE INDEX inspection_lot ON inspection(lot, triggered_at) WHERE lot IS NOT NULL",
    "CREATE INDEX confirmation_person ON confirmation(person, part_id)",
    "CREATE INDEX confirmation_answered ON confirmation(answered_at)",
    "CREATE INDEX command_moved ON command(disposition, part_id) WHERE disposition IN ('REJECT', 'REWORK')",
    "CREATE INDEX command_released ON command(coalesce(acknowledged_at, decided_at)) WHERE disposition = 'RELEASE'",
    "CREATE INDEX sample_label ON sample(label, part_id)",
    "CREATE INDEX sample_part ON sample(part_id)",
    "CREATE INDEX event_at ON event(at)",
    *_append_only(
        "inspection",
        "number, part_id, run_id, triggered_at, source, frame_index, image_sha256, recipe_sha256, model_sha256, "
        "preprocess, evaluation, reason, score, label, scores, candidates, p_select, audit, serial, lot, truth, "
        "simulated, stage_ms, image_width, image_height, origin_x, origin_y, heat",
        "inspection",
    ),
    *_append_only(
        "confirmation",
        "id, key, review_id, part_id, answer, person, answered_at, seconds, label, box, note, shown, cause, judgements",
        "confirmation",
    ),
    *_append_only("command", "id, part_id, disposition, confirmation_id, decided_at", "command"),
    *_append_only(
        "sample",
        "id, confirmation_id, part_id, label, box, crop_box, crop, crop_format, crop_sha256, person, confirmed_at, "
        "seconds, model_sha256, proposed, score, reason, p_select",
        "sample",
    ),
    *_append_only("review", "id, part_id, opened_at, reason, blind, excluded_person, moves, shown_as", "review"),
    *_append_only("known_part", "id, part_id, expected, noted_at, noted_by", "known_part"),
    *_append_only(
        "limits_version",
        "id, recipe, model, made_at, made_by, base, limits, reason, diff, certificate, widens",
        "limits_version",
    ),
    *_append_only("limits_event", "id, key, recipe, version_id, kind, at, person, via, reason, widens", "limits_event"),
    """CREATE TRIGGER run_recipe_never_changed
       BEFORE UPDATE OF recipe, recipe_sha256, recipe_json, limits_version, model, model_sha256 ON run
       BEGIN SELECT RAISE(ABORT, 'what a run judged by is never changed'); END""",
    """CREATE TRIGGER limits_event_key_never_replaced BEFORE INSERT ON limits_event
       WHEN EXISTS (SELECT 1 FROM limits_event WHERE key = NEW.key)
       BEGIN SELECT RAISE(ABORT, 'limits_event rows are never replaced'); END""",
    """CREATE TRIGGER limits_event_of_its_recipe BEFORE INSERT ON limits_event
       WHEN NEW.version_id IS NOT NULL AND NOT EXISTS (
           SELECT 1 FROM limits_version WHERE id = NEW.version_id AND recipe = NEW.recipe
       )
       BEGIN SELECT RAISE(ABORT, 'the limits were made for another recipe'); END""",
    """CREATE TRIGGER limits_event_after_withdrawal BEFORE INSERT ON limits_event
       WHEN EXISTS (SELECT 1 FROM limits_event WHERE version_id = NEW.version_id AND kind = 'withdrawn')
       BEGIN SELECT RAISE(ABORT, 'withdrawn limits stay withdrawn'); END""",
    """CREATE TRIGGER limits_approved_by_a_second_person BEFORE INSERT ON limits_event
       WHEN NEW.kind = 'approved' AND EXISTS (
           SELECT 1 FROM limits_version
           WHERE id = NEW.version_id AND lower(trim(made_by)) = lower(trim(NEW.person))
       )
       BEGIN SELECT RAISE(ABORT, 'limits are approved by a second person'); END""",
    """CREATE TRIGGER limits_that_widen_are_approved BEFORE INSERT ON limits_event
       WHEN NEW.kind = 'activated' AND NEW.widens = 1 AND NOT EXISTS (
           SELECT 1 FROM limits_event WHERE version_id = NEW.version_id AND kind = 'approved'
       )
       BEGIN SELECT RAISE(ABORT, 'limits that widen automatic release need the approval of a second person'); END""",
    """CREATE TRIGGER confirmation_undone_once BEFORE UPDATE ON confirmation
       WHEN OLD.undone_at IS NOT NULL
       BEGIN SELECT RAISE(ABORT, 'an undone confirmation stays undone'); END""",
    """CREATE TRIGGER confirmation_stands_once_settled BEFORE UPDATE OF undone_at ON confirmation
       WHEN EXISTS (SELECT 1 FROM review WHERE id = OLD.review_id AND settled_at IS NOT NULL)
       BEGIN SELECT RAISE(ABORT, 'a settled answer is not taken back'); END""",
    """CREATE TRIGGER confirmation_answers_an_open_review BEFORE INSERT ON confirmation
       WHEN NOT EXISTS (
           SELECT 1 FROM review WHERE id = NEW.review_id AND part_id = NEW.part_id AND settled_at IS NULL
       )
       BEGIN SELECT RAISE(ABORT, 'there is no open review of that part to answer'); END""",
    """CREATE TRIGGER review_settled_once BEFORE UPDATE OF settled_at ON review
       WHEN OLD.settled_at IS NOT NULL
       BEGIN SELECT RAISE(ABORT, 'a review is settled once'); END""",
    """CREATE TRIGGER known_part_withdrawn_once BEFORE UPDATE ON known_part
       WHEN OLD.withdrawn_at IS NOT NULL
       BEGIN SELECT RAISE(ABORT, 'a known part is withdrawn once'); END""",
    """CREATE TRIGGER sample_never_from_a_challenge BEFORE INSERT ON sample
       WHEN EXISTS (SELECT 1 FROM confirmation c JOIN review r ON r.id = c.review_id
                    WHERE c.id = NEW.confirmation_id AND r.reason = 'challenge')
       BEGIN SELECT RAISE(ABORT, 'a challenge trains nothing'); END""",
    """CREATE TRIGGER command_acknowledged_once BEFORE UPDATE ON command
       WHEN OLD.acknowledged_at IS NOT NULL
       BEGIN SELECT RAISE(ABORT, 'a command is acknowledged once'); END""",
)

MIGRATIONS: tuple[Migration, ...] = (Migration(1, "first tables", _FIRST),)


def migrate(connection: sqlite3.Connection, migrations: tuple[Migration, ...] = MIGRATIONS) -> int:
    """Brings the database to the newest version; returns that version.

    Args:
        connection: In autocommit mode (``isolation_level=None``), no transaction open.
        migrations: All steps, in order.

    Raises:
        LedgerFault: The database is newer than this software, or a step failed (nothing of it remains).
    """
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migration "
        "(version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL)"
    )
    done = connection.execute("SELECT coalesce(max(version), 0) FROM migration").fetchone()[0]
    if done > len(migrations):
        raise LedgerFault(
            f"the ledger is of version {done}, this software knows {len(migrations)}: install a newer release"
        )
    if done == len(migrations):
        return int(done)
    foreign_keys = connection.execute("PRAGMA foreign_keys").fetchone()[0]
    connection.execute("PRAGMA foreign_keys = OFF")
    try:
        for step in migrations[done:]:
            _apply(connection, step)
    finally:
        connection.execute(f"PRAGMA foreign_keys = {int(foreign_keys)}")
    return len(migrations)


def _apply(connection: sqlite3.Connection, step: Migration) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        before = _row_counts(connection)
        for statement in step.statements:
            connection.execute(statement)
        after = _row_counts(connection)
        lost = {t: n for t, n in before.items() if after.get(t, 0) < n}
        if lost and not step.drops_rows:
            raise LedgerFault(f"migration {step.version} ({step.name}) would lose rows of {', '.join(lost)}")
        broken = connection.execute("PRAGMA foreign_key_check").fetchall()
        if broken:
            raise LedgerFault(f"migration {step.version} ({step.name}) breaks {len(broken)} references")
        connection.execute(
            "INSERT INTO migration (version, name, applied_at) VALUES (?, ?, ?)",
            (step.version, step.name, datetime.now(UTC).isoformat()),
        )
        connection.execute("COMMIT")
    except BaseException as error:
        connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error):
            raise LedgerFault(f"migration {step.version} ({step.name}) failed, nothing was changed: {error}") from error
        raise


def _row_counts(connection: sqlite3.Connection) -> dict[str, int]:
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for (name,) in tables.fetchall()}
