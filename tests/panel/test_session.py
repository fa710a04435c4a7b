"""Is every door shut to strangers, and open to each role only where it should be?"""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # other people's modules
    from fastapi import APIRouter, Depends, FastAPI
    from fastapi.routing import APIRoute
    from fastapi.testclient import TestClient

    from station.panel.app import create_app

from station.config import PanelSettings, StationConfig
from station.panel import gate
from station.panel.session import COOKIE, PERMISSIONS, TABS, Caller, allowed, is_open, names_permission
from station.store.demo_people import DEMO_PEOPLE, ensure_demo_people
from station.store.people import People, Role
from tests.panel.rehearsal import Rehearsal, config
from tests.panel.serving import make_people, secret_of, sign_in

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

HOST = "http://127.0.0.1:7860"
ORIGIN = {"origin": HOST}
Make = Callable[..., Rehearsal]
NAMES = {role: name for name, role, _ in reversed(DEMO_PEOPLE)}
OPEN = {"/sign-in", "/api/people", "/api/sign-in"}
Looker = Annotated[Caller, Depends(allowed("live"))]


def settings(folder: Path, **panel: Any) -> StationConfig:
    return config(folder).model_copy(update={"panel": PanelSettings(port=0, **panel)})


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    make_people(tmp_path)
    return create_app(config(tmp_path), pages=False)


@pytest.fixture
def http(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url=HOST, follow_redirects=False) as client:
        yield client


def every_route(app: FastAPI) -> list[tuple[str, APIRoute]]:
    """All routes of the panel's own, those of included routers too."""
    found: list[tuple[str, APIRoute]] = []
    for route in app.routes:
        if isinstance(route, APIRoute):
            found.append((route.path, route))
        elif hasattr(route, "effective_route_contexts"):
            for context in route.effective_route_contexts():
                assert isinstance(context.original_route, APIRoute)
                found.append((context.path_format, context.original_route))
    return found


def call(http: TestClient, path: str, route: APIRoute) -> int:
    for name in route.param_convertors:
        path = path.replace(f"{{{name}}}", "1")
    method = next(iter(route.methods - {"HEAD"}))
    reply = http.request(method, path, headers=ORIGIN, json={} if method == "POST" else None)
    return int(reply.status_code)


# -------------------------------------------------------------------- every route


def test_every_route_names_its_permission_and_refuses_everybody_without_it(app: FastAPI, http: TestClient) -> None:
    routes = every_route(app)
    assert len(routes) > 20, "the walk finds the routes"
    assert {p for p, r in routes if is_open(r)} == OPEN
    for path, route in routes:
        if path in OPEN:
            continue
        assert names_permission(route), f"{path} names no permission"
        assert call(http, path, route) == (303 if path == "/" else 401), f"{path} is open to strangers"
    for role, name in NAMES.items():
        http.cookies.clear()
        sign_in(http, name)
        for path, route in routes:
            permission = names_permission(route)
            if permission is not None and role not in PERMISSIONS[permission]:
                assert call(http, path, route) == 403, f"{path} is open to {role}"


NEEDS = {
    "people": ("/api/people-admin/",),
    "correct": ("/api/correct", "/api/known"),
    "limits": ("/api/limits", "/api/workbench/draft"),
    "workbench": ("/api/workbench/",),
    "history": ("/api/history", "/api/part/", "/api/passed", "/api/crop/"),
    "review": ("/api/claim", "/api/renew", "/api/leave", "/api/undo", "/api/answer", "/api/review/", "/api/first-look/",
               "/heat/", "/aligned/"),
}  # fmt: skip
"""What is not for everybody who is signed in."""


def test_every_route_needs_the_permission_it_should(app: FastAPI) -> None:
    for path, route in every_route(app):
        if path not in OPEN:
            needed = next((p for p, begins in NEEDS.items() if path.startswith(begins)), "live")
            assert names_permission(route) == needed, path


