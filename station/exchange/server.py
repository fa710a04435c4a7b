"""Who opens the door in the loop's process, and answers those who knock?"""

from __future__ import annotations

import json
import logging
import os
import secrets
import threading
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener, answer_challenge, deliver_challenge
from pathlib import Path
from typing import Any

from station.core.errors import LimitsRefused, ReviewRefused, StationError
from station.exchange.requests import WORK
from station.exchange.wire import hang_up, identify
from station.loop import InspectionLoop

log = logging.getLogger(__name__)


class ExchangeServer:
    """The door, in the loop's process.

    Args:
        loop: Who does the work.
        door: The ledger's door file; address and key are written there.
        port: TCP port on 127.0.0.1; 0 takes any free one.
    """

    def __init__(self, loop: InspectionLoop, door: Path, *, port: int = 0) -> None:
        self._loop = loop
        self._file = door
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
            hang_up(connection)
            thread.join(timeout=5.0)

    def _write_door(self, door: dict[str, Any]) -> None:
        temporary = self._file.with_name(self._file.name + ".part")
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
            identify(connection, deliver_challenge, answer_challenge, key=self._key)
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
            work = WORK.get(message.get("op", ""))
            if work is None:
                raise ReviewRefused("invalid", f"unknown request {message.get('op')!r}")
            return {"done": work(self._loop, message)}
        except ReviewRefused as refused:
            return {"refused": refused.code, "words": str(refused)}
        except LimitsRefused as refused:
            return {"limits_refused": refused.code, "words": str(refused)}
        except (KeyError, ValueError, TypeError) as error:
            return {"refused": "invalid", "words": f"the request is malformed: {error}"}
        except (StationError, TimeoutError) as error:
            return {"failed": str(error) or "the loop did not come to it in time"}
