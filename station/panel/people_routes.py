"""How does an admin look after the people? Add, disable, enable, new PIN, other role: each noted with who did it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from station.panel.session import Caller, allowed
from station.store.people import People, PeopleRefused, Person, Role

STATUS_OF = {"unknown": 404, "invalid": 422}
CHANGES_SHOWN = 50

Admin = Annotated[Caller, Depends(allowed("people"))]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=128)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class NameBody(_Body):
    """Someone it is about."""

    name: Name


class SecretBody(NameBody):
    """Someone gets a new PIN or password."""

    secret: Secret


class RoleBody(NameBody):
    """Someone gets another role."""

    role: Role


class AddBody(RoleBody):
    """Someone new."""

    secret: Secret


def people_routes(people: People) -> APIRouter:
    """The routes under ``/api/people-admin``."""
    router = APIRouter(prefix="/api/people-admin")

    @router.get("/list")
    def everybody(caller: Admin) -> JSONResponse:
        changes = [{"at": c.at, "by": c.by, "what": c.what, "about": c.about} for c in people.changes()]
        return _fresh({"people": [_view(p) for p in people.everybody()], "changes": changes[:CHANGES_SHOWN]})

    @router.post("/add")
    def add(body: AddBody, caller: Admin) -> JSONResponse:
        return _one(people.add(body.name, body.role, body.secret.get_secret_value(), by=caller.person))

    @router.post("/disable")
    def disable(body: NameBody, caller: Admin) -> JSONResponse:
        return _one(people.disable(body.name, by=caller.person))

    @router.post("/enable")
    def enable(body: NameBody, caller: Admin) -> JSONResponse:
        return _one(people.enable(body.name, by=caller.person))

    @router.post("/secret")
    def secret(body: SecretBody, caller: Admin) -> JSONResponse:
        return _one(people.set_secret(body.name, body.secret.get_secret_value(), by=caller.person))

    @router.post("/role")
    def role(body: RoleBody, caller: Admin) -> JSONResponse:
        return _one(people.set_role(body.name, body.role, by=caller.person))

    return router


def answer_refusals(app: FastAPI) -> None:
    """Turns a refused change of a person into a status and a code."""

    @app.exception_handler(PeopleRefused)
    def refused(_: Request, error: PeopleRefused) -> JSONResponse:
        return JSONResponse({"code": error.code, "words": str(error)}, status_code=STATUS_OF.get(error.code, 409))


def _view(person: Person) -> dict[str, Any]:
    return {
        "name": person.name,
        "role": person.role,
        "created_at": person.created_at,
        "created_by": person.created_by,
        "disabled": person.disabled_at is not None,
        "secret_by": person.secret_by,
    }


def _one(person: Person) -> JSONResponse:
    return _fresh({"person": _view(person)})


def _fresh(what: dict[str, Any]) -> JSONResponse:
    return JSONResponse(what, headers={"cache-control": "no-store"})
