"""How does another process ask the loop, and what does it learn when nobody answers?"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, answer_challenge, deliver_challenge
from pathlib import Path
from typing import Any

from station.answers import GivenAnswer
from station.core.errors import LimitsRefused, ReviewRefused, StationError
from station.exchange.wire import GIVEN, identify
from station.store.limits import Act

MOST_BYTES = 900_000
"""Of one request; the loop hangs up on more than a million."""


class LoopAway(StationError):
    """The loop's process does not answer: nothing was stored, or it is not known."""


@dataclass(frozen=True, slots=True)
class LoopState:
    """The loop's status as the panel sees it; ages in seconds."""

    state: str
    faults: tuple[tuple[str, str, str], ...]
    parts: int
    waiting: int
    dropped_frames: int
    stage_ms: dict[str, dict[str, float]]
    at: str


@dataclass(frozen=True, slots=True)
class LoopFrame:
    """A camera frame as the panel shows it.

    Attributes:
        jpeg: The picture, its longer side at most 960 pixels.
        index: The frame's number in its source.
        at: UTC time of capture, ISO 8601.
    """

    jpeg: bytes
    index: int
    at: str


class LoopClient:
    """The caller's side; safe to use from several threads.

    Args:
        door: The ledger's door file, where the loop leaves its address and key.
    """

    def __init__(self, door: Path) -> None:
        self._file = door
        self._lock = threading.Lock()
        self._connection: Connection[Any, Any] | None = None

    def close(self) -> None:
        """Ends the connection."""
        with self._lock:
            self._drop()

    def state(self) -> LoopState:
        """What the loop is doing now.

        Raises:
            LoopAway: It does not answer.
        """
        done = self._ask({"op": "state"})
        done["faults"] = tuple((str(k), str(w), str(s)) for k, w, s in done["faults"])
        return LoopState(**done)

    def claim(self, person: str, *, skip: tuple[int, ...] = ()) -> int | None:
        """The next review for ``person``; ``None`` where nothing waits."""
        done = self._ask({"op": "claim", "person": person, "skip": list(skip)})
        return None if done is None else int(done)

    def leave(self, person: str) -> None:
        """Frees what ``person`` holds."""
        self._ask({"op": "leave", "person": person})

    def confirm(self, given: GivenAnswer) -> int:
        """Stores an answer; returns the confirmation's id once it is committed.

        Raises:
            ReviewRefused: It cannot be taken; the code says why.
            LoopAway: Not stored, or not known: send it again with the same key.
        """
        return int(self._ask({"op": "confirm", "given": GIVEN.dump_python(given, mode="json")}))

    def correct(self, given: GivenAnswer, part_id: str) -> int:
        """Stores what a part really is after it has gone; returns the confirmation's id once it is committed."""
        given_json = GIVEN.dump_python(given, mode="json")
        return int(self._ask({"op": "correct", "given": given_json, "part_id": part_id}))

    def know(self, part_id: str, expected: str, person: str) -> None:
        """Marks a settled part as known, ``ok`` or ``defect``."""
        self._ask({"op": "know", "part_id": part_id, "expected": expected, "person": person})

    def forget(self, part_id: str, person: str) -> None:
        """Takes a part out of the known ones."""
        self._ask({"op": "forget", "part_id": part_id, "person": person})

    def frame(self) -> LoopFrame | None:
        """What the camera sees now; ``None`` where it sees nothing to be trusted."""
        done = self._ask({"op": "frame"})
        return None if done is None else LoopFrame(base64.b64decode(done["jpeg"]), int(done["index"]), str(done["at"]))

    def limits(self, what: str, act: Act, given: Mapping[str, Any], *, recipe: str | None = None) -> dict[str, Any]:
        """Drafts, approves, withdraws, activates or rolls back limits; returns what it left behind once committed.

        Args:
            what: ``draft``, ``approve``, ``withdraw``, ``activate`` or ``rollback``.
            act: Who and why, with a key that makes sending it twice harmless.
            given: What it is about, JSON-ready: ``version``, ``limits``, ``base``, ``diff``, ``certificate``,
                ``without_diff``.
            recipe: Refuse where the loop runs another one.

        Raises:
            LimitsRefused: It cannot be done; the code says why.
            LoopAway: Not stored, or not known: send it again with the same key.
        """
        message = {"op": "limits", "what": what, "act": asdict(act), "given": dict(given), "recipe": recipe}
        if len(json.dumps(message)) > MOST_BYTES:
            raise LimitsRefused("invalid", "the decision diff is too long to be kept: leave out its later flips")
        done: dict[str, Any] = self._ask(message)
        return done

    def undo(self, person: str, key: str) -> tuple[int, str]:
        """Takes back the person's last unsettled answer; returns review and part."""
        review_id, part_id = self._ask({"op": "undo", "person": person, "key": key})
        return int(review_id), str(part_id)

    def _ask(self, message: dict[str, Any]) -> Any:
        with self._lock:
            try:
                reply = self._exchange(message)
            except (OSError, EOFError):
                self._drop()
                # Once more on a fresh connection: the loop may have been restarted. Keys make this harmless.
                try:
                    reply = self._exchange(message)
                except (OSError, EOFError, AuthenticationError) as error:
                    self._drop()
                    raise LoopAway("the inspection loop does not answer; whether it was stored is not known") from error
        if "refused" in reply:
            raise ReviewRefused(reply["refused"], reply["words"])
        if "limits_refused" in reply:
            raise LimitsRefused(reply["limits_refused"], reply["words"])
        if "failed" in reply:
            raise LoopAway(reply["failed"])
        return reply["done"]

    def _exchange(self, message: dict[str, Any]) -> dict[str, Any]:
        if self._connection is None:
            self._connection = self._open()
        self._connection.send_bytes(json.dumps(message).encode())
        if not self._connection.poll(15.0):
            raise EOFError("no reply in time")
        reply: dict[str, Any] = json.loads(self._connection.recv_bytes())
        return reply

    def _open(self) -> Connection[Any, Any]:
        try:
            door = json.loads(self._file.read_text())
            key = bytes.fromhex(door["key"])
            connection = Client(("127.0.0.1", int(door["port"])))
            try:
                # Within a time: another program may have taken the port of a loop that died.
                identify(connection, answer_challenge, deliver_challenge, key=key)
            except BaseException:
                connection.close()
                raise
            return connection
        except (OSError, ValueError, KeyError, AuthenticationError) as error:
            raise EOFError(str(error)) from error

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
