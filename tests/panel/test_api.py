"""What does the panel answer over HTTP, over a true ledger and a true loop?"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # other people's modules
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from station.panel.app import create_app

from station.panel.guard import MAX_BODY_BYTES
from station.store import queries
from station.store.database import open_writer
from tests.builders import until
from tests.panel.rehearsal import Rehearsal, config
from tests.panel.serving import make_people, sign_in

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

HOST = "http://127.0.0.1:7860"
Make = Callable[..., Rehearsal]


class Browser:
    """The panel as pages of its own call it, one signed-in person each."""

    def __init__(self, app: FastAPI, first: TestClient) -> None:
        self._app = app
        self._of = {"Mia": first}
        self.http = first
        sign_in(first, "Mia")

    def of(self, person: str) -> TestClient:
        if person not in self._of:
            # Without entering it: the application's threads run once, for the first.
            self._of[person] = TestClient(self._app, base_url=HOST)
            sign_in(self._of[person], person)
        return self._of[person]

    def post(self, path: str, person: str = "Mia", **body: Any) -> tuple[int, dict[str, Any]]:
        reply = self.of(person).post(path, json=body, headers={"origin": HOST})
        return reply.status_code, reply.json()

    def claim(self, person: str = "Mia", skip: tuple[int, ...] = ()) -> dict[str, Any]:
        status, said = self.post("/api/claim", person, skip=list(skip))
        assert status == 200, said
        return said["review"]  # type: ignore[no-any-return]

    def answer(self, review: int, answer: str | None, *, key: str, person: str = "Mia", **more: Any) -> Any:
        return self.post(
            "/api/answer", person, key=key, review_id=review, answer=answer, seconds=1.5,
            shown={"verdict": "NOT_OK"}, **more,
        )  # fmt: skip


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    make_people(tmp_path)
    return create_app(config(tmp_path), pages=False)


@pytest.fixture
def browser(app: FastAPI) -> Iterator[Browser]:
    with TestClient(app, base_url=HOST) as client:
        yield Browser(app, client)


def test_a_part_is_claimed_answered_stored_and_taken_back(rehearse: Make, browser: Browser) -> None:
    stage = rehearse("r", parts=2, held=2, undo_s=60)
    first = browser.claim()
    assert first["why"] == "rejected"
    assert first["proposed"] == first["label"]
    assert {c["relation"] for c in first["candidates"]} <= {"above", "between", "below"}
    assert browser.http.get(first["image"]).headers["cache-control"].endswith("immutable")

    status, said = browser.answer(first["id"], "agree", key="key-000001")
    assert status == 200
    assert browser.answer(first["id"], "agree", key="key-000001") == (200, said), "the same key changes nothing"
    assert browser.claim(skip=(first["id"],))["id"] != first["id"]

    status, back = browser.post("/api/undo", key="undo-00001")
    assert (status, back["review"]["id"]) == (200, first["id"])
    rows = stage.ledger.engine.connect().exec_driver_sql("SELECT answer, shown, undone_by FROM confirmation").all()
    assert rows == [("agree", '{"verdict":"NOT_OK"}', "Mia")]


def test_two_inspectors_get_different_parts_and_a_conflict_says_so(rehearse: Make, browser: Browser) -> None:
    rehearse("u", parts=2, held=2, undo_s=60)
    mine, theirs = browser.claim("Mia"), browser.claim("Tom")
    assert mine["id"] != theirs["id"]
    assert browser.answer(mine["id"], "agree", key="key-000001", person="Tom")[1]["code"] == "taken"
    assert browser.answer(mine["id"], "agree", key="key-000002", person="Mia")[0] == 200
    status, said = browser.answer(mine["id"], "false_alarm", key="key-000003", person="Tom")
    assert (status, said["code"]) == (409, "answered")
    assert "Mia" in said["words"]
    assert browser.post("/api/renew", "Tom", holding=[mine["id"], theirs["id"]])[1] == {"held": [theirs["id"]]}


def test_leaving_frees_the_parts(rehearse: Make, browser: Browser) -> None:
    rehearse("u", parts=1, held=1)
    assert browser.claim("Mia") is not None
    assert browser.claim("Tom") is None
    assert browser.post("/api/leave")[0] == 200
    assert browser.claim("Tom") is not None


def test_a_second_person_is_not_the_first(rehearse: Make, browser: Browser) -> None:
    rehearse("u", parts=1, held=1, undo_s=0)
    first = browser.claim("Mia")
    assert browser.answer(first["id"], "unsure", key="key-000001")[0] == 200
    second = None
    for _ in range(100):
        second = second or browser.claim("Tom")
    assert second is not None
    assert second["why"] == "second_person"
    assert browser.claim("Mia") is None


@pytest.mark.parametrize("plan", ["p", "u", "r", "n"])
def test_a_blind_part_gives_nothing_of_the_machines_opinion(
    rehearse: Make, browser: Browser, tmp_path: Path, plan: str
) -> None:
    rehearse(plan, parts=1, held=1, blind=1.0, audit=1.0)
    seen = browser.claim()
    live = browser.http.get("/api/live").json()
    assert seen["blind"] is True
    assert set(seen) == {
        "id", "number", "part_id", "image", "opened_at", "claimed_by", "blind", "width", "height", "simulated",
        "serial", "answered_by", "settled",
    }  # fmt: skip
    # The times are taken out first: a second that reads "10.127" is no score.
    for row in (seen, *live["queue"], *live["recent"]):
        for name in ("opened_at", "triggered_at"):
            row.pop(name, None)
    everything = json.dumps([seen, live["queue"], live["recent"]]).lower()
    for word in (
        "verdict", "score", "candidate", "evaluation", "reason", "label", "audit", "uncertain", "reject", "undefined",
        "not_ok", "not_decidable", "p_select", "0.12", "0.53", "0.91", "scratch", "dent", "stain", "missing", "truth",
    ):  # fmt: skip
        assert word not in everything, f"{word!r} betrays the machine's opinion"
    assert live["recent"][0]["hidden"] is True
    assert [live["counts"][k] for k in ("passed", "uncertain", "rejected", "undefined", "hidden")] == [0, 0, 0, 0, 1]


def test_a_blind_part_stays_hidden_until_its_answer_is_settled(rehearse: Make, browser: Browser) -> None:
    rehearse("r", parts=1, held=1, blind=1.0, undo_s=60)
    part = browser.claim()
    assert browser.http.get("/api/live").json()["recent"][0]["hidden"] is True
    assert browser.answer(part["id"], "agree", key="key-000001")[1]["code"] == "invalid"
    assert browser.answer(part["id"], "false_alarm", key="key-000002")[0] == 200
    assert browser.http.get("/api/live").json()["recent"][0]["hidden"] is True


def test_the_loop_away_is_said_and_nothing_is_stored(rehearse: Make, browser: Browser, tmp_path: Path) -> None:
    stage = rehearse("r", parts=1, held=1)
    part = browser.claim()
    stage.shut_the_door()
    status, said = browser.answer(part["id"], "agree", key="key-000001")
    assert (status, said["code"]) == (503, "loop_away")
    assert browser.http.get("/api/live").json()["waiting"] == 1, "what is stored can still be read"


def test_without_a_ledger_the_panel_starts_and_says_so(browser: Browser) -> None:
    assert browser.http.get("/api/boot").json()["run"] is None
    assert browser.http.get("/api/live").json()["code"] == "no_ledger"


def test_an_empty_ledger_is_no_fault(browser: Browser, tmp_path: Path) -> None:
    open_writer(tmp_path / "var" / "ledger.db").dispose()
    assert browser.http.get("/api/live").json()["recent"] == []


@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:1"}],
    ids=["none", "foreign", "null", "other port"],
)
def test_only_this_panels_pages_may_change_anything(rehearse: Make, browser: Browser, headers: dict[str, str]) -> None:
    rehearse("r", parts=1, held=1)
    reply = browser.http.post("/api/claim", json={}, headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (403, "foreign_origin")
    assert browser.http.get("/api/live").json()["queue"][0]["claimed_by"] is None


@pytest.mark.parametrize("path", ["/", "/api/live", "/events", "/image/" + "0" * 64 + ".jpg", "/config"])
def test_a_foreign_host_name_is_refused_everywhere(browser: Browser, path: str) -> None:
    assert browser.http.get(path, headers={"host": "evil.example"}).status_code == 403


@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/upload", "/login", "/api/../x", "/events"])
def test_nothing_but_the_api_takes_a_change(browser: Browser, path: str) -> None:
    assert browser.http.post(path, json={}, headers={"origin": HOST}).status_code == 403


def test_large_and_malformed_bodies_are_refused(browser: Browser) -> None:
    head = {"origin": HOST, "content-type": "application/json"}
    assert browser.http.post("/api/claim", content=b"x" * (MAX_BODY_BYTES + 1), headers=head).status_code == 413
    chunks = (b"x" * 1024 for _ in range(MAX_BODY_BYTES // 1024 + 1))
    assert browser.http.post("/api/claim", content=chunks, headers=head).status_code == 413
    assert browser.post("/api/claim", skip=["x"])[0] == 422
    reply = browser.http.post("/api/claim", json={"person": "Tom"}, headers={"origin": HOST})
    assert reply.status_code == 422, "who asks comes from the session alone"
    assert browser.answer(1, "sell", key="key-000001")[0] == 422


@pytest.mark.parametrize("name", ["0" * 64, "0" * 63, "..%2f..%2fledger", "A" * 64])
def test_only_pictures_of_parts_are_given(browser: Browser, name: str) -> None:
    assert browser.http.get(f"/image/{name}.jpg").status_code == 404
    assert browser.http.get(f"/thumbnail/{name}.jpg").status_code == 404


def test_a_part_has_a_picture_and_a_stamp_of_it_for_those_who_may_look(rehearse: Make, browser: Browser) -> None:
    rehearse("r", parts=1, held=1)
    picture = browser.http.get("/api/live").json()["queue"][0]["image"]
    stamp = picture.replace("/image/", "/thumbnail/")
    whole, small = browser.http.get(picture), browser.http.get(stamp)
    assert whole.headers["content-type"] == small.headers["content-type"] == "image/jpeg"
    assert "immutable" in small.headers["cache-control"]
    assert 0 < len(small.content) < len(whole.content)
    browser.http.cookies.clear()
    assert browser.http.get(stamp).status_code == 401


def test_a_reference_outside_the_recipes_is_not_given(rehearse: Make, browser: Browser, tmp_path: Path) -> None:
    (tmp_path.parent / "secret.jpg").write_bytes(b"x")
    rehearse("p", parts=1, reference="../secret.jpg")
    assert browser.http.get("/reference").status_code == 404
    assert browser.http.get("/api/boot").json()["reference"] is None


def test_the_panel_cannot_write_the_ledger(rehearse: Make, app: FastAPI, tmp_path: Path) -> None:
    from sqlalchemy import text
    from sqlalchemy.exc import OperationalError

    from station.panel.reading import Reading

    rehearse("r", parts=1, held=1)
    reading = Reading(config(tmp_path))
    assert len(queries.open_reviews(reading.engine)) == 1
    with reading.engine.connect() as connection, pytest.raises(OperationalError, match="readonly"):
        connection.execute(text("DELETE FROM review"))
    reading.close()


def test_an_answer_is_of_the_person_who_is_signed_in(rehearse: Make, browser: Browser) -> None:
    stage = rehearse("uu", parts=2, held=2, undo_s=60)
    mine, theirs = browser.claim("Mia"), browser.claim("Tom")
    browser.answer(mine["id"], "agree", key="key-000001", person="Mia")
    browser.answer(theirs["id"], "agree", key="key-000002", person="Tom")
    assert browser.post("/api/undo", "Tom", key="undo-00001")[1]["review"]["id"] == theirs["id"]
    rows = stage.ledger.engine.connect().exec_driver_sql("SELECT key, person, undone_by FROM confirmation ORDER BY key")
    assert rows.all() == [("key-000001", "Mia", None), ("key-000002", "Tom", "Tom")]


def test_a_question_tells_everything_the_screen_shows(rehearse: Make, browser: Browser) -> None:
    rehearse("r", parts=1, held=1)
    part = browser.claim()
    defects = [c["defect"] for c in part["candidates"] if c["defect"] is not None]
    assert defects == list(range(len(defects)))
    assert all((c["defect"] is None) == (c["relation"] in ("below", "unknown")) for c in part["candidates"])
    assert part["record"] is None, "nobody has answered for this class yet"
    boot = browser.http.get("/api/boot").json()
    assert [c["name"] for c in boot["causes"]] == ["reflection", "dust", "mark", "model_error"]
    assert (boot["escalate_s"], boot["language"]) == (60.0, "en")
    assert len({c["key"] for c in boot["causes"]}) == 4


def test_defects_are_judged_one_by_one_and_reasons_kept(rehearse: Make, browser: Browser) -> None:
    stage = rehearse("r", parts=1, held=1, undo_s=60)
    part = browser.claim()
    defects = [c["defect"] for c in part["candidates"] if c["defect"] is not None]
    judgements = [{"defect": d, "answer": "false_alarm", "cause": "dust"} for d in defects]
    status, said = browser.answer(part["id"], None, key="key-000001", judgements=judgements[1:], note="wiped it")
    assert (status, said["code"]) == (422, "invalid")
    assert browser.answer(part["id"], None, key="key-000001", judgements=judgements, note="wiped it")[0] == 200
    row = stage.ledger.engine.connect().exec_driver_sql("SELECT answer, cause, note FROM confirmation").one()
    assert row == ("false_alarm", "dust", "wiped it")


def test_the_machine_speaks_after_the_first_look_is_settled(rehearse: Make, browser: Browser) -> None:
    stage = rehearse("r", parts=1, held=1, blind=1.0, undo_s=0.3)
    part = browser.claim()
    look = f"/api/first-look/{part['id']}"
    assert browser.answer(part["id"], "false_alarm", key="key-000001")[0] == 200
    assert browser.http.get(look).status_code == 404
    until(lambda: browser.http.get(look).status_code == 200, "the first look was not settled")
    said = browser.http.get(look).json()
    assert said["said"] == {"answer": "false_alarm", "label": None}
    row = stage.ledger.engine.connect().exec_driver_sql("SELECT evaluation, label FROM inspection").one()
    assert (said["machine"]["evaluation"], said["machine"]["label"]) == tuple(row)
    assert browser.of("Tom").get(look).status_code == 404, "only who looked is told"


def test_heat_and_alignment_are_not_given_for_what_is_not_there(rehearse: Make, browser: Browser) -> None:
    rehearse("r", parts=1, held=1, blind=1.0)
    part = browser.claim()
    assert browser.http.get(f"/heat/{part['id']}.png").status_code == 404
    assert browser.http.get("/aligned/99.jpg").status_code == 404


def test_another_language_falls_back_to_english_word_by_word(browser: Browser) -> None:
    english = browser.http.get("/api/boot").json()
    other = browser.http.get("/api/boot?lang=de").json()
    assert set(other["strings"]) == set(english["strings"])
    assert (other["language"], english["language"]) == ("de", "en")
    assert browser.http.get("/api/boot?lang=../../x").json()["language"] == "en"


def test_the_page_is_served_without_naming_any_other_host(tmp_path: Path) -> None:
    make_people(tmp_path)
    with TestClient(create_app(config(tmp_path)), base_url=HOST) as client:
        sign_in(client, "Mia")
        page = client.get("/")
    assert page.status_code == 200
    assert "/static/panel/panel.css" in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]


def test_three_in_a_row_at_one_place_are_said_and_a_blind_one_is_not_betrayed(rehearse: Make, browser: Browser) -> None:
    rehearse("r", parts=3, held=3, pictures=1)
    said = browser.http.get("/api/live").json()["systematic"]
    assert (said["count"], said["since_number"]) == (3, 1)
    assert said["title"] in said["words"]


def test_blind_parts_are_no_row(rehearse: Make, browser: Browser) -> None:
    rehearse("r", parts=3, held=3, pictures=1, blind=1.0)
    assert browser.http.get("/api/live").json()["systematic"] is None
