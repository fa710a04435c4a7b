"""Does an inspector get along with it, whatever breaks? A true browser, panel and loop in processes of their own."""

from __future__ import annotations

import json
import signal
import statistics
from typing import Any

from tests.panel.browsing import (
    CHROMIUM as CHROMIUM,
)
from tests.panel.browsing import (
    PAINTED_WITHIN_MS,
    SIGHT_MS,
    Screen,
    Stage,
    until,
)
from tests.panel.browsing import (
    chromium as chromium,
)
from tests.panel.browsing import (
    pytestmark as pytestmark,
)
from tests.panel.browsing import (
    stage as stage,
)

WATCH_PAINT = """() => {
  window.painted = [];
  document.addEventListener("keydown", (event) => {
    requestAnimationFrame(() => setTimeout(() => window.painted.push(performance.now() - event.timeStamp)));
  }, true);
}"""


def test_ten_parts_by_keyboard_are_ten_answers_in_the_ledger(stage: Stage, chromium: Any) -> None:
    screen = Screen(chromium, stage, "Mia")
    page = screen.page
    first = screen.number
    page.evaluate(WATCH_PAINT)
    expected: list[tuple[int, str, str | None]] = []

    def proposed() -> str:
        return str(page.get_attribute("#st-classes [data-proposed=yes]", "data-class"))

    def key_of(name: str) -> str:
        return str(page.text_content(f"#st-classes [data-class={name}] kbd"))

    assert first == 1
    expected.append((screen.press("Enter"), "agree", "?"))
    page.wait_for_timeout(SIGHT_MS)
    page.keyboard.down("f")
    expected.append((2, "false_alarm", None))
    page.wait_for_function("document.querySelector('#st-partno')?.textContent === 'Part #3'")
    page.wait_for_timeout(SIGHT_MS)
    page.keyboard.down("f")  # held down: a repeat, not an answer to the next part
    page.keyboard.up("f")
    assert screen.number == 3
    mine = proposed()
    other = next(c for c in ("stain", "dent") if c != mine)
    expected.append((screen.press(key_of(other)), "other_class", other))
    assert page.is_visible("#st-nopic"), "the fourth part has no picture"
    assert page.is_disabled("[data-answer=agree]")
    assert page.is_disabled("[data-answer=draw]")
    page.keyboard.press("Enter")  # nothing is proposed: not taken
    expected.append((screen.press("f"), "false_alarm", None))
    expected.append((screen.press(key_of(proposed())), "agree", "?"))
    expected.append((screen.press("u"), "unsure", None))
    expected.append((screen.press("r"), "rework", None))

    eighth = screen.press("f")
    screen.stored(8)
    page.keyboard.press("z")
    page.wait_for_function("n => document.querySelector('#st-partno')?.textContent === `Part #${n}`", arg=eighth)
    page.wait_for_timeout(800)  # keys are not heard right after a part came back
    expected.append((screen.press("Enter"), "agree", "?"))

    page.wait_for_timeout(SIGHT_MS)
    page.keyboard.press("d")
    box = page.locator("#st-boxes").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 40, y - 30)
    page.mouse.down()
    page.mouse.move(x + 20, y + 10, steps=4)
    page.mouse.move(x + 60, y + 30)
    page.mouse.up()
    page.keyboard.press("Enter")  # not while a box is drawn
    expected.append((screen.press("1"), "missed_defect", "scratch"))
    expected.append((screen.press("Enter"), "agree", "?"))
    screen.stored(10)
    painted = page.evaluate("window.painted")
    screen.close()

    rows = stage.rows(
        "SELECT i.number, c.answer, c.label, c.seconds, c.shown, c.person FROM confirmation c "
        "JOIN inspection i ON i.part_id = c.part_id WHERE c.undone_at IS NULL ORDER BY c.id"
    )
    assert [(r[0], r[1]) for r in rows] == [(n, a) for n, a, _ in expected]
    assert all(r[2] == label for r, (_, _, label) in zip(rows, expected, strict=True) if label != "?")
    assert all(r[2] for r, (_, _, label) in zip(rows, expected, strict=True) if label == "?")
    assert all(0 < r[3] < 60 and r[5] == "Mia" for r in rows)
    assert json.loads(rows[0][4])["boxes"] is True
    assert len(stage.rows("SELECT 1 FROM confirmation WHERE undone_by = 'Mia'")) == 1
    labelled = stage.rows(
        "SELECT DISTINCT i.number, length(s.crop) > 100 FROM sample s JOIN confirmation c ON c.id = s.confirmation_id "
        "JOIN inspection i ON i.part_id = s.part_id WHERE c.undone_at IS NULL ORDER BY i.number"
    )
    with_crop = [n for n, a, _ in expected if a not in ("unsure", "rework") and n != 4]
    assert labelled == [(n, 1) for n in sorted(with_crop)]
    drawn = json.loads(stage.rows("SELECT s.box FROM sample s JOIN confirmation c ON c.id = s.confirmation_id "
                                  "WHERE c.answer = 'missed_defect'")[0][0])  # fmt: skip
    assert drawn[2] - drawn[0] > drawn[3] - drawn[1] > 10
    median = statistics.median(painted)
    print(f"key to next part painted: median {median:.0f} ms, worst {max(painted):.0f} ms of {len(painted)}")
    assert median < PAINTED_WITHIN_MS


