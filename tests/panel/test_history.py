"""Does the History tab tell the truth about a part, to those who may know it, and can it be set right?"""

from __future__ import annotations

import csv
import io
import json
import signal
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # other people's modules
    from fastapi.testclient import TestClient

    from station.panel.app import create_app

from station.core.errors import ReviewRefused
from station.core.part import Box, Detection
from station.panel import history_views
from station.panel.history_routes import moment
from station.recipe import Recipe
from station.store import story
from station.store.database import open_reader
from station.store.history import PassedPart
from tests.panel.browsing import CHROMIUM, FLAGS, Stage, until
from tests.panel.rehearsal import Rehearsal, config
from tests.panel.serving import make_people, sign_in

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

HOST = "http://127.0.0.1:7860"
ALWAYS = "2000-01-01T00:00:00Z"
Make = Callable[..., Rehearsal]


class Person:
    """Somebody signed in at a screen of their own."""

    def __init__(self, app: Any, name: str) -> None:
        self.http = TestClient(app, base_url=HOST)
        sign_in(self.http, name, base=HOST)
        self._keys = 0

    def get(self, path: str, **asked: Any) -> Any:
        return self.http.get(path, params=asked)

    def post(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        reply = self.http.post(path, json=body, headers={"origin": HOST})
        return reply.status_code, reply.json()

    def answer(self, answer: str, **more: Any) -> dict[str, Any]:
        """Answers the next question; returns it."""
        question = self.post("/api/claim", skip=[])[1]["review"]
        self._keys += 1
        body = {"key": f"key-{id(self)}-{self._keys}", "seconds": 1.5, "shown": {"boxes": True}, **more}
        status, said = self.post("/api/answer", review_id=question["id"], answer=answer, **body)
        assert status == 200, said
        return question  # type: ignore[no-any-return]


@pytest.fixture
def sign(tmp_path: Path) -> Iterator[Callable[[str], Person]]:
    """Signs people in at one panel."""
    make_people(tmp_path)
    app = create_app(config(tmp_path), pages=False)
    with TestClient(app, base_url=HOST):
        yield lambda name: Person(app, name)


def gone(stage: Rehearsal, part_id: str) -> None:
    """Waits until a part has its final command."""
    asked = "SELECT 1 FROM command WHERE part_id = ? AND disposition <> 'HOLD'"
    with closing(sqlite3.connect(f"{stage.ledger.path.resolve().as_uri()}?mode=ro", uri=True)) as books:
        until(lambda: books.execute(asked, (part_id,)).fetchone() is not None, 10)


def test_engineers_and_ml_staff_read_inspectors_do_not(rehearse: Make, sign: Callable[[str], Person]) -> None:
    rehearse("rp", parts=2, held=1)
    mia, max_, eva = sign("Mia"), sign("Max"), sign("Eva")
    for path in ("/api/history", "/api/history/names", "/api/part/ST04-000001", f"/api/passed?since={ALWAYS}",
                 f"/api/passed.csv?since={ALWAYS}", "/api/crop/1", "/api/part/ST04-000001/heat.png"):  # fmt: skip
        assert mia.get(path).status_code == 403, path
        assert max_.get(path).status_code != 403, path
    body = {"key": "key-000001", "part_id": "ST04-000002", "answer": "other_class", "label": "dent", "note": "x"}
    assert mia.post("/api/correct", **body)[0] == max_.post("/api/correct", **body)[0] == 403
    known = {"part_id": "ST04-000002", "expected": "ok"}
    assert mia.post("/api/known", **known)[0] == max_.post("/api/known", **known)[0] == 403
    assert max_.get("/api/part/ST04-000001").json()["correctable"] is False
    assert eva.get("/api/part/ST04-000001").json()["correctable"] is True
    assert eva.get("/api/part/nothing").status_code == 404
    assert eva.get("/api/history", evaluation="GOOD").status_code == 422
    assert eva.get("/api/history", since="yesterday").json()["code"] == "invalid"
    assert eva.get("/api/history", since="2026-01-01T00:00:00").status_code == 422, "without an offset it is no moment"


def test_search_and_story_tell_what_happened(rehearse: Make, sign: Callable[[str], Person]) -> None:
    stage = rehearse("rpu", parts=3, held=2, undo_s=0.3)
    mia, eva = sign("Mia"), sign("Eva")
    first = mia.answer("false_alarm", note="only a reflex", cause="reflection")
    mia.post("/api/undo", key="undo-000001")
    again = mia.answer("false_alarm", note="still a reflex")
    assert first["id"] == again["id"]
    gone(stage, first["part_id"])
    found = eva.get("/api/history", person="Mia").json()
    assert [p["part_id"] for p in found["parts"]] == [first["part_id"]]
    assert found["next"] is None
    assert found["parts"][0]["answer"]["person"] == "Mia"
    assert [p["number"] for p in eva.get("/api/history", evaluation="OK").json()["parts"]] == [2]
    page = eva.get("/api/history", limit=2).json()
    assert [p["number"] for p in page["parts"]] == [3, 2]
    assert [p["number"] for p in eva.get("/api/history", before=page["next"]).json()["parts"]] == [1]
    told = eva.get(f"/api/part/{first['part_id']}").json()
    kinds = [e["kind"] for e in told["line"] if e["kind"] != "event"]
    assert kinds == ["trigger", "verdict", "asked", "command", "answer", "undone", "answer", "settled", "command"]
    answers = [e for e in told["line"] if e["kind"] == "answer"]
    assert [(a["undone"], a["note"], a["cause"]) for a in answers] == [
        (True, "only a reflex", "reflection"), (False, "still a reflex", None),
    ]  # fmt: skip
    assert answers[0]["shown"] == {"boxes": True}
    released = told["line"][kinds.index("settled") + 1 :]
    assert [(e["disposition"], e["by"]) for e in released if e["kind"] == "command"] == [("RELEASE", "Mia")]
    assert told["scores"][0].keys() == {"label", "score", "pass_below", "fail_above", "relation"}
    assert {s["relation"] for s in told["scores"]} == {"above", "below"}
    assert told["recipe_is_the_runs"] is True
    assert told["model_sha256"] == "ab" * 32
    crop = answers[1]["crops"][0]
    assert eva.get(crop["url"]).headers["content-type"] == "image/png"
    assert len(eva.get(crop["url"]).content) == crop["bytes"]
    assert eva.get("/api/crop/999").status_code == eva.get(f"/api/crop/{10**30}").status_code == 404
    assert eva.get("/api/history/names").json() == {"people": ["Mia"], "lots": []}


OPINION = {"evaluation", "reason", "label", "score", "scores", "candidates", "heat", "audit", "p_select", "stage_ms"}


@pytest.mark.parametrize(("plan", "given"), [("p", {"audit": 1.0}), ("r", {"blind": 1.0})], ids=["audit", "stopped"])
def test_a_part_under_a_first_look_tells_nothing_until_it_is_settled(
    rehearse: Make, sign: Callable[[str], Person], plan: str, given: dict[str, float]
) -> None:
    stage = rehearse(plan, parts=1, held=1, undo_s=0.6, **given)
    mia, eva = sign("Mia"), sign("Eva")
    hidden = eva.get("/api/part/ST04-000001").json()
    assert hidden["hidden"] is True
    assert not OPINION & hidden.keys()
    assert [e["kind"] for e in hidden["line"]] == ["trigger"]
    (line,) = eva.get("/api/history").json()["parts"]
    assert (line["evaluation"], line["score"], line["label"], line["disposition"]) == (None, None, None, "HOLD")
    part = mia.answer("false_alarm")["part_id"]
    assert eva.get(f"/api/part/{part}").json() == hidden, "the same while the answer can be taken back"
    gone(stage, part)
    assert eva.get(f"/api/part/{part}").json().keys() >= OPINION


def test_a_correction_stands_beside_the_answer_and_moves_nothing(rehearse: Make, sign: Callable[[str], Person]) -> None:
    stage = rehearse("r" + "p" * 5000, pause_s=0.05, held=1, undo_s=0.1)
    mia, eva = sign("Mia"), sign("Eva")
    body = {"key": "key-correct-1", "part_id": "ST04-000001", "answer": "other_class", "label": "dent"}
    status, said = eva.post("/api/correct", **body, note="lab")
    assert (status, said["code"]) == (422, "invalid"), said
    part = mia.answer("false_alarm")["part_id"]
    gone(stage, part)
    assert eva.post("/api/correct", **body)[0] == 422, "a note is needed"
    assert eva.post("/api/correct", **body, note=" ")[1]["code"] == "invalid"
    assert eva.post("/api/correct", **body, note="lab", person="Mia")[0] == 422, "the session says who"
    status, stored = eva.post("/api/correct", **body, note="=lab report 7")
    assert status == 200, stored
    assert eva.post("/api/correct", **body, note="=lab report 7") == (200, stored), "the same key changes nothing"
    told = eva.get(f"/api/part/{part}").json()
    correction = next(e for e in told["line"] if e["kind"] == "correction")
    assert (correction["person"], correction["label"], correction["note"]) == ("Eva", "dent", "=lab report 7")
    assert told["disposition"] == "RELEASE"
    assert eva.post("/api/known", part_id=part, expected="defect") == (200, {"known": "defect"})
    assert eva.get(f"/api/part/{part}").json()["known"]["by"] == "Eva"
    assert eva.post("/api/known/withdraw", part_id=part)[0] == 200
    assert eva.post("/api/known/withdraw", part_id=part)[0] == 404
    assert eva.get(f"/api/part/{part}").json()["known"] is None


def test_the_csv_lists_what_passed_and_runs_no_formula(rehearse: Make, sign: Callable[[str], Person]) -> None:
    stage = rehearse("prp", parts=3, held=1, undo_s=0.1)
    mia, eva = sign("Mia"), sign("Eva")
    part = mia.answer("false_alarm")["part_id"]
    gone(stage, part)
    count = eva.get("/api/passed", since=ALWAYS).json()
    assert (count["parts"], count["by_person"]) == (3, 1)
    reply = eva.get("/api/passed.csv", since=ALWAYS, until=count["until"])
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in reply.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(reply.text)))
    assert tuple(rows[0]) == history_views.COLUMNS
    assert sorted((r["number"], r["released_by"], r["evaluation"]) for r in rows) == [
        ("1", "machine", "OK"), ("2", "Mia", "NOT_OK"), ("3", "machine", "OK"),
    ]  # fmt: skip
    assert eva.get("/api/passed.csv", since="2100-01-01T00:00:00Z").text.count("\r\n") == 1, "the header alone"
    assert eva.get("/api/passed.csv").status_code == 422
    assert eva.get("/api/passed", since="").json()["code"] == "invalid"


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_looks_like_a_formula_becomes_text(begin: str) -> None:
    evil = f'{begin}HYPERLINK("http://x","y"),1'
    part = PassedPart(1, "p", evil, evil, "t", "r", evil, "OK", 0.1, evil, evil, "f" * 64, evil, "e" * 64)
    header, line = history_views.csv_lines([part])
    (cells,) = csv.reader(io.StringIO(line, newline=""))
    assert len(cells) == len(next(csv.reader([header])))
    assert cells[2] == cells[3] == cells[6] == "'" + evil
    assert not any(c.startswith(history_views.FORMULA) for c in cells)


