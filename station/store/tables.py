"""How does a row of the ledger look in Python?

SQLModel does not validate ``table=True`` models, so rows are built from checked value objects only,
in :mod:`station.store.ledger` and :mod:`station.store.reviews`; the constraints that must hold
whatever the code does stand in :mod:`station.store.migrations`.
Times are ISO 8601 UTC text with microseconds, which sorts; structured fields are JSON text.
"""

from __future__ import annotations

from sqlmodel import Field, SQLModel


class RunRow(SQLModel, table=True):
    """One start of the loop."""

    __tablename__ = "run"
    id: int | None = Field(default=None, primary_key=True)
    started_at: str
    ended_at: str | None = None
    station: str
    recipe: str
    recipe_sha256: str
    recipe_json: str
    model: str | None = None
    model_sha256: str | None = None
    source: str
    line: str
    software: str
    optics_sha256: str | None = None
    limits_version: int | None = None


class LimitsVersionRow(SQLModel, table=True):
    """Limits of a recipe as they were drafted; never changed."""

    __tablename__ = "limits_version"
    id: int | None = Field(default=None, primary_key=True)
    recipe: str
    model: str | None = None
    made_at: str
    made_by: str
    base: int | None = None
    limits: str
    reason: str
    diff: str | None = None
    certificate: str | None = None
    widens: int


class LimitsEventRow(SQLModel, table=True):
    """What somebody did with limits, and why; no version: the limits of the recipe file."""

    __tablename__ = "limits_event"
    id: int | None = Field(default=None, primary_key=True)
    key: str
    recipe: str
    version_id: int | None = None
    kind: str
    at: str
    person: str
    via: str
    reason: str
    widens: int | None = None


class InspectionRow(SQLModel, table=True):
    """One trigger: exactly one row, written before the line is commanded."""

    __tablename__ = "inspection"
    number: int = Field(primary_key=True)
    part_id: str
    run_id: int
    triggered_at: str
    source: str
    frame_index: int
    origin_x: float
    origin_y: float
    simulated: int
    serial: str | None = None
    lot: str | None = None
    truth: str | None = None
    image_sha256: str | None = None
    image_width: int | None = None
    image_height: int | None = None
    recipe_sha256: str
    model_sha256: str | None = None
    preprocess: str | None = None
    evaluation: str
    reason: str
    score: float | None = None
    label: str | None = None
    scores: str
    candidates: str
    p_select: float
    audit: int
    stage_ms: str
    heat: bytes | None = None


class ReviewRow(SQLModel, table=True):
    """The open question about a held part."""

    __tablename__ = "review"
    id: int | None = Field(default=None, primary_key=True)
    part_id: str
    opened_at: str
    reason: str
    blind: int
    moves: int = 1
    shown_as: str | None = None
    excluded_person: str | None = None
    claimed_by: str | None = None
    claimed_until: str | None = None
    settled_at: str | None = None


class ConfirmationRow(SQLModel, table=True):
    """An inspector's answer; never changed, at most undone."""

    __tablename__ = "confirmation"
    id: int | None = Field(default=None, primary_key=True)
    key: str
    review_id: int
    part_id: str
    answer: str
    person: str
    answered_at: str
    seconds: float
    label: str | None = None
    box: str | None = None
    note: str | None = None
    shown: str
    cause: str | None = None
    judgements: str = "[]"
    undone_at: str | None = None
    undone_by: str | None = None
    undo_key: str | None = None


class CommandRow(SQLModel, table=True):
    """One command to the line, with the time the line acknowledged it."""

    __tablename__ = "command"
    id: int | None = Field(default=None, primary_key=True)
    part_id: str
    disposition: str
    confirmation_id: int | None = None
    decided_at: str
    acknowledged_at: str | None = None


class SampleRow(SQLModel, table=True):
    """A confirmed crop with its label and provenance: the unit of the data set."""

    __tablename__ = "sample"
    id: int | None = Field(default=None, primary_key=True)
    confirmation_id: int
    part_id: str
    label: str
    box: str
    crop_box: str
    crop: bytes
    crop_format: str
    crop_sha256: str
    person: str
    confirmed_at: str
    seconds: float
    model_sha256: str | None = None
    proposed: str | None = None
    score: float | None = None
    reason: str
    p_select: float


class KnownPartRow(SQLModel, table=True):
    """A part whose state is known for certain, shown again now and then as a challenge."""

    __tablename__ = "known_part"
    id: int | None = Field(default=None, primary_key=True)
    part_id: str
    expected: str
    noted_at: str
    noted_by: str
    withdrawn_at: str | None = None
    withdrawn_by: str | None = None


class EventRow(SQLModel, table=True):
    """Something that happened at the station: start, fault, recovery, drop."""

    __tablename__ = "event"
    id: int | None = Field(default=None, primary_key=True)
    at: str
    kind: str
    text: str


class DroppedImageRow(SQLModel, table=True):
    """A passed part's image that had to leave for the disk budget."""

    __tablename__ = "dropped_image"
    image_sha256: str = Field(primary_key=True)
    dropped_at: str
