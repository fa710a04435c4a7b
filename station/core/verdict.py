"""What is concluded about a part, and what is done with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from station.core.part import Box, Detections, Part


class Evaluation(StrEnum):
    """The machine's verdict (OPC 40001-101 result evaluation)."""

    OK = "OK"
    NOT_OK = "NOT_OK"
    NOT_DECIDABLE = "NOT_DECIDABLE"
    UNDEFINED = "UNDEFINED"


class Disposition(StrEnum):
    """What is done with a part (ISO 9001 8.7)."""

    RELEASE = "RELEASE"
    HOLD = "HOLD"
    REJECT = "REJECT"
    REWORK = "REWORK"


class StationState(StrEnum):
    """What the station is doing, shown to line and people."""

    HALTED = "HALTED"
    READY = "READY"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    FAULT = "FAULT"


class Answer(StrEnum):
    """What an inspector can say about a held part."""

    AGREE = "agree"
    FALSE_ALARM = "false_alarm"
    OTHER_CLASS = "other_class"
    MISSED_DEFECT = "missed_defect"
    UNSURE = "unsure"
    REWORK = "rework"


class ReviewReason(StrEnum):
    """Why a part was put before a person: also the sampling reason of its label.

    A ``challenge`` shows a known part once more to see whether people still see; a ``correction`` sets an answer
    right after the part has gone. Neither moves a part.
    """

    UNCERTAIN = "uncertain"
    REJECTED = "rejected"
    UNDEFINED = "undefined"
    AUDIT = "audit"
    SECOND_PERSON = "second_person"
    CHALLENGE = "challenge"
    CORRECTION = "correction"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The evaluation with its reason in words.

    Attributes:
        evaluation: The machine's verdict.
        reason: One sentence a person on the line understands.
        score: The score that decided; ``None`` where the inspection failed or no model looked.
        label: The class that decided, where one did.
    """

    evaluation: Evaluation
    reason: str
    score: float | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Names a model beyond doubt: name, version and sha256 of the ONNX file."""

    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class Inspection:
    """One execution of a recipe on one part: everything the ledger keeps of it.

    Attributes:
        part: The part with its picture.
        detections: What the detector said; ``None`` where it did not run or failed.
        verdict: The machine's evaluation.
        recipe_sha256: Hash of the recipe in force.
        model: The model that looked; ``None`` for a recipe without a model.
        p_select: Probability with which this part was to be put before a person
            (1 for every stopped part, the audit fraction for a passed one).
        audit: True where a passed part was drawn for a blind audit.
        stage_ms: Milliseconds by stage.
        preprocess: Hash of the preprocessing in force.
    """

    part: Part
    detections: Detections | None
    verdict: Verdict
    recipe_sha256: str
    model: ModelRef | None
    p_select: float
    audit: bool
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    preprocess: str | None = None

    @property
    def disposition(self) -> Disposition:
        """What the machine may do alone: release a passed part that is not audited, else hold."""
        if self.verdict.evaluation is Evaluation.OK and not self.audit:
            return Disposition.RELEASE
        return Disposition.HOLD


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a person said of one defect of a part.

    Attributes:
        defect: Its index among the proposed defects of the part; ``None`` for one drawn by hand.
        answer: ``agree``, ``other_class`` or ``false_alarm``; ``missed_defect`` for a drawn one.
        label: The class the person gave; ``None`` for a false alarm.
        box: Where, in part pixels.
        proposed: The class the model proposed there.
        score: The model's score there.
        cause: Why it was a false alarm.
    """

    defect: int | None
    answer: Answer
    label: str | None
    box: Box
    proposed: str | None = None
    score: float | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Confirmation:
    """An inspector's answer as it reaches the ledger.

    Attributes:
        key: Idempotency key made by the asking side: sending it twice changes nothing.
        review_id: The open question it answers.
        answer: What the person said.
        person: Who.
        seconds: From the part's first sight on the screen to the answer.
        label: The class for ``other_class`` and ``missed_defect``.
        box: The drawn box in part pixels for ``missed_defect``.
        note: Free words.
        shown: What the screen showed (verdict, score, boxes or blind), kept as evidence.
        cause: Name of the false alarm's reason, from the recipe.
        judgements: What was said of each defect, where they were answered one by one.
    """

    key: str
    review_id: int
    answer: Answer
    person: str
    answered_at: datetime
    seconds: float
    label: str | None = None
    box: Box | None = None
    note: str | None = None
    shown: str = ""
    cause: str | None = None
    judgements: tuple[Judgement, ...] = ()
