"""Limits over HTTP: who acts comes from the session, the loop writes, and the next part shows the new limits."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # other people's modules
    from fastapi import FastAPI
    from fastapi.routing import APIRoute
    from fastapi.testclient import TestClient

    from station.panel.app import create_app

from station.limits import limits_of, with_values
from station.panel.gate import ACTIVITY
from station.panel.limits_routes import limits_routes
from station.store.people import Role
from tests.builders import until
from tests.panel.rehearsal import Rehearsal, config
from tests.panel.serving import make_people, sign_in

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

HOST = "http://127.0.0.1:7860"
KEYS = itertools.count()
DIFF = {"footage": "shift-12", "parts": 3, "flips": []}
Make = Callable[..., Rehearsal]


class Panel:
    """The panel as its people call it; Eva and Ute are engineers, Mia inspects, Max is of the ML staff."""

    def __init__(self, app: FastAPI, first: TestClient) -> None:
        self._app = app
        self.routes = [r for r in limits_routes(None, None).routes if isinstance(r, APIRoute)]  # type: ignore[arg-type]
        sign_in(first, "Eva")
        self._of = {"Eva": first}

    def of(self, person: str) -> TestClient:
        if person not in self._of:
            self._of[person] = TestClient(self._app, base_url=HOST)
            sign_in(self._of[person], person)
        return self._of[person]

    def get(self, path: str = "", person: str = "Eva") -> Any:
        reply = self.of(person).get(f"/api/limits{path}")
        assert reply.status_code == 200, reply.text
        assert reply.headers["cache-control"] == "no-store"
        return reply.json()

    def post(self, what: str, person: str = "Eva", **body: Any) -> tuple[int, dict[str, Any]]:
        body = {"key": f"key-{next(KEYS):08d}", "reason": "because"} | body
        reply = self.of(person).post(f"/api/limits/{what}", json=body, headers={"origin": HOST})
        return reply.status_code, reply.json()

    def done(self, what: str, person: str = "Eva", **body: Any) -> dict[str, Any]:
        status, said = self.post(what, person, **body)
        assert status == 200, said
        return said


@pytest.fixture
def panel(tmp_path: Path) -> Iterator[Panel]:
    make_people(tmp_path, Ute=Role.ENGINEER)
    app = create_app(config(tmp_path), pages=False)
    with TestClient(app, base_url=HOST) as client:
        yield Panel(app, client)


def limits(stage: Rehearsal, **changes: Any) -> dict[str, Any]:
    return with_values(limits_of(stage.recipe), {"scratch": changes}).to_dict()


def test_a_draft_is_approved_by_a_second_person_and_put_in_force(panel: Panel, rehearse: Make) -> None:
    stage = rehearse("p", pause_s=0.5)
    empty = panel.get()
    assert empty["recipe"] == "disc"
    assert (empty["in_force"], empty["roll_back_to"], empty["versions"], empty["events"]) == (None, None, [], [])
    assert empty["limits"] == empty["file"] == limits(stage)

    wide = limits(stage, pass_below=0.55)
    drafted = panel.done("draft", limits=wide, reason="false scratches", diff=DIFF)
    assert drafted == {"version": 1, "event": 1, "in_force": None}
    shown = panel.get()["versions"][0]
    assert (shown["made_by"], shown["reason"], shown["standing"], shown["widens"], shown["needs_approval"]) == (
        "Eva", "false scratches", "draft", True, True,
    )  # fmt: skip
    assert (shown["limits"], shown["diff"], shown["certificate"], shown["base"]) == (wide, DIFF, None, None)
    assert [c["what"] for c in shown["changes"]] == ["scratch.pass_below"]

    assert panel.post("activate", version=1)[0] == 409
    assert panel.post("activate", version=1)[1]["code"] == "not_approved"
    assert panel.post("approve", version=1)[1]["code"] == "same_person"
    panel.done("approve", "Ute", version=1, reason="seen the flips")
    shown = panel.get()["versions"][0]
    assert (shown["standing"], shown["approved_by"], shown["needs_approval"]) == ("approved", ["Ute"], False)

    assert panel.done("activate", version=1) == {"version": 1, "event": 3, "in_force": 1}
    now = panel.get()
    assert (now["in_force"], now["limits"], now["roll_back_to"]) == (1, wide, {"version": None})
    assert now["versions"][0]["standing"] == "in_force"
    assert now["versions"][0]["changes"] == []
    assert [(e["kind"], e["person"], e["via"], e["widens"]) for e in now["events"]] == [
        ("activated", "Eva", "panel", True), ("approved", "Ute", "panel", None), ("drafted", "Eva", "panel", None),
    ]  # fmt: skip

    assert panel.done("rollback", "Ada", reason="a scratch got through")["in_force"] is None
    again = panel.get()
    assert (again["in_force"], again["roll_back_to"], again["versions"][0]["standing"]) == (None, None, "was_in_force")
    panel.done("withdraw", version=1)
    assert panel.get()["versions"][0]["standing"] == "withdrawn"
    assert panel.post("activate", version=1)[1]["code"] == "withdrawn"


def test_after_a_change_new_parts_show_the_new_limits_and_old_ones_the_old(panel: Panel, rehearse: Make) -> None:
    stage = rehearse("u", pause_s=0.05, lane_capacity=1000)

    def live() -> dict[str, Any]:
        return panel.of("Eva").get("/api/live").json()  # type: ignore[no-any-return]

    def told(part_id: str) -> tuple[float, int | None]:
        story = panel.of("Eva").get(f"/api/part/{part_id}").json()
        of_class = next(c for c in story["classes"] if c["name"] == "scratch")
        assert story["recipe_is_the_runs"]
        return of_class["pass_below"], story["run"]["limits_version"]

    until(lambda: len(live()["recent"]) > 1, "no parts come")
    before = live()
    panel.done("draft", limits=limits(stage, pass_below=0.02), diff=DIFF)
    panel.done("activate", version=1)
    assert live()["run"] == before["run"] + 1, "what tells a browser to read names and limits anew"
    boot = panel.of("Eva").get("/api/boot").json()
    assert next(c for c in boot["classes"] if c["name"] == "scratch")["pass_below"] == 0.02
    newest = before["recent"][0]["number"]
    until(lambda: live()["recent"][0]["number"] > newest + 10, "no part under the new limits")
    assert told(before["recent"][0]["part_id"]) == (0.3, None)
    assert told(live()["recent"][0]["part_id"]) == (0.02, 1)


def test_who_acts_comes_from_the_session_and_never_from_the_body(panel: Panel, rehearse: Make) -> None:
    stage = rehearse("p", pause_s=0.5)
    for more in ({"person": "Ada"}, {"made_by": "Ada"}, {"via": "command line"}, {"widens": False}):
        body = {"key": "key-of-mine", "reason": "because", "limits": limits(stage)} | more
        assert panel.of("Eva").post("/api/limits/draft", json=body, headers={"origin": HOST}).status_code == 422
    assert panel.get()["versions"] == []


@pytest.mark.parametrize("person", ["Mia", "Max"])
def test_others_neither_read_nor_act(panel: Panel, rehearse: Make, person: str) -> None:
    stage = rehearse("p", pause_s=0.5)
    assert panel.of(person).get("/api/limits").status_code == 403
    assert panel.of(person).get("/api/limits/compare?a=file&b=file").status_code == 403
    for what, body in (
        ("draft", {"limits": limits(stage)}), ("approve", {"version": 1}), ("withdraw", {"version": 1}),
        ("activate", {"version": 1}), ("rollback", {}),
    ):  # fmt: skip
        assert panel.post(what, person, **body)[0] == 403
    assert panel.get()["events"] == []


@pytest.mark.parametrize(
    ("what", "body", "status", "code"),
    [
        ("draft", {"limits": {}}, 422, "malformed"),
        ("draft", {"limits": {"classes": {"scratch": {"pass_below": 0.1, "fail_above": 0.2}}}}, 409, "does_not_fit"),
        ("draft", {"limits": None}, 422, "malformed"),
        ("approve", {"version": 9}, 404, "unknown"),
        ("approve", {"version": None}, 422, "malformed"),
        ("approve", {"version": 2**70}, 422, "malformed"),
        ("withdraw", {"version": 9}, 404, "unknown"),
        ("activate", {}, 422, "malformed"),
        ("activate", {"version": 9}, 404, "unknown"),
        ("activate", {"version": None}, 409, "in_force"),
        ("rollback", {}, 409, "nothing_to_roll_back"),
        ("rollback", {"key": "short"}, 422, "malformed"),
        ("rollback", {"reason": ""}, 422, "malformed"),
        ("rollback", {"reason": "   "}, 422, "invalid"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_code_and_words(
    panel: Panel, rehearse: Make, what: str, body: dict[str, Any], status: int, code: str
) -> None:
    rehearse("p", pause_s=0.5)
    got, said = panel.post(what, **body)
    assert (got, said["code"]) == (status, code), said
    assert said["words"]


def test_a_version_without_a_diff_needs_the_reason_why(panel: Panel, rehearse: Make) -> None:
    stage = rehearse("p", pause_s=0.5)
    panel.done("draft", limits=limits(stage, pass_below=0.01))
    assert panel.post("activate", version=1)[1]["code"] == "no_diff"
    panel.done("activate", version=1, without_diff="no footage of this lot")
    assert "no footage of this lot" in panel.get()["events"][0]["reason"]


def test_sent_twice_is_done_once(panel: Panel, rehearse: Make) -> None:
    stage = rehearse("p", pause_s=0.5)
    body = {"key": "the-same-key", "limits": limits(stage)}
    assert panel.done("draft", **body) == panel.done("draft", **body)
    assert len(panel.get()["versions"]) == 1


def test_without_the_loop_nothing_is_stored_and_that_is_said(panel: Panel, rehearse: Make) -> None:
    stage = rehearse("p", pause_s=0.5)
    stage.shut_the_door()
    status, said = panel.post("draft", limits=limits(stage))
    assert (status, said["code"]) == (503, "loop_away")
    assert panel.get()["versions"] == []


def test_before_the_loop_has_run_there_is_no_ledger(panel: Panel) -> None:
    reply = panel.of("Eva").get("/api/limits")
    assert (reply.status_code, reply.json()["code"]) == (503, "no_ledger")


def test_versions_are_compared_word_by_word(panel: Panel, rehearse: Make) -> None:
    stage = rehearse("p", pause_s=0.5)
    panel.done("draft", limits=limits(stage, pass_below=0.01))
    panel.done("draft", limits=limits(stage, pass_below=0.02), base=1)
    assert panel.get()["versions"][0]["base"] == 1
    found = panel.get("/compare?a=1&b=2")
    assert found["widens"] is True
    assert [(c["what"], c["before"], c["after"]) for c in found["changes"]] == [("scratch.pass_below", 0.01, 0.02)]
    assert panel.get("/compare?a=2&b=1")["widens"] is False
    assert panel.get("/compare?a=file&b=file") == {"changes": [], "widens": False}
    for name in ("9", "older", "-1", ""):
        assert panel.of("Eva").get(f"/api/limits/compare?a=file&b={name}").status_code == 404


def test_acting_on_limits_is_a_hands_work_that_keeps_a_session_alive(panel: Panel) -> None:
    posts = {f"/api/limits/{what}" for what in ("draft", "approve", "withdraw", "activate", "rollback")}
    assert posts <= ACTIVITY
    assert posts == {
        route.path for route in panel.routes if route.path.startswith("/api/limits") and "POST" in route.methods
    }
