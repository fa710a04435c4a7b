"""Which requests may come in at all? Only those for this station's own name, from its own pages, of bounded size.

A web page elsewhere can make an inspector's browser send requests here. It cannot choose the ``Host`` and
``Origin`` headers, so every request must name this panel's host, and one that changes something must come from a
page of this panel. Gradio behind this door needs no request that changes anything, so none reaches it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 64 * 1024
"""An answer takes less than 1 KiB; nothing larger is read."""

READING = frozenset({"GET", "HEAD", "OPTIONS"})
LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")
ANY_ADDRESS = frozenset({"", "0.0.0.0", "::"})

HEADERS = {
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
}
"""``unsafe-eval`` is what gr.HTML's templates need; everything else stays on this machine."""


class Guard:
    """ASGI middleware in front of everything.

    Args:
        app: What lies behind.
        hosts: Names under which this panel may be called, without port.
        api: Path prefix under which state may be changed.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], api: str = "/api/") -> None:
        self._app = app
        self._hosts = frozenset(h.lower() for h in hosts)
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request through or answers it with the reason why not."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        refused = self.refusal(scope.get("method", "WEBSOCKET"), scope["path"], headers)
        if refused is not None:
            await _refuse(scope, receive, send, *refused)
            return
        if scope["type"] == "http" and scope["method"] not in READING:
            body = await _read_bounded(receive)
            if body is None:
                await _refuse(scope, receive, send, 413, "too_large", f"more than {MAX_BODY_BYTES} bytes")
                return
            receive = _replay(body, receive)
        await self._app(scope, receive, _with_headers(send))

    def refusal(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str, str] | None:
        """Why a request is turned away: status, code and words; ``None`` lets it in."""
        host = headers.get("host", "")
        if _hostname(host) not in self._hosts:
            return 403, "foreign_host", f"this panel is not called {host!r}"
        if method in READING:
            return None
        if headers.get("origin", "").lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            return 403, "foreign_origin", "only this panel's own pages may change anything"
        if method != "POST" or not path.startswith(self._api):
            return 403, "no_such_door", f"{method} is not taken at {path}"
        if int(headers.get("content-length", "0") or 0) > MAX_BODY_BYTES:
            return 413, "too_large", f"more than {MAX_BODY_BYTES} bytes"
        return None


def allowed_hosts(host: str, further: Iterable[str] = ()) -> frozenset[str]:
    """The names under which a panel listening on ``host`` may be called, ``further`` ones among them."""
    return frozenset(LOCAL_NAMES) | ({host.lower(), *(f.lower() for f in further)} - ANY_ADDRESS)


def _hostname(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


async def _read_bounded(receive: Receive) -> bytes | None:
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":  # the caller went away
            return body
        body += bytes(message.get("body", b""))
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return body


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {k.lower() for k, _ in message.get("headers", ())}
            extra = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in present]
            message = {**message, "headers": [*message.get("headers", ()), *extra]}
        await send(message)

    return sending


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, code: str, words: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    body = json.dumps({"code": code, "words": words}).encode()
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": body})