def test_a_route_that_forgets_its_permission_is_refused_even_to_an_admin(tmp_path: Path) -> None:
    make_people(tmp_path)
    app = create_app(config(tmp_path), pages=False)
    router = APIRouter()

    @router.get("/api/forgotten")
    def forgotten() -> dict[str, bool]:
        return {"secret": True}

    @router.get("/api/remembered")
    def remembered(caller: Looker) -> dict[str, str]:
        return {"person": caller.person}

    app.include_router(router)
    app.get("/api/straight")(forgotten)
    with TestClient(app, base_url=HOST) as http:
        for path in ("/api/forgotten", "/api/straight", "/api/remembered"):
            assert http.get(path).status_code == 401
        sign_in(http, "Ada")
        for path in ("/api/forgotten", "/api/straight"):
            reply = http.get(path)
            assert (reply.status_code, reply.json()["code"]) == (403, "forbidden")
        assert http.get("/api/remembered").json() == {"person": "Ada"}


def test_who_may_do_what() -> None:
    may = {permission: {r.value for r in roles} for permission, roles in PERMISSIONS.items()}
    assert may == {
        "live": {"inspector", "engineer", "ml", "admin"},
        "review": {"inspector", "engineer", "admin"},
        "history": {"engineer", "ml", "admin"},
        "correct": {"engineer", "admin"},
        "limits": {"engineer", "admin"},
        "workbench": {"engineer", "admin"},
        "people": {"admin"},
    }
    for role, tabs in TABS.items():
        assert all(role in PERMISSIONS[tab] for tab in tabs), "no page shows what its role may not ask for"
    with pytest.raises(ValueError, match="no permission 'reviews'"):
        allowed("reviews")


@pytest.mark.parametrize(
    "path", ["/api/live", "/image/" + "0" * 64 + ".jpg", "/events", "/reference", "/heat/1.png", "/aligned/1.jpg",
             "/api/nothing", "/nothing", "/inspector/config", "/admin/theme.css", "//api/live", "/static/other"]
)  # fmt: skip
def test_a_stranger_gets_no_data(http: TestClient, path: str) -> None:
    for cookie in (None, "", "x" * 43, "x" * 5000, '"', "a=b; c"):
        headers = {} if cookie is None else {"cookie": f"{COOKIE}={cookie}"}
        reply = http.get(path, headers=headers)
        assert (reply.status_code, reply.json()["code"]) == (401, "signed_out")
        assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/inspector", "/inspector/", "/admin/", "/ml/?lang=de"])
def test_a_stranger_at_a_page_is_led_to_the_sign_in_page_and_back(http: TestClient, path: str) -> None:
    reply = http.get(path)
    assert reply.status_code == 303
    way = reply.headers["location"]
    assert way.startswith("/sign-in?to=%2F")
    assert TestClient(http.app, base_url=HOST).get(way).status_code == 200
    assert http.request("POST", path, headers=ORIGIN).status_code in (401, 403)


def test_the_sign_in_page_needs_nothing_but_open_files(http: TestClient) -> None:
    page = http.get("/sign-in")
    assert page.status_code == 200
    assert "unsafe" not in page.headers["content-security-policy"]
    for name in ("sign-in.js", "pin.js", "sign-in.css", "link.js", "strings.de.json"):
        assert http.get(f"/static/panel/{name}").status_code == 200
    assert http.get("/static/panel/..%2f..%2fapp.py").status_code in (401, 404)
    assert http.get("/static/panel/../../app.py").status_code in (401, 404)


# -------------------------------------------------------------------- signing in and out


