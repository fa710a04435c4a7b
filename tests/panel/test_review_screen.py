"""Can every answer be given on the review screen, by keyboard and by touch, and is it what the ledger holds then?"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.panel.browsing import (
    KIOSK,
    PHONE,
    SIGHT_MS,
    TABLET,
    WALL,
    Line,
    Screen,
    until,
)
from tests.panel.browsing import (
    chromium as chromium,
)
from tests.panel.browsing import (
    line as line,
)
from tests.panel.browsing import (
    pytestmark as pytestmark,
)
from tests.panel.feeding import LANE, SIDE
from tests.panel.serving import sign_in


def test_every_answer_by_touch_is_in_the_ledger(line: Line, chromium: Any) -> None:
    screen = Screen(chromium, line, "Mia", size=TABLET, touch=True)
    page = screen.page
    for selector, expected in (
        ("[data-answer=agree]", ("agree", "scratch", None)),
        ("[data-answer=false_alarm]", ("false_alarm", None, None)),
        ("[data-cause=dust]", ("false_alarm", None, "dust")),
        ("#st-classes [data-class=stain]", ("other_class", "stain", None)),
        ("[data-answer=rework]", ("rework", None, None)),
    ):
        (number,) = line.feed("u")
        screen.shows(number)
        page.tap(selector)
        screen.empty()
        said = line.said(number)
        assert (said["answer"], said["label"], said["cause"]) == expected
    (number,) = line.feed("u")
    screen.shows(number)
    page.tap("[data-answer=draw]")
    screen.fingers([screen.at(100, 300)], [screen.at(130, 320)], [screen.at(180, 350)])
    page.wait_for_selector("#st-stage[data-draw=class]")
    page.tap("#st-classes [data-class=missing_hole]")
    screen.empty()
    said = line.said(number)
    assert (said["answer"], said["label"]) == ("missed_defect", "missing_hole")
    assert json.loads(said["box"]) == pytest.approx([100, 300, 180, 350], abs=1.5)
    (number,) = line.feed("u")
    screen.shows(number)
    page.tap("[data-answer=false_alarm]")
    screen.stored(7)
    page.tap("[data-answer=undo]")
    screen.shows(number)
    page.wait_for_timeout(800)
    page.tap("[data-answer=unsure]")
    screen.empty()
    assert line.said(number)["answer"] == "unsure"
    screen.close()
    other = Screen(chromium, line, "Tom")
    other.shows(number)
    assert "Second opinion" in other.page.text_content("#st-held")
    other.press("f")
    other.stored(1)
    other.close()
    assert line.said(number)["person"] == "Tom"


def test_a_note_goes_with_the_answer_and_typing_it_answers_nothing(line: Line, chromium: Any) -> None:
    screen = Screen(chromium, line, "Mia")
    page = screen.page
    first, second = line.feed("uu")
    screen.shows(first)
    page.keyboard.press("n")
    page.wait_for_selector("#st-note:not([hidden])")
    page.keyboard.type("ffz1u edge? +0")
    page.keyboard.press("Escape")
    page.wait_for_selector("#st-note", state="hidden")
    assert screen.number == first
    assert "ffz1u edge? +0" in page.text_content("#st-noted")
    screen.press("q")
    screen.shows(second)
    assert page.is_hidden("#st-noted"), "a note belongs to its part"
    page.keyboard.press("n")
    page.keyboard.type("no")
    page.keyboard.press("Enter")  # done, not "Confirm defect"
    page.keyboard.press("n")
    page.fill("#st-note input", "")
    page.keyboard.press("Escape")
    assert screen.number == second
    screen.press("t")
    screen.stored(2)
    screen.close()
    assert [line.said(first)[k] for k in ("answer", "cause", "note")] == ["false_alarm", "reflection", "ffz1u edge? +0"]
    assert [line.said(second)[k] for k in ("answer", "cause", "note")] == ["false_alarm", "model_error", None]


def test_several_defects_are_answered_one_by_one_by_keyboard(line: Line, chromium: Any) -> None:
    screen = Screen(chromium, line, "Mia")
    page = screen.page
    (number,) = line.feed("r")
    screen.shows(number)
    page.keyboard.press("Tab")
    assert page.text_content("#st-verdict h2") == "1/3Scratch"
    page.keyboard.press("Shift+Tab")
    assert page.text_content("#st-verdict h2") == "3/3Dent"
    page.keyboard.press("Tab")
    page.wait_for_timeout(SIGHT_MS)
    page.keyboard.press("Enter")  # the scratch is one
    assert page.text_content("#st-verdict h2") == "2/3Stain"
    assert page.locator("#st-boxes [data-said=agree]").count() == 1
    page.wait_for_timeout(SIGHT_MS)
    page.keyboard.press("4")  # the stain is a missing hole
    assert page.text_content("#st-verdict h2") == "3/3Dent"
    page.keyboard.press("z")  # of this part, not of the one before
    assert page.text_content("#st-verdict h2") == "2/3Stain"
    page.wait_for_timeout(SIGHT_MS)
    page.keyboard.press("2")  # the stain is a dent
    page.wait_for_timeout(SIGHT_MS)
    page.keyboard.press("d")
    screen.drag(screen.at(300, 30), screen.at(340, 60))
    page.keyboard.press("3")
    assert page.locator("#st-boxes [data-said=missed_defect]").count() == 1
    assert screen.number == number, "the dent is not answered yet"
    screen.press("e")
    screen.stored(1)
    screen.close()
    said = line.said(number)
    *proposed, drawn = said["judgements"]
    assert [(j["defect"], j["answer"], j["label"], j["cause"]) for j in proposed] == [
        (0, "agree", "scratch", None),
        (1, "other_class", "dent", None),
        (2, "false_alarm", None, "mark"),
    ]
    assert (drawn["answer"], drawn["label"]) == ("missed_defect", "stain")
    assert drawn["xyxy"] == pytest.approx([300, 30, 340, 60], abs=1.5)
    assert line.labels(number) == ["dent", "ok", "scratch", "stain"]


def test_several_defects_by_touch_and_all_at_once(line: Line, chromium: Any) -> None:
    screen = Screen(chromium, line, "Mia", touch=True)
    page = screen.page
    first, second, third = line.feed("rrr")
    screen.shows(first)
    page.touchscreen.tap(*screen.at(85, 90))  # the stain's box
    assert page.text_content("#st-verdict h2") == "2/3Stain"
    page.tap("[data-answer=false_alarm]")
    assert page.text_content("#st-verdict h2") == "3/3Dent"
    page.wait_for_timeout(SIGHT_MS)
    page.tap("[data-answer=agree]")
    page.wait_for_timeout(SIGHT_MS)
    page.tap("[data-cause=reflection]")
    screen.shows(second)
    page.keyboard.press("Tab")
    page.wait_for_timeout(SIGHT_MS)
    page.keyboard.press("f")
    page.tap("#st-draw button")  # all at once again
    assert page.is_hidden("#st-draw")
    assert page.locator("#st-boxes [data-said]").count() == 0
    screen.press("Enter")
    screen.shows(third)
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    screen.press("w")
    screen.stored(3)
    screen.close()
    told = [(j["defect"], j["answer"], j.get("cause")) for j in line.said(first)["judgements"]]
    assert told == [(0, "false_alarm", "reflection"), (1, "false_alarm", None), (2, "agree", None)]
    assert (line.said(second)["answer"], line.said(second)["judgements"]) == ("agree", [])
    assert line.labels(second) == ["dent", "scratch", "stain"]
    assert (line.said(third)["answer"], line.said(third)["cause"]) == ("false_alarm", "dust")
    assert line.labels(third) == ["ok", "ok", "ok"]


def test_the_picture_zooms_under_wheel_keys_and_two_fingers(line: Line, chromium: Any) -> None:
    screen = Screen(chromium, line, "Mia", touch=True)
    page = screen.page
    (number,) = line.feed("u")
    screen.shows(number)
    whole = screen.width_of_box()
    corner = (
        "[...document.querySelectorAll('#st-boxes rect')].map(r => [+r.getAttribute('x'), +r.getAttribute('y')])[0]"
    )
    x, y = screen.at(227, 208)
    page.mouse.move(x, y)
    page.mouse.wheel(0, -500)
    assert screen.width_of_box() > 1.8 * whole
    room = page.locator("#st-boxes").bounding_box()
    assert page.evaluate(corner) == pytest.approx([x - room["x"] - 3, y - room["y"] - 3], abs=2), (
        "it stays under the pointer"
    )
    before = page.evaluate(corner)
    screen.drag((x, y), (x - 60, y - 40))
    page.wait_for_timeout(60)
    assert page.evaluate(corner) == pytest.approx([before[0] - 60, before[1] - 40], abs=2)
    page.keyboard.press("0")
    assert screen.width_of_box() == pytest.approx(whole, abs=0.5)
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert screen.width_of_box() > 2 * whole
    page.keyboard.press("-")
    page.tap("[data-tool=fit]")
    assert screen.width_of_box() == pytest.approx(whole, abs=0.5)
    x, y = screen.at(250, 230)
    screen.fingers([(x - 30, y), (x + 30, y)], [(x - 50, y), (x + 50, y)], [(x - 90, y), (x + 90, y)])
    assert screen.width_of_box() == pytest.approx(3 * whole, rel=0.15)
    for _ in range(2):
        page.touchscreen.tap(x, y)
    assert screen.width_of_box() == pytest.approx(whole, abs=0.5)
    assert page.is_hidden("#st-draw"), "a double tap selects nothing"
    screen.press("f")
    screen.stored(1)
    screen.close()
    assert line.said(number)["shown"]["scale"] == pytest.approx(screen_scale(room), abs=0.02)


def screen_scale(room: dict[str, float]) -> float:
    return min(room["width"], room["height"]) / SIDE


def test_heat_boxes_and_the_good_part_can_be_seen(line: Line, chromium: Any) -> None:
    screen = Screen(chromium, line, "Mia")
    page = screen.page
    said_aligned: list[str | None] = []
    page.on("response", lambda r: "/aligned/" in r.url and said_aligned.append(r.headers.get("x-aligned")))
    (number,) = line.feed("u")
    screen.shows(number)
    page.wait_for_selector("[data-tool=heat]:enabled")
    room = page.locator("#st-boxes").bounding_box()
    x, y = screen.at(252, 228)
    pixel = """([x, y]) => {
      const copy = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
      copy.drawImage(document.querySelector('#st-canvas'), -x, -y);
      return [...copy.getImageData(0, 0, 1, 1).data].slice(0, 3);
    }"""

    def warmth() -> int:
        page.wait_for_timeout(60)
        r, _, b = page.evaluate(pixel, [round(x - room["x"]), round(y - room["y"])])
        return int(r - b)

    cold = warmth()
    page.keyboard.press("h")
    assert page.get_attribute("[data-tool=heat]", "aria-pressed") == "true"
    assert warmth() > cold + 40
    page.click("[data-tool=heat]")
    assert warmth() == cold
    page.keyboard.press("h")
    assert page.locator("#st-boxes rect").count() > 0
    page.keyboard.press("b")
    assert page.locator("#st-boxes rect").count() == 0
    page.keyboard.press("b")
    until(lambda: bool(said_aligned), 5.0)
    caption = "Good part" if said_aligned[0] == "yes" else "Good part, not aligned"
    page.wait_for_function("t => document.querySelector('#st-crop-caption').textContent === t", arg=caption)
    screen.press("Enter")
    screen.stored(1)
    screen.close()
    shown = line.said(number)["shown"]
    assert (shown["heat"], shown["boxes"]) == (True, True)
    assert shown["good"] == ("aligned" if said_aligned[0] == "yes" else "unaligned")


def test_help_names_every_key_and_answers_nothing(line: Line, chromium: Any) -> None:
    screen = Screen(chromium, line, "Mia")
    page = screen.page
    (number,) = line.feed("u")
    screen.shows(number)
    page.keyboard.press("?")
    named = set(page.locator("#st-help li kbd").all_text_contents())
    assert named >= {"Enter", *"FQWETDURZN1234BHM0?"}
    page.keyboard.press("f")
    page.keyboard.press("z")
    assert page.is_visible("#st-help")
    assert screen.number == number
    page.keyboard.press("Escape")
    assert page.is_hidden("#st-help")
    screen.press("f")
    screen.stored(1)
    screen.close()


def test_after_a_first_look_the_machines_opinion_is_shown(line: Line, chromium: Any) -> None:
    screen = Screen(chromium, line, "Mia")
    page = screen.page
    good, scratched = line.feed("pp")
    screen.shows(good)
    assert "First look" in page.text_content("#st-held")
    assert page.is_disabled("[data-answer=agree]")
    assert page.locator("#st-boxes rect").count() == 0
    page.keyboard.press("Enter")
    assert screen.number == good, "there is nothing to agree with"
    screen.press("f")
    screen.shows(scratched)
    screen.press("1")
    screen.stored(2)
    page.wait_for_selector("#st-look:not([hidden])", timeout=8000)
    assert page.get_attribute("#st-look", "data-kind") == "same"
    assert f"#{good}: you said No defect – the machine said good" in page.text_content("#st-look")
    (plain,) = line.feed("u")
    screen.shows(plain)
    screen.press("f")  # it blocks no key
    screen.stored(3)
    page.wait_for_selector("#st-look[data-kind=differs]:not([hidden])", timeout=8000)
    assert f"#{scratched}: you said Scratch" in page.text_content("#st-look")
    screen.close()
    assert line.said(scratched)["shown"].keys() == {"blind", "layout", "picture", "scale"}


COUNT_TONES = """() => { window.tones = 0; window.AudioContext = class extends AudioContext {
  createOscillator() { window.tones += 1; return super.createOscillator(); } }; }"""


def test_a_part_waiting_too_long_calls_for_help_unless_muted(line: Line, chromium: Any) -> None:
    screen = Screen(chromium, line, "Mia", boot={"escalate_s": 2.0})
    page = screen.page
    page.evaluate(COUNT_TONES)
    page.mouse.click(640, 760)  # a browser sounds only after a touch
    page.wait_for_timeout(700)
    (number,) = line.feed("u")
    screen.shows(number)
    page.wait_for_function("window.tones === 2")  # the new stop
    page.wait_for_selector("#st-age[data-level=soon]")
    page.wait_for_selector("#st-age[data-level=late]")
    assert "waiting too long: call for help" in page.text_content("#st-age")
    page.wait_for_function("window.tones === 4")
    page.keyboard.press("m")
    assert page.get_attribute("[data-tool=mute]", "aria-pressed") == "true"
    assert page.evaluate("localStorage['station.muted']") == "1"
    screen.press("f")
    (number,) = line.feed("u")
    screen.shows(number)
    page.wait_for_selector("#st-age[data-level=late]")
    assert page.evaluate("window.tones") == 4
    screen.press("f")
    screen.stored(2)
    screen.close()


def test_a_stopped_line_and_a_defect_that_keeps_coming_are_unmistakable(line: Line, chromium: Any) -> None:
    screen = Screen(chromium, line, "Mia")
    page = screen.page
    line.feed("u" * LANE)
    page.wait_for_selector("html[data-line=waiting]", state="attached")
    assert "Line stopped" in page.text_content("#st-state")
    amber = "getComputedStyle(document.querySelector('#st-top')).backgroundColor === 'rgb(255, 176, 32)'"
    page.wait_for_function(amber)
    assert page.evaluate("getComputedStyle(document.body, '::after').borderTopWidth") == "8px"
    page.wait_for_selector("#st-systematic:not([hidden])")
    assert "Scratch at the same place on" in page.text_content("#st-systematic")
    page.click("#st-systematic button")
    assert page.is_hidden("#st-systematic")
    for more in (0, LANE):  # longer than the panel looks back
        if more:
            line.feed("u" * more)
        for n in range(LANE):
            screen.press("f")
            screen.stored(more + n + 1)
        page.wait_for_selector("html[data-line='']", state="attached")
        assert page.is_hidden("#st-systematic"), "put away"
    line.feed("d")  # at another place: the row ends
    screen.press("f")
    first, *_ = line.feed("uuu")
    page.wait_for_selector("#st-systematic:not([hidden])")
    assert f"on 3 parts in a row, since #{first}:" in page.text_content("#st-systematic"), "another one"
    for _ in range(3):
        screen.press("f")
    screen.stored(2 * LANE + 4)
    screen.close()


def test_an_answer_under_way_when_the_session_ends_comes_back_visibly(line: Line, chromium: Any) -> None:
    screen = Screen(chromium, line, "Mia", broken_link=True)
    page = screen.page
    first, second = line.feed("uu")
    screen.shows(first)
    # The session ends just before the answer arrives; were the cookie taken away, anything else might notice first.
    over = {"code": "signed_out", "words": "nobody is signed in"}
    page.route("**/api/answer", lambda asked: asked.fulfill(status=401, json=over), times=1)
    screen.press("f")
    screen.empty()
    assert page.locator("#st-answers button:enabled").count() == 0
    page.keyboard.press("f")
    sign_in(screen.context.request, "Mia", base=screen.base)
    page.evaluate(
        "import('/static/panel/link.js').then(async (link) => { link.takeSession(await link.ask('/api/session')); "
        "document.querySelector('#st-signin').close(); })"
    )
    screen.shows(first)
    assert f"#{first} is back" in page.text_content("#st-notice")
    page.wait_for_timeout(800)
    screen.press("q")
    screen.shows(second)
    screen.press("f")
    screen.stored(2)
    screen.close()
    assert line.said(first)["cause"] == "reflection"
    assert (
        len(line.rows(f"SELECT 1 FROM confirmation c JOIN inspection i USING (part_id) WHERE i.number = {first}")) == 1
    )


def test_german_words_fit_and_answer_as_well(line: Line, chromium: Any) -> None:
    screen = Screen(chromium, line, "Mia", language="de")
    page = screen.page
    (number,) = line.feed("u")
    screen.shows(number)
    assert page.text_content("#st-partno") == f"Teil #{number}"
    assert page.text_content("[data-answer=agree] b") == "Fehler bestätigen"
    assert page.text_content("#st-verdict h2") == "Kratzer"
    assert page.text_content("#st-reason") == "Kratzer 0,53 liegt zwischen gut 0,30 und Ausschuss 0,80"
    for width, height in (KIOSK, TABLET, WALL):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(80)
        assert page.evaluate(OVERLAPS) == []
        assert page.evaluate("document.scrollingElement.scrollHeight <= innerHeight")
        boxes = [b.bounding_box() for b in page.locator("#st-answers button, #st-classes button").all()]
        assert min(b["height"] for b in boxes) >= 64
        assert max(b["y"] + b["height"] for b in boxes) <= height
    screen.press("q")
    screen.stored(1)
    screen.close()
    assert line.said(number)["cause"] == "reflection"


OVERLAPS = """() => {
  const found = [], box = (e) => e.getBoundingClientRect();
  const shown = (q) => [...document.querySelectorAll(q)].filter((e) => box(e).width && box(e).height);
  for (const button of shown("#st-answers button, #st-classes button, #st-tools button")) {
    const a = box(button);
    for (const part of button.querySelectorAll("b, span, kbd, small")) {
      const b = box(part), wide = part.clientWidth && part.scrollWidth > part.clientWidth + 1;
      if (wide || b.left < a.left || b.right > a.right + 1 || b.top < a.top || b.bottom > a.bottom + 1) {
        found.push(`cut off: ${button.textContent.trim()}`);
      }
    }
  }
  const blocks = shown(
    "#st-held, #st-age, #st-reason, #st-tools, .st-verdict, .st-crops, .st-classes, .st-queue, #st-answers");
  for (const [i, p] of blocks.entries()) for (const q of blocks.slice(i + 1)) {
    const a = box(p), b = box(q);
    const apart = a.left >= b.right - 1 || b.left >= a.right - 1 || a.top >= b.bottom - 1 || b.top >= a.bottom - 1;
    if (!apart) found.push(`${p.id || p.className} over ${q.id || q.className}`);
  }
  return found;
}"""


def test_a_phone_looks_and_takes_the_part_from_nobody(line: Line, chromium: Any) -> None:
    screen = Screen(chromium, line, "Tom", size=PHONE, touch=True)
    page = screen.page
    (number,) = line.feed("u")
    screen.shows(number)
    assert page.is_visible("#st-readonly")
    assert page.locator("#st-answers").is_hidden()
    page.keyboard.press("f")
    page.keyboard.press("1")
    assert screen.number == number
    claimed = f"SELECT claimed_by FROM review r JOIN inspection i USING (part_id) WHERE i.number = {number}"
    assert line.rows(claimed) == [(None,)]
    other = Screen(chromium, line, "Mia")
    other.shows(number)
    other.press("f")
    screen.empty()
    screen.close()
    other.close()
    assert line.said(number)["person"] == "Mia"