def test_a_moment_is_read_whatever_its_offset() -> None:
    assert moment("2026-11-21T06:00:00+01:00") == moment("2026-11-21T05:00:00Z") == "2026-11-21T05:00:00.000000+00:00"
    assert moment("2026-11-21T06:00:00 01:00") == "2026-11-21T05:00:00.000000+00:00", "a plus lost on its way"
    assert moment(" ") is None
    with pytest.raises(ReviewRefused, match="write it like"):
        moment("0001-01-01T00:00:00+10:00")


def test_scores_stand_against_the_limits_of_their_own_run(rehearse: Make) -> None:
    stage = rehearse("r", parts=1, held=1)
    reader = open_reader(stage.ledger.path)
    told = story.story(reader, "ST04-000001")
    reader.dispose()
    assert told is not None
    limits = {"scratch": (0.2, 0.95)}
    old = json.loads(told.run.recipe_json)
    old["classes"] = [
        {"name": n, "title": n, "pass_below": a, "fail_above": b} for n, (a, b) in limits.items()
    ]  # a recipe of an older release: what it lacks now must not keep the story from opening
    with pytest.raises(ValueError, match="review"):
        Recipe.model_validate({**old, "review": {"unknown": 1}})
    old["review"] = {"unknown": 1}
    run, inspected = told.run, told.inspection
    candidates = (Detection("scratch", 0.97, Box(1, 1, 9, 9)), Detection("stain", 0.5, Box(20, 20, 40, 40)))
    object.__setattr__(run, "recipe_json", json.dumps(old))
    object.__setattr__(inspected, "scores", {"scratch": 0.97, "stain": 0.5})
    object.__setattr__(inspected, "candidates", candidates)
    shown = history_views.story(told)
    assert [(s["label"], s["relation"]) for s in shown["scores"]] == [("scratch", "above"), ("stain", "unknown")]
    assert [c["relation"] for c in shown["candidates"]] == ["above", "unknown"]


