"""How does another process on this machine ask the loop's process for something?

The loop's process alone writes the ledger. The panel claims, confirms and takes back through this
door: JSON messages over a connection on 127.0.0.1 that both sides authenticate (HMAC with a key that
lies beside the ledger, readable by the station's user only). "Stored" comes back only after the commit.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener, answer_challenge, deliver_challenge
from pathlib import Path
from typing import Any

from station.core.errors import ReviewRefused, StationError
from station.core.verdict import Answer
from station.loop import InspectionLoop
from station.review import GivenAnswer

log = logging.getLogger(__name__)

DOOR_FILE = "exchange.json"

IDENTIFY_S = 5.0
"""A caller that has not proved within so many seconds that it knows the key is hung up on."""


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


class ExchangeServer:
    """The door, in the loop's process.

    Args:
        loop: Who does the work.
        folder: The ledger's folder; the door's address and key are written there.
        port: TCP port on 127.0.0.1; 0 takes any free one.
    """

    def __init__(self, loop: InspectionLoop, folder: Path, *, port: int = 0) -> None:
        self._loop = loop
        self._file = folder / DOOR_FILE
        key = secrets.token_bytes(32)
        try:
            # Without the key: callers prove themselves in their own thread, so that a silent one blocks nobody.
            self._listener = Listener(("127.0.0.1", port))
        except OSError as error:
            raise StationError(
                f"port {port} on this machine is taken ({error}): is the loop running already? "
                "Stop it or set exchange.port to another"
            ) from error
        self._key = key
        self._closing = threading.Event()
        self._callers: dict[threading.Thread, Connection[Any, Any]] = {}
        self._lock = threading.Lock()
        self._write_door({"port": self._listener.address[1], "key": key.hex(), "pid": os.getpid()})
        self._thread = threading.Thread(target=self._accept, name="station-exchange", daemon=True)
        self._thread.start()

    def __enter__(self) -> ExchangeServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Shuts the door and every open connection; when it returns, port and threads are free."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._file.unlink(missing_ok=True)
        try:
            # Wakes accept(), which no close() does on every system.
            with Client(self._listener.address):
                pass
        except (OSError, EOFError):
            pass
        self._thread.join(timeout=5.0)
        self._listener.close()
        with self._lock:
            callers = dict(self._callers)
        for thread, connection in callers.items():
            _hang_up(connection)
            thread.join(timeout=5.0)

    def _write_door(self, door: dict[str, Any]) -> None:
        temporary = self._file.with_suffix(".part")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(door, file)
        temporary.replace(self._file)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection = self._listener.accept()
            except (OSError, EOFError) as error:
                if not self._closing.is_set():
                    log.warning("a caller was turned away: %s", error)
                continue
            caller = threading.Thread(
                target=self._serve, args=(connection,), name="station-exchange-caller", daemon=True
            )
            with self._lock:
                self._callers[caller] = connection
            caller.start()

    def _serve(self, connection: Connection[Any, Any]) -> None:
        try:
            _identify(connection, deliver_challenge, answer_challenge, key=self._key)
            while not self._closing.is_set():
                message = json.loads(connection.recv_bytes(maxlength=1_000_000))
                connection.send_bytes(json.dumps(self._reply(message)).encode())
        except AuthenticationError as error:
            log.warning("a caller was turned away: %s", error)
        except (OSError, EOFError, ValueError, TypeError, RecursionError):
            pass  # the caller went away or speaks another language: its connection ends, nothing else
        finally:
            with self._lock:
                self._callers.pop(threading.current_thread(), None)
            connection.close()

    def _reply(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            if not isinstance(message, dict):
                raise TypeError("it is no JSON object")
            work = _WORK.get(message.get("op", ""))
            if work is None:
                raise ReviewRefused("invalid", f"unknown request {message.get('op')!r}")
            return {"done": work(self._loop, message)}
        except ReviewRefused as refused:
            return {"refused": refused.code, "words": str(refused)}
        except (KeyError, ValueError, TypeError) as error:
            return {"refused": "invalid", "words": f"the request is malformed: {error}"}
        except (StationError, TimeoutError) as error:
            return {"failed": str(error) or "the loop did not come to it in time"}


def _identify(
    connection: Connection[Any, Any], *steps: Callable[[Connection[Any, Any], bytes], None], key: bytes
) -> None:
    """Both sides prove that they know the key; who does not within a few seconds is hung up on."""
    late = threading.Timer(IDENTIFY_S, _hang_up, (connection,))
    late.daemon = True
    late.start()
    try:
        for step in steps:
            step(connection, key)
    finally:
        late.cancel()
        late.join()


def _hang_up(connection: Connection[Any, Any]) -> None:
    """Ends the connection for a thread that waits on it, which closing it would not."""
    with (
        contextlib.suppress(OSError),
        socket.socket(fileno=os.dup(connection.fileno())) as line,
    ):
        line.shutdown(socket.SHUT_RDWR)


def _do_state(loop: InspectionLoop, message: dict[str, Any]) -> dict[str, Any]:
    now = loop.status()
    return {
        "state": now.state.value,
        "faults": [[f.kind, f.words, f.since.isoformat()] for f in now.faults],
        "parts": now.parts,
        "waiting": now.waiting,
        "dropped_frames": now.dropped_frames,
        "stage_ms": now.stage_ms,
        "at": now.at.isoformat(),
    }


def _do_claim(loop: InspectionLoop, message: dict[str, Any]) -> int | None:
    skip = tuple(int(s) for s in message.get("skip", ()))
    person = _text(message, "person")
    claimed: int | None = loop.ask(lambda desk: desk.claim(person, skip=skip))
    return claimed


def _do_leave(loop: InspectionLoop, message: dict[str, Any]) -> None:
    person = _text(message, "person")
    loop.ask(lambda desk: desk.leave(person))


def _do_confirm(loop: InspectionLoop, message: dict[str, Any]) -> int:
    fields = dict(message["given"])
    fields["answer"] = Answer(fields["answer"])
    if fields.get("xyxy") is not None:
        x0, y0, x1, y1 = (float(v) for v in fields["xyxy"])
        fields["xyxy"] = (x0, y0, x1, y1)
    _text(fields, "key"), _text(fields, "person")
    given = GivenAnswer(**fields)
    confirmed: int = loop.ask(lambda desk: desk.confirm(given))
    return confirmed


def _do_undo(loop: InspectionLoop, message: dict[str, Any]) -> list[Any]:
    person, key = _text(message, "person"), _text(message, "key")
    review_id, part_id = loop.ask(lambda desk: desk.undo(person, key))
    return [review_id, part_id]


def _text(message: dict[str, Any], name: str) -> str:
    if not isinstance(message[name], str):
        raise TypeError(f"{name} is no text")
    return str(message[name])


_WORK: dict[str, Callable[[InspectionLoop, dict[str, Any]], Any]] = {
    "state": _do_state,
    "claim": _do_claim,
    "leave": _do_leave,
    "confirm": _do_confirm,
    "undo": _do_undo,
}


class LoopClient:
    """The caller's side; safe to use from several threads.

    Args:
        folder: The ledger's folder, where the loop leaves its address and key.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / DOOR_FILE
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
        return int(self._ask({"op": "confirm", "given": {**asdict(given), "answer": given.answer.value}}))

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
                _identify(connection, answer_challenge, deliver_challenge, key=key)
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