def test_signing_in_opens_the_roles_doors_and_signing_out_shuts_them(http: TestClient) -> None:
    said = sign_in(http, "Mia")
    assert said == {
        "person": "Mia", "role": "inspector", "home": "/inspector/", "permissions": ["live", "review"],
        "timeout_s": 1800.0,
    }  # fmt: skip
    assert http.get("/api/session").json() == said
    assert http.get("/?lang=de").headers["location"] == "/inspector/?lang=de"
    token = http.cookies[COOKIE]
    assert http.post("/api/sign-out", headers=ORIGIN).json() == {"left": "Mia"}
    assert COOKIE not in http.cookies
    assert http.get("/api/session", headers={"cookie": f"{COOKIE}={token}"}).status_code == 401


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(http: TestClient) -> None:
    body = {"name": "Mia", "secret": "1111"}
    reply = http.post("/api/sign-in", json=body, headers=ORIGIN)
    cookie = reply.headers["set-cookie"]
    assert {"httponly", "samesite=strict", "path=/"} <= {p.strip().lower() for p in cookie.split(";")}
    assert "max-age" not in cookie.lower(), "it ends with the browser"
    assert "secure" not in cookie.lower(), "the station's network may have no TLS"
    with TestClient(http.app, base_url="https://127.0.0.1:7860") as behind_tls:
        reply = behind_tls.post("/api/sign-in", json=body, headers={"origin": "https://127.0.0.1:7860"})
    assert "secure" in reply.headers["set-cookie"].lower()


def test_another_person_signing_in_ends_the_session_before(http: TestClient) -> None:
    sign_in(http, "Mia")
    before = http.cookies[COOKIE]
    assert sign_in(http, "Tom")["person"] == "Tom"
    assert http.cookies[COOKIE] != before
    assert http.get("/api/session", headers={"cookie": f"{COOKIE}={before}"}).status_code == 401


def test_a_wrong_try_ends_no_session(http: TestClient) -> None:
    sign_in(http, "Mia")
    assert http.post("/api/sign-in", json={"name": "Tom", "secret": "9999"}, headers=ORIGIN).status_code == 401
    assert http.get("/api/session").json()["person"] == "Mia"


def test_who_goes_frees_what_they_held(rehearse: Make, http: TestClient, tmp_path: Path) -> None:
    rehearse("u", parts=1, held=1)

    def claimed() -> bool:
        return http.post("/api/claim", json={"skip": []}, headers=ORIGIN).json()["review"] is not None

    with TestClient(http.app, base_url=HOST) as other:
        sign_in(http, "Mia")
        assert claimed()
        sign_in(other, "Tom")
        assert other.post("/api/claim", json={"skip": []}, headers=ORIGIN).json()["review"] is None
        sign_in(http, "Eva")  # sits down where Mia was
        assert other.post("/api/claim", json={"skip": []}, headers=ORIGIN).json()["review"] is not None
        other.post("/api/sign-out", headers=ORIGIN)
        assert claimed()


def test_wrong_tries_wait_and_name_nobody(http: TestClient) -> None:
    def tried(name: str) -> tuple[int, dict[str, Any]]:
        reply = http.post("/api/sign-in", json={"name": name, "secret": "9999"}, headers=ORIGIN)
        return reply.status_code, reply.json()

    for _ in range(4):
        assert tried("Mia") == (
            401,
            {"code": "wrong", "words": "name and PIN do not fit: try again, or ask an admin", "wait_s": 0},
        )
    status, fifth = tried("Nobody")
    assert (status, fifth["code"], fifth["wait_s"]) == (401, "wrong", 2)
    reply = http.post("/api/sign-in", json={"name": "Mia", "secret": "1111"}, headers=ORIGIN)
    assert (reply.status_code, reply.json()["code"]) == (429, "wait")
    assert 1 <= reply.json()["wait_s"] <= 2
    assert reply.headers["retry-after"] == str(reply.json()["wait_s"])
    assert COOKIE not in http.cookies


def test_a_secret_is_repeated_in_no_answer(http: TestClient) -> None:
    secret = "s3cret-words"
    for body in (
        {"name": "", "secret": secret},
        {"name": "Mia", "secret": secret, "more": secret},
        {"name": [secret], "secret": secret},
        {"name": "Mia", "secret": secret * 20},
        [secret],
    ):
        reply = http.post("/api/sign-in", json=body, headers=ORIGIN)
        assert reply.status_code == 422
        assert "s3cret" not in reply.text


