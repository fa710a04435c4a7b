"""How does someone sign in, and out again? The few routes that need nobody signed in, and those about oneself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from starlette.background import BackgroundTask

from station.config import StationConfig
from station.panel.session import COOKIE, Caller, Sessions, allowed, open_to_all, token_of
from station.store.demo_people import demo_secrets
from station.store.people import SignInRefused

log = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The sign-in page runs nothing but its own file."""

Anybody = Annotated[Caller, Depends(allowed("live"))]
NOBODY_NEEDED = [Depends(open_to_all)]


class SignInBody(BaseModel):
    """A name and its PIN or password; the secret is not repeated in any message."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: str = Field(min_length=1, max_length=64)
    secret: SecretStr = Field(min_length=1, max_length=128)


def session_routes(sessions: Sessions, config: StationConfig, leave: Callable[[str | None], None]) -> APIRouter:
    """The routes.

    Args:
        sessions: Who is signed in.
        config: Whether names are shown, and when a session ends.
        leave: Frees the parts a person holds; called after the answer was sent, with who has gone.
    """
    router = APIRouter()
    people = sessions.people

    @router.get("/sign-in", dependencies=NOBODY_NEEDED)
    def page() -> Response:
        headers = {"cache-control": "no-cache", "content-security-policy": STRICT}
        return FileResponse(STATIC / "sign-in.html", media_type="text/html", headers=headers)

    @router.get("/api/people", dependencies=NOBODY_NEEDED)
    def names() -> JSONResponse:
        everybody = people.everybody()
        enabled = [p for p in everybody if p.disabled_at is None]
        known = demo_secrets(everybody)
        return _fresh(
            {
                "names": [{"name": p.name, "role": p.role} for p in enabled] if config.panel.show_names else [],
                "shown": config.panel.show_names,
                "nobody": not enabled,
                "demo": " · ".join(f"{name} {pin}" for name, pin in known) or None,
                "station": config.station,
                "language": config.panel.language,
                "languages": sorted(p.name.split(".")[1] for p in STATIC.glob("strings.*.json")),
            }
        )

    @router.post("/api/sign-in", dependencies=NOBODY_NEEDED)
    def sign_in(body: SignInBody, request: Request) -> JSONResponse:
        address = request.client.host if request.client else ""
        try:
            begun = people.sign_in(body.name, body.secret.get_secret_value(), client=address)
        except SignInRefused as refused:
            wait_s = ceil(refused.wait_s)
            said = {"code": refused.code, "words": str(refused), "wait_s": wait_s}
            headers = {"retry-after": str(wait_s)} if refused.code == "wait" else {}
            return _fresh(said, status=429 if refused.code == "wait" else 401, headers=headers)
        caller = Caller(begun.person.name, begun.person.role)
        reply = _fresh(_said(caller, sessions))
        before = _end(request)
        if before not in (None, caller.person):
            reply.background = BackgroundTask(leave, before)
        reply.set_cookie(
            COOKIE, begun.token, path="/", httponly=True, samesite="strict", secure=request.url.scheme == "https"
        )
        return reply

    @router.get("/favicon.ico")
    def icon(caller: Anybody) -> Response:
        # Gradio names its own icon late, so a browser first asks here.
        return FileResponse(STATIC / "icon.svg", media_type="image/svg+xml")

    @router.get("/api/session")
    def session(caller: Anybody) -> JSONResponse:
        return _fresh(_said(caller, sessions))

    @router.post("/api/active")
    def active(caller: Anybody) -> JSONResponse:
        return _fresh({"person": caller.person})  # the gate has noted it

    @router.post("/api/sign-out")
    def sign_out(caller: Anybody, request: Request) -> JSONResponse:
        reply = _fresh({"left": caller.person})
        reply.background = BackgroundTask(leave, _end(request))
        reply.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return reply

    @router.get("/")
    def start(caller: Anybody, request: Request) -> Response:
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(caller.home + query, status_code=303, headers={"cache-control": "no-store"})

    def _end(request: Request) -> str | None:
        """Ends the session this browser had; returns whose it was."""
        token = token_of(request.headers)
        caller = sessions.caller(token)
        if token is None or caller is None:
            return None
        people.sign_out(token)
        return caller.person

    return router


def _said(caller: Caller, sessions: Sessions) -> dict[str, Any]:
    return {
        "person": caller.person,
        "role": caller.role,
        "home": caller.home,
        "permissions": caller.permissions,
        "timeout_s": sessions.idle_s,
    }


def _fresh(what: dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(what, status_code=status, headers={"cache-control": "no-store", **(headers or {})})
