"""Who is asking, and may they? Every route of the panel names the permission it needs.

A route takes its caller as a dependency, at module level so that annotations find it::

    Reviewer = Annotated[Caller, Depends(allowed("review"))]

    @router.post("/api/claim")
    def claim(body: ClaimBody, caller: Reviewer) -> JSONResponse: ...

A route that names no permission is refused, whoever asks: forgetting it opens nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.types import Scope

from station.store.people import People, Role
from station.store.people_file import PeopleFault

COOKIE = "station_session"
TOKEN_LENGTH = 43
"""Characters of 256 bits in base64url."""

EVERYBODY = frozenset(Role)
PERMISSIONS: Mapping[str, frozenset[Role]] = {
    "live": EVERYBODY,
    "review": frozenset({Role.INSPECTOR, Role.ENGINEER, Role.ADMIN}),
    "history": frozenset({Role.ENGINEER, Role.ML, Role.ADMIN}),
    "correct": frozenset({Role.ENGINEER, Role.ADMIN}),
    "limits": frozenset({Role.ENGINEER, Role.ADMIN}),
    "workbench": frozenset({Role.ENGINEER, Role.ADMIN}),
    "people": frozenset({Role.ADMIN}),
}
TABS: Mapping[Role, tuple[str, ...]] = {
    Role.INSPECTOR: ("review", "live"),
    Role.ENGINEER: ("review", "live", "history", "workbench"),
    Role.ML: ("live", "history"),
    Role.ADMIN: ("review", "live", "history", "workbench", "people"),
}
"""Each role's page has these tabs; a tab's name is the permission it needs."""

CALLER = "station.caller"
"""Where the gate leaves the caller in the request's scope."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the only source of a person's name in anything that is stored."""

    person: str
    role: Role

    @property
    def permissions(self) -> list[str]:
        """What this person may do."""
        return [name for name, roles in PERMISSIONS.items() if self.role in roles]

    @property
    def home(self) -> str:
        """Path of the role's own page."""
        return home(self.role)

    def may_open(self, role: Role) -> bool:
        """Whether this person may open that role's page."""
        return self.role is role or self.role is Role.ADMIN


class SignedOut(Exception):
    """Nobody is signed in: 401."""


class Forbidden(Exception):
    """Somebody is signed in who may not do this: 403."""


class Sessions:
    """Tells the caller of a request from its cookie.

    Args:
        people: Where people and sessions are kept.
        idle_s: Seconds without activity after which a session ends; 0: never.
    """

    def __init__(self, people: People, *, idle_s: float) -> None:
        self.people = people
        self.idle_s = idle_s

    def caller(self, token: str | None, *, active: bool = False) -> Caller | None:
        """The caller with this token; ``None`` where there is none. Reads a file: not for the event loop's thread.

        Raises:
            PeopleFault: The people cannot be read.
        """
        if token is None:
            return None
        person = self.people.signed_in(token, idle_s=self.idle_s, active=active)
        return None if person is None else Caller(person.name, person.role)


class Allowed:
    """A dependency that gives the caller, who has the permission.

    Raises:
        SignedOut: Nobody is signed in.
        Forbidden: The caller's role has not this permission.
    """

    def __init__(self, permission: str) -> None:
        if permission not in PERMISSIONS:
            raise ValueError(f"no permission {permission!r}: one of {', '.join(PERMISSIONS)}")
        self.permission = permission

    async def __call__(self, request: Request) -> Caller:
        """The caller of this request."""
        caller = caller_of(request.scope)
        if caller is None:
            raise SignedOut
        if caller.role not in PERMISSIONS[self.permission]:
            raise Forbidden(self.permission)
        return caller


def allowed(permission: str) -> Allowed:
    """A dependency for ``Depends``: gives the :class:`Caller`, or 401 or 403.

    Args:
        permission: ``live``, ``review``, ``history``, ``correct``, ``workbench``, ``limits`` or ``people``.
    """
    return Allowed(permission)


async def open_to_all() -> None:
    """A dependency that says: this route needs nobody signed in. Only what signing in itself needs has it."""


async def permission_named(request: Request) -> None:
    """The application's own dependency: refuses a route that names no permission.

    Raises:
        Forbidden: The route names none.
    """
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or not (names_permission(route) or is_open(route)):
        raise Forbidden("unnamed")


def names_permission(route: APIRoute) -> str | None:
    """The permission a route needs; ``None`` where it names none."""
    return next((c.permission for c in _calls(route.dependant) if isinstance(c, Allowed)), None)


def is_open(route: APIRoute) -> bool:
    """Whether a route says that it needs nobody signed in."""
    return any(c is open_to_all for c in _calls(route.dependant))


def _calls(dependant: Dependant) -> list[object]:
    return [d.call for d in dependant.dependencies] + [c for d in dependant.dependencies for c in _calls(d)]


def caller_of(scope: Scope) -> Caller | None:
    """The caller the gate found for this request."""
    found = scope.get(CALLER)
    return found if isinstance(found, Caller) else None


def home(role: Role) -> str:
    """Path of a role's own page."""
    return f"/{role.value}/"


def token_of(headers: Mapping[str, str]) -> str | None:
    """The session's token in the request's cookies; ``None`` where there is nothing that could be one."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel is not None and len(morsel.value) == TOKEN_LENGTH else None


def answer_strangers(app: FastAPI) -> None:
    """Turns the errors of this module into statuses the browser's script can tell apart."""

    @app.exception_handler(SignedOut)
    def signed_out(_: Request, error: SignedOut) -> JSONResponse:
        return JSONResponse(SIGNED_OUT, status_code=401, headers={"cache-control": "no-store"})

    @app.exception_handler(Forbidden)
    def forbidden(_: Request, error: Forbidden) -> JSONResponse:
        return JSONResponse(FORBIDDEN, status_code=403, headers={"cache-control": "no-store"})

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        # What was given is not repeated: it may be somebody's secret.
        faults = [{"loc": list(e["loc"]), "msg": e["msg"], "type": e["type"]} for e in error.errors()]
        return JSONResponse({"code": "malformed", "words": "this cannot be read", "detail": faults}, status_code=422)

    @app.exception_handler(PeopleFault)
    def no_people(_: Request, error: PeopleFault) -> JSONResponse:
        return JSONResponse({"code": "no_people", "words": str(error)}, status_code=503)


SIGNED_OUT = {"code": "signed_out", "words": "nobody is signed in: sign in first"}
FORBIDDEN = {"code": "forbidden", "words": "your role may not do this: ask someone whose role may"}
