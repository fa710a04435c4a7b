"""How does a screen learn at once that something changed? One watcher for all, one EventSource each.

Two threads feed every screen: one asks the ledger every 20 ms whether it was written to, one asks the loop twice
a second how it is. A new question is told at once, everything else at most five times a second: people cannot read
faster, and every telling costs panel and browser time that the loop may want. Each screen has a small queue of its
own; one that does not read is cut off and comes back.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from station.core.errors import LedgerFault
from station.exchange import LoopAway, LoopClient
from station.panel.reading import Reading
from station.panel.views import loop_state
from station.store import queries
from station.store.queries import ChangeWatch

log = logging.getLogger(__name__)

WATCH_S = 0.02
"""Between two questions whether the ledger was written to."""

QUIET_S = 0.2
"""Between two tellings of changes that bring no new question."""

POLL_S = 0.5
"""Between two questions to the loop."""

SILENT_S = 3.0
"""The loop not answering for so long counts as away."""

STALE_S = 6.0
"""The loop's own turn being older counts as away: its process lives, its work does not."""

PING_S = 2.0
SCREEN_QUEUE = 64
Event = tuple[str, dict[str, Any]]


class Push:
    """Watches ledger and loop, and tells every connected screen.

    Args:
        reading: The store.
        client: A door to the loop of its own, so that a hanging loop delays no answer.
        snapshot: Builds what screens are sent after a change of the ledger.
    """

    def __init__(self, reading: Reading, client: LoopClient, snapshot: Callable[[], dict[str, Any]]) -> None:
        self._reading, self._client, self._snapshot = reading, client, snapshot
        self._screens: dict[asyncio.Queue[Event | None], asyncio.AbstractEventLoop] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._answered_at = time.monotonic()
        self._loop = loop_state(None, "the loop has not answered yet")
        self._newest: dict[str, Any] | None = None

    @property
    def loop(self) -> dict[str, Any]:
        """The loop's newest state; away where it has been silent for too long."""
        if not self._loop["away"] and time.monotonic() - self._answered_at > SILENT_S:
            return loop_state(None, f"the loop has not answered for {SILENT_S:.0f} s")
        return self._loop

    def start(self) -> None:
        """Starts the two threads."""
        self._stopping.clear()
        for work, name in ((self._watch, "panel-watch"), (self._poll, "panel-poll"), (self._beat, "panel-beat")):
            thread = threading.Thread(target=work, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def ask_to_stop(self) -> None:
        """Has every stream end at once; takes no lock, so a signal handler may call it."""
        self._stopping.set()

    def stop(self) -> None:
        """Ends the threads and every screen's stream."""
        self.ask_to_stop()
        for thread in self._threads:
            thread.join(timeout=2.0)
        self._threads.clear()

    async def stream(self) -> AsyncIterator[str]:
        """One screen's events: its whole picture first, then every change, and a ping at least every 2 s."""
        screen: asyncio.Queue[Event | None] = asyncio.Queue(SCREEN_QUEUE)
        with self._lock:
            self._screens[screen] = asyncio.get_running_loop()
        try:
            yield "retry: 1000\n\n"
            yield _event("loop", self.loop)
            snapshot = await asyncio.to_thread(self._whole)
            if snapshot is not None:
                yield _event("change", snapshot)
            while not self._stopping.is_set():
                try:
                    event = await asyncio.wait_for(screen.get(), PING_S)
                except TimeoutError:
                    event = ("ping", {"now": _now()})
                if event is None:
                    return
                yield _event(*event)
        finally:
            with self._lock:
                self._screens.pop(screen, None)

    def tell(self, name: str, what: dict[str, Any]) -> None:
        """Sends an event to every screen; from any thread."""
        with self._lock:
            for screen, loop in self._screens.items():
                with suppress(RuntimeError):  # its event loop is closing
                    loop.call_soon_threadsafe(_put, screen, (name, what))

    def _watched(self) -> bool:
        with self._lock:
            return bool(self._screens)

    def _whole(self) -> dict[str, Any] | None:
        try:
            return self._snapshot()
        except LedgerFault:
            return None

    def _watch(self) -> None:
        watch: ChangeWatch | None = None
        said = changed = False
        newest, quiet_until = 0, 0.0
        while not self._stopping.wait(WATCH_S):
            try:
                watch = watch or ChangeWatch(self._reading.engine)
                changed = watch.changed() or changed
                begin = time.monotonic()
                if changed and self._watched():
                    asked = queries.newest_review(self._reading.engine)
                    if asked > newest or begin >= quiet_until:
                        changed, newest = False, asked
                        self.tell("change", self._snapshot())
                        # Looking must never take more than a fifth of the time, however full the ledger is.
                        took = time.monotonic() - begin
                        quiet_until = begin + max(QUIET_S, 5 * took)
                        self._stopping.wait(took)
                said = False
            except Exception as error:
                # Said once when it goes. A ledger that is not there yet is normal: the loop has never run.
                if not said and not isinstance(error, LedgerFault):
                    log.exception("the ledger cannot be read; the screens keep what they have")
                said = True
                if watch is not None:
                    watch.close()
                    watch = None  # a fresh watch finds everything changed, so nothing is missed
                self._stopping.wait(1.0)
        if watch is not None:
            watch.close()

    def _poll(self) -> None:
        said = ""
        while not self._stopping.wait(POLL_S):
            try:
                state = self._client.state()
                age_s = (datetime.now(UTC) - datetime.fromisoformat(state.at)).total_seconds()
                if age_s > STALE_S:
                    self._loop = loop_state(None, f"the loop's last turn was {age_s:.0f} s ago")
                else:
                    self._loop = loop_state(state, "")
                said = ""
            except LoopAway:
                self._loop = loop_state(None, "the loop’s process does not answer")
            except Exception as error:  # an answer in another language: its own release differs, or worse
                self._loop = loop_state(None, "the loop answers what this panel does not understand: restart both")
                if said != repr(error):  # once, not twice a second
                    said = repr(error)
                    log.exception("the loop's answer cannot be read")
            self._answered_at = time.monotonic()

    def _beat(self) -> None:
        """Tells the loop's state on time even while a question to the loop hangs."""
        while not self._stopping.wait(POLL_S):
            if self._watched():
                self.tell("loop", {**self.loop, "now": _now()})
        with self._lock:
            for screen, loop in self._screens.items():
                with suppress(RuntimeError):  # its event loop is closing
                    loop.call_soon_threadsafe(_put, screen, None)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _put(screen: asyncio.Queue[Event | None], event: Event | None) -> None:
    if screen.full():  # it does not read: end its stream, the browser comes back with a fresh one
        while not screen.empty():
            screen.get_nowait()
        event = None
    screen.put_nowait(event)


def _event(name: str, what: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(what, separators=(',', ':'))}\n\n"
