"""Which door is open to whom? Behind the gate only people who are signed in, and only on their own role's page.

It stands in front of everything the guard has let in: the panel's own routes and all of Gradio's, of which some ask
for nobody. A screen's event stream ends as soon as its session does.
"""

from __future__ import annotations

import json
import logging
import time
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from station.panel.session import CALLER, FORBIDDEN, SIGNED_OUT, Caller, Sessions, token_of
from station.store.people import Role
from station.store.people_file import PeopleFault

log = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/sign-in", "/api/sign-in", "/api/people"})
OPEN_FOLDER = "/static/panel/"
STREAM = "/events"

ACTIVITY = frozenset(
    {
        "/api/active", "/api/answer", "/api/undo", "/api/correct", "/api/known", "/api/known/withdraw",
        "/api/limits/draft", "/api/limits/approve", "/api/limits/withdraw", "/api/limits/activate",
        "/api/limits/rollback",
        "/api/workbench/try", "/api/workbench/propose", "/api/workbench/diff", "/api/workbench/certify",
        "/api/workbench/draft", "/api/workbench/split", "/api/workbench/score", "/api/workbench/score/stop",
    }
)  # fmt: skip
"""Posts that only a person's hand makes. Claims and renewals come from the screen by itself."""

LOOK_AGAIN_S = 1.0
"""A stream's session is looked at again at most so often; the stream speaks at least every 2 s."""

ENDED = b"event: signedout\ndata: {}\n\n"


class Gate:
    """ASGI middleware behind the guard.

    Args:
        app: What lies behind.
        sessions: Tells who asks.
    """

    def __init__(self, app: ASGIApp, *, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request through with its caller, sends its browser to the sign-in page, or refuses it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            else:  # nothing here speaks over a web socket
                await receive()
                await send({"type": "websocket.close", "code": 1008})
            return
        path, reading = scope["path"], scope["method"] in ("GET", "HEAD")
        if path.startswith(OPEN_FOLDER):  # the panel's own files, for anybody: nobody needs to be known
            await self._app({**scope, CALLER: None}, receive, send)
            return
        token = token_of(Headers(scope=scope))
        try:
            caller = await run_in_threadpool(self._sessions.caller, token, active=path in ACTIVITY and not reading)
        except PeopleFault as error:
            if not is_open(path):
                await _say(send, 503, {"code": "no_people", "words": str(error)})
                return
            caller = None
        scope = {**scope, CALLER: caller}
        if is_open(path):
            await self._app(scope, receive, send)
        elif caller is None:
            if reading and is_page(path):
                await _redirect(send, f"/sign-in?to={quote(_asked(scope), safe='')}")
            else:
                await _say(send, 401, SIGNED_OUT)
        elif (role := page_role(path)) is not None and not caller.may_open(role):
            if reading and is_page(path):
                await _redirect(send, caller.home)
            else:
                await _say(send, 403, FORBIDDEN)
        elif path == STREAM:
            await self._stream(scope, receive, send, token)
        else:
            await self._app(scope, receive, _unkept(send) if is_page(path) else send)

    async def _stream(self, scope: Scope, receive: Receive, send: Send, token: str | None) -> None:
        looked_at = time.monotonic()

        async def sending(message: Message) -> None:
            nonlocal looked_at
            now = time.monotonic()
            if message["type"] == "http.response.body" and now - looked_at >= LOOK_AGAIN_S:
                looked_at = now
                if await self._ended(token, scope[CALLER]):
                    await send({"type": "http.response.body", "body": ENDED, "more_body": False})
                    raise _SessionEnded
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except* (_SessionEnded, ClientDisconnect):
            pass

    async def _ended(self, token: str | None, caller: Caller) -> bool:
        try:
            return await run_in_threadpool(self._sessions.caller, token) != caller
        except PeopleFault:
            return True


class _SessionEnded(OSError):
    """Ends a stream from within: to what writes it, as if the browser had gone."""


def is_open(path: str) -> bool:
    """Whether a path needs nobody signed in."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)


def page_role(path: str) -> Role | None:
    """The role under whose page a path lies; ``None`` where it lies under none."""
    first = path.split("/", 2)[1] if path.startswith("/") else ""
    return next((role for role in Role if role.value == first), None)


def is_page(path: str) -> bool:
    """Whether a path is a page of its own, as a person types it."""
    return path == "/" or path.strip("/") in frozenset(r.value for r in Role)


def _asked(scope: Scope) -> str:
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{scope['path']}?{query}" if query else str(scope["path"])


def _unkept(send: Send) -> Send:
    """A page stays in no cache: after signing out, the way back must not show it."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(k, v) for k, v in message.get("headers", ()) if k.lower() != b"cache-control"]
            message = {**message, "headers": [*kept, (b"cache-control", b"no-store")]}
        await send(message)

    return sending


async def _redirect(send: Send, where: str) -> None:
    headers = [(b"location", where.encode("latin-1")), (b"cache-control", b"no-store"), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _say(send: Send, status: int, what: dict[str, str]) -> None:
    body = json.dumps(what).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