# --- in a true browser

browser_only = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("history"))
    made._start("loop", "tests.panel.rehearsal", str(made.folder), "--plan", "rpup" + "p" * 80,
                "--parts", "84", "--undo", "0.2")  # fmt: skip
    made.start_panel()
    until(made.has_run)
    made.wait_for_panel()
    until(lambda: made.rows("SELECT count(*) FROM inspection")[0][0] == 84)
    yield made
    for name in list(made.running):
        made.stop(name, signal.SIGKILL)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    driving = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with driving.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield made
        made.close()


@browser_only
def test_an_engineer_finds_a_part_reads_its_story_corrects_it_and_takes_the_list_away(
    running: Stage, browser: Any, tmp_path: Path
) -> None:
    base = f"http://127.0.0.1:{running.port}"
    faults: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    sign_in(context.request, "Eva", base=base)
    claimed = context.request.post(f"{base}/api/claim", data={"skip": []}, headers={"origin": base}).json()["review"]
    body = {"key": "key-browser-1", "review_id": claimed["id"], "answer": "false_alarm", "seconds": 2, "shown": {}}
    assert context.request.post(f"{base}/api/answer", data=body, headers={"origin": base}).status == 200
    gone_sql = f"SELECT 1 FROM command WHERE part_id = '{claimed['part_id']}' AND disposition = 'RELEASE'"
    until(lambda: bool(running.rows(gone_sql)))
    page = context.new_page()
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("request", lambda r: r.url.startswith((base, "data:", "blob:")) or faults.append(f"elsewhere: {r.url}"))
    page.goto(f"{base}/engineer")
    page.locator("#station-tabs [role=tab]").nth(2).click()
    page.wait_for_selector("#hx-body tr >> nth=49")
    page.locator("#hx-more").scroll_into_view_if_needed()
    page.wait_for_function("document.querySelectorAll('#hx-body tr').length === 84")

    page.fill("#hx-asked [name=part]", str(claimed["number"]))
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('#hx-body tr').length === 1")
    assert page.locator("#hx-body .hx-chip .st-icon").count() == 2, "a sign beside each word"
    page.click("#hx-body tr")
    page.wait_for_selector(".hx-line li[data-kind=answer]")
    assert "Eva" in page.text_content(".hx-line li[data-kind=answer] .hx-head")
    page.wait_for_function("document.querySelector('.hx-frame img').naturalWidth > 100")
    assert page.locator(".hx-scores tbody tr").count() == 4
    assert page.locator(".hx-boxes i[data-relation=above]").count() >= 1

    page.click("[data-do=correct]")
    page.select_option(".hx-form [name=what]", "class:dent")
    page.click("[data-do=draw]")
    frame = page.locator(".hx-frame").bounding_box()
    page.mouse.move(frame["x"] + 40, frame["y"] + 40)
    page.mouse.down()
    page.mouse.move(frame["x"] + 110, frame["y"] + 90, steps=4)
    page.mouse.up()
    page.click(".hx-form [type=submit]")
    assert page.locator(".hx-form").count() == 1, "without a note it is not sent"
    page.fill(".hx-form [name=note]", "measured in the lab")
    page.click(".hx-form [type=submit]")
    page.wait_for_selector(".hx-line li[data-kind=correction]")
    assert "measured in the lab" in page.text_content(".hx-line li[data-kind=correction]")
    kept = running.rows(
        "SELECT c.person, c.answer, c.label, c.note, c.box, r.reason FROM confirmation c "
        "JOIN review r ON r.id = c.review_id ORDER BY c.id DESC LIMIT 1"
    )[0]
    assert (kept[0], kept[1], kept[2], kept[3], kept[5]) == (
        "Eva", "missed_defect", "dent", "measured in the lab", "correction",
    )  # fmt: skip
    x0, y0, x1, y1 = json.loads(kept[4])
    assert 1.2 < (x1 - x0) / (y1 - y0) < 1.6, "the box lies where it was drawn"

    page.keyboard.press("Escape")
    page.wait_for_selector("#hx-list:not([hidden])")
    page.click("#hx-passed-open")
    page.fill("#hx-passed [name=since]", "2000-01-01T00:00:00")
    page.click("#hx-passed [type=submit]")
    page.wait_for_selector("#hx-csv:not([hidden])")
    expected = running.rows("SELECT part_id FROM command WHERE disposition = 'RELEASE' ORDER BY part_id")
    assert page.text_content("#hx-count").startswith(f"{len(expected)} ")
    with page.expect_download() as download:
        page.click("#hx-csv")
    file = tmp_path / "passed.csv"
    download.value.save_as(file)
    with file.open(newline="") as opened:
        listed = sorted(r["part_id"] for r in csv.DictReader(opened))
    assert listed == [p for (p,) in expected]

    for width, height in ((1280, 800), (800, 1280), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        time.sleep(0.2)
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), (width, height)
    context.close()
    assert faults == []