def test_an_undo_whose_reply_was_lost_takes_no_second_answer_back(stage: Stage, chromium: Any) -> None:
    screen = Screen(chromium, stage, "Kim", broken_link=True)
    page = screen.page
    first, second = screen.press("f"), screen.press("f")
    screen.stored(2)

    def lose(route: Any) -> None:
        route.fetch()  # the panel did it
        route.abort()

    page.route("**/api/undo", lose)
    page.keyboard.press("z")
    page.wait_for_selector("#st-notice[data-kind=failed]")
    page.unroute("**/api/undo")
    page.keyboard.press("z")
    page.wait_for_selector("#st-notice[data-kind=undone]")
    assert screen.number == second
    undone = "SELECT i.number FROM confirmation c JOIN inspection i ON i.part_id = c.part_id WHERE c.undone_by = 'Kim'"
    assert stage.rows(undone) == [(second,)], f"#{first} was not meant"
    page.wait_for_timeout(800)
    screen.press("w")
    screen.stored(2)
    screen.close()


def test_the_loop_goes_on_when_the_panel_is_killed_and_a_new_panel_shows_the_queue(stage: Stage, chromium: Any) -> None:
    screen = Screen(chromium, stage, "Tom", broken_link=True)
    page = screen.page
    open_now = (
        "SELECT count(*) FROM review r WHERE r.settled_at IS NULL AND NOT EXISTS "
        "(SELECT 1 FROM confirmation c WHERE c.review_id = r.id AND c.undone_at IS NULL)"
    )

    def shows_what_waits() -> bool:
        return bool(page.text_content("#st-waiting") == f"{stage.rows(open_now)[0][0]} waiting")

    until(shows_what_waits)
    shown = screen.number
    stage.stop("panel", signal.SIGKILL)
    before = stage.rows("SELECT count(*) FROM inspection")[0][0]
    page.wait_for_function("document.querySelector('#st-state').dataset.state === 'LOST'", timeout=15_000)
    assert page.is_visible("#st-banner")
    assert page.is_disabled("[data-answer=false_alarm]")
    page.keyboard.press("f")
    assert screen.number == shown
    until(lambda: stage.rows("SELECT count(*) FROM inspection")[0][0] > before)
    stage.start_panel()
    stage.wait_for_panel()
    page.wait_for_function("document.querySelector('#st-state').dataset.state === 'RUNNING'", timeout=20_000)
    until(shows_what_waits, seconds=60)
    assert screen.number == shown
    screen.press("f")
    screen.stored(1)
    screen.close()


def test_the_loop_away_is_unmistakable_and_takes_no_answer(stage: Stage, chromium: Any) -> None:
    screen = Screen(chromium, stage, "Ann", broken_link=True)
    page, number = screen.page, screen.number
    answers = stage.rows("SELECT count(*) FROM confirmation")
    stage.stop("loop", signal.SIGKILL)
    page.wait_for_selector("#st-banner:not([hidden])", timeout=15_000)
    assert "The loop is not running" in page.text_content("#st-banner-words")
    assert page.get_attribute("#st-state", "data-state") == "AWAY"
    assert page.locator("#st-answers button:enabled").count() == 0
    page.keyboard.press("Enter")
    page.keyboard.press("f")
    assert screen.number == number
    assert stage.rows("SELECT count(*) FROM confirmation") == answers
    stage.start_loop("p")
    page.wait_for_selector("#st-banner", state="hidden", timeout=20_000)
    screen.press("f")
    screen.stored(1)
    screen.close()


def test_an_answer_cut_off_on_its_way_brings_the_part_back(stage: Stage, chromium: Any) -> None:
    screen = Screen(chromium, stage, "Eve", broken_link=True)
    page, number = screen.page, screen.number
    page.route("**/api/answer", lambda route: route.abort())
    page.wait_for_timeout(SIGHT_MS)
    page.keyboard.press("f")
    page.wait_for_selector("#st-notice[data-kind=failed]")
    assert screen.number == number, "the part is back"
    assert f"#{number}" in page.text_content("#st-notice")
    page.click("#station-tabs [role=tab] >> text=Live")
    page.wait_for_selector("#st-recent li")
    page.keyboard.press("f")  # not while another screen is shown
    page.click("#station-tabs [role=tab] >> text=Review")
    assert screen.number == number
    page.unroute("**/api/answer")
    page.wait_for_timeout(800)
    page.keyboard.press("f")
    screen.stored(1)
    screen.close()
    assert stage.rows("SELECT answer FROM confirmation WHERE person = 'Eve'") == [("false_alarm",)]