def test_only_the_panels_own_page_signs_in(http: TestClient) -> None:
    body = {"name": "Mia", "secret": "1111"}
    for headers in ({}, {"origin": "http://evil.example"}):
        assert http.post("/api/sign-in", json=body, headers=headers).json()["code"] == "foreign_origin"


def test_without_a_hand_a_session_ends_and_the_screens_own_questions_are_no_hand(tmp_path: Path) -> None:
    make_people(tmp_path)
    app = create_app(settings(tmp_path, signout_minutes=10), pages=False)
    database = tmp_path / "var" / "people.db"

    def idle(minutes: int) -> None:
        with closing(sqlite3.connect(database)) as db, db:
            (then,) = db.execute("SELECT max(active_at) FROM session").fetchone()
            db.execute(
                f"UPDATE session SET active_at = strftime('%Y-%m-%dT%H:%M:%f+00:00', ?, '-{minutes} minutes')", (then,)
            )

    with TestClient(app, base_url=HOST) as http:
        assert sign_in(http, "Mia")["timeout_s"] == 600
        for path, body in (("/api/active", {}), ("/api/answer", {}), ("/api/undo", {})):
            idle(9)
            http.post(path, json=body, headers=ORIGIN)
            idle(9)
            assert http.get("/api/session").status_code == 200, f"{path} is a hand's work"
            http.post("/api/active", json={}, headers=ORIGIN)
        for path, body in (("/api/claim", {"skip": []}), ("/api/renew", {"holding": []}), ("/api/leave", {})):
            http.post(path, json=body, headers=ORIGIN)
        idle(9)
        for path, body in (("/api/claim", {"skip": []}), ("/api/renew", {"holding": []}), ("/api/leave", {})):
            http.post(path, json=body, headers=ORIGIN)
        http.get("/api/active")
        idle(2)
        assert http.get("/api/session").status_code == 401, "nobody was there"


# -------------------------------------------------------------------- names, demo, nobody


def test_the_names_are_shown_or_not_and_the_demo_says_its_pins(tmp_path: Path) -> None:
    def said(**panel: Any) -> dict[str, Any]:
        with TestClient(create_app(settings(tmp_path, **panel), pages=False), base_url=HOST) as http:
            return http.get("/api/people").json()  # type: ignore[no-any-return]

    empty = said()
    assert (empty["names"], empty["nobody"], empty["demo"]) == ([], True, None)
    ensure_demo_people(tmp_path / "var" / "people.db")
    with closing(People(tmp_path / "var" / "people.db")) as people:
        people.disable("Tom", by="Ada")
        people.set_secret("Mia", "8642", by="Ada")
    shown = said()
    assert {"name": "Mia", "role": "inspector"} in shown["names"]
    assert [n["name"] for n in shown["names"]] == ["Ada", "Eva", "Max", "Mia"]
    assert shown["nobody"] is False
    assert shown["demo"] == "Ada 5555 · Eva 3333 · Max 4444", "no PIN that does not fit"
    assert set(shown["languages"]) >= {"en", "de"}
    assert said(show_names=False)["names"] == []


def test_people_that_cannot_be_read_are_said_so(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "people.db").write_bytes(b"no database" * 500)
    with TestClient(create_app(config(tmp_path), pages=False), base_url=HOST) as http:
        for path in ("/api/people", "/api/live", "/"):
            reply = http.get(path, headers={"cookie": f"{COOKIE}={'x' * 43}"})
            assert (reply.status_code, reply.json()["code"]) == (503, "no_people")
        assert http.get("/sign-in").status_code == 200


# -------------------------------------------------------------------- people admin


def test_an_admin_looks_after_the_people_and_is_written_down(http: TestClient) -> None:
    def post(what: str, **body: Any) -> tuple[int, dict[str, Any]]:
        reply = http.post(f"/api/people-admin/{what}", json=body, headers=ORIGIN)
        return reply.status_code, reply.json()

    with TestClient(http.app, base_url=HOST) as mia:
        sign_in(mia, "Mia")
        sign_in(http, "Ada")
        status, made = post("add", name="Kim", role="engineer", secret="2468")
        assert (status, made["person"]["name"], made["person"]["created_by"]) == (200, "Kim", "Ada")
        assert post("add", name="kim", role="ml", secret="2468")[0] == 409
        assert post("add", name="Lee", role="chief", secret="2468")[0] == 422
        assert post("add", name="Lee", role="ml", secret="1")[1]["code"] == "invalid"
        assert post("role", name="Kim", role="ml")[1]["person"]["role"] == "ml"
        assert post("secret", name="Kim", secret="1357")[0] == 200
        assert post("disable", name="Ada") == (
            409, {"code": "last_admin", "words": "this is the last admin: make another one first"}
        )  # fmt: skip
        assert post("disable", name="Nobody")[0] == 404
        assert mia.get("/api/session").status_code == 200
        assert post("disable", name="Mia")[1]["person"]["disabled"] is True
        assert mia.get("/api/session").status_code == 401, "at once"
        assert post("enable", name="Mia")[1]["person"]["disabled"] is False
        assert mia.get("/api/session").status_code == 401
        everything = http.get("/api/people-admin/list")
        assert "argon2" not in everything.text
        changes = [(c["by"], c["what"], c["about"]) for c in everything.json()["changes"]]
        assert changes[:3] == [("Ada", "enabled", "Mia"), ("Ada", "disabled", "Mia"), ("Ada", "new secret", "Kim")]
        assert sign_in(mia, "Kim", secret="1357")["home"] == "/ml/"


# -------------------------------------------------------------------- pages


@pytest.fixture(scope="module")
def paged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("station")
    make_people(folder)
    with TestClient(create_app(config(folder)), base_url=HOST, follow_redirects=False) as client:
        yield client


GRADIO = ["config", "config/", "gradio_api/info", "gradio_api/queue/data?session_hash=x", "gradio_api/startup-events",
          "theme.css", "gradio_api/heartbeat/x", "gradio_api/app_id", "static/img/logo.svg"]  # fmt: skip


@pytest.mark.parametrize("role", list(Role))
def test_each_role_has_its_own_page_with_its_own_tabs(paged: TestClient, role: Role) -> None:
    paged.cookies.clear()
    sign_in(paged, NAMES[role])
    page = paged.get(f"/{role}/")
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-store"
    shown = paged.get(f"/{role}/config")
    assert shown.status_code == 200
    tabs = {c["props"]["id"] for c in shown.json()["components"] if c["type"] == "tabitem"}
    assert tabs == set(TABS[role])
    for other in set(Role) - {role}:
        reply = paged.get(f"/{other}/")
        if role is Role.ADMIN:
            assert reply.status_code == paged.get(f"/{other}/config").status_code == 200
            continue
        assert (reply.status_code, reply.headers["location"]) == (303, f"/{role}/")
        for path in GRADIO:
            assert paged.get(f"/{other}/{path}").status_code in (401, 403), f"{role} at /{other}/{path}"


@pytest.mark.parametrize("path", ["queue/join", "gradio_api/queue/join", "gradio_api/run/predict", "gradio_api/upload",
                                  "gradio_api/call/x", "gradio_api/cancel", "gradio_api/reset"])  # fmt: skip
def test_nothing_is_started_on_a_page_not_even_by_an_admin(paged: TestClient, path: str) -> None:
    for name in ("Mia", "Ada"):
        paged.cookies.clear()
        sign_in(paged, name)
        assert paged.post(f"/engineer/{path}", json={}, headers=ORIGIN).status_code in (401, 403)


def test_a_page_asks_for_its_role_itself_even_without_the_gate(
    paged: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "page_role", lambda path: None)
    paged.cookies.clear()
    sign_in(paged, "Mia")
    for path in ("engineer/config", "engineer/gradio_api/info", "admin/config"):
        assert paged.get(f"/{path}").status_code == 401
    assert paged.get("/inspector/config").status_code == 200


def test_names_without_a_pin_are_no_secret_of_the_tests() -> None:
    assert secret_of("Mia") == "1111"
    assert secret_of("Somebody") == "4711"
