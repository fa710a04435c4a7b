"""Does a gloved hand, or a keyboard, get in; does everybody else stay out? The sign-in page in a true browser."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from station.store.demo_people import ensure_demo_people  # noqa: E402
from station.store.people import People, Role  # noqa: E402
from tests.panel.browsing import CHROMIUM, FLAGS, ROOT, until  # noqa: E402
from tests.panel.rehearsal import config  # noqa: E402
from tests.panel.serving import sign_in  # noqa: E402

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]
SIZES = ((1280, 800), (800, 1280), (390, 844))
HAND_PX = 64
"""Smallest side of what a gloved finger meets."""


class Panel:
    """The panel as a process of its own, over people of its own."""

    def __init__(self, folder: Path) -> None:
        self.people = People(config(folder).store.people)
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "tests.panel.serving", str(folder), str(self.port)]
        self._process = subprocess.Popen(command, cwd=ROOT)
        until(self._answers, 60)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.base}/sign-in", timeout=2):
                return True
        except OSError:
            return False

    def close(self) -> None:
        self.people.close()
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(timeout=15)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Panel]:
    folder = tmp_path_factory.mktemp("station")
    ensure_demo_people(config(folder).store.people)
    made = Panel(folder)
    yield made
    made.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    faults: list[str] = []
    opened = context.new_page()
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.set_default_timeout(20_000)
    yield opened
    context.close()
    assert faults == []


def at(page: Any, name: str) -> Any:
    return page.locator(f'[data-si="{name}"]')


def expect(locator: Any) -> Any:
    return playwright.expect(locator)


def here(page: Any, panel: Panel, path: str) -> None:
    page.wait_for_url(re.compile(re.escape(panel.base + path)))


def grave(page: Any) -> list[str]:
    """What axe-core finds serious or critical on the page."""
    axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    script = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    page.evaluate(script)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [f"{v['id']}: {v['nodes'][0]['html']}" for v in found["violations"]]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_tiles_and_pad_fit_a_glove_and_the_screen(page: Any, panel: Panel, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"{panel.base}/?lang=en")
    here(page, panel, "/sign-in")
    expect(at(page, "demo")).to_contain_text("Mia 1111")
    boxes = [b.bounding_box() for b in page.locator("[data-si=form] button").all()]
    assert len(boxes) == 5 + 12 + 1
    assert min(min(b["width"], b["height"]) for b in boxes) >= HAND_PX
    assert max(b["y"] + b["height"] for b in boxes) <= height, "nothing to scroll to"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("button", has_text="Eva").click()
    for digit in "33":
        page.locator(f'[data-key="{digit}"]').click()
    page.locator('[data-key="back"]').click()
    for digit in "333":
        page.locator(f'[data-key="{digit}"]').click()
    at(page, "enter").click()
    page.wait_for_url(f"{panel.base}/engineer/?lang=en")


def test_the_keyboard_does_the_same_and_the_way_back_shows_nothing(page: Any, panel: Panel) -> None:
    page.goto(f"{panel.base}/inspector/")
    expect(at(page, "tiles").locator("button").first).to_be_visible()
    page.keyboard.type("to")
    page.keyboard.press("Enter")
    expect(page.locator('[aria-pressed="true"]')).to_have_text(re.compile("Tom"))
    page.keyboard.type("2222")
    assert page.input_value('[data-si="secret"]') == "2222"
    assert page.get_attribute('[data-si="secret"]', "type") == "password"
    page.keyboard.press("Enter")
    page.wait_for_url(f"{panel.base}/inspector/")
    expect(page.locator("#st-person")).to_have_text("Tom")
    page.locator("#st-person").click()
    page.locator('[data-do="out"]').click()
    page.wait_for_url(f"{panel.base}/sign-in")
    page.go_back()
    here(page, panel, "/sign-in")
    expect(at(page, "enter")).to_be_visible()


@pytest.mark.parametrize(
    "to", ["//evil.example/", "https://evil.example/", "/\\evil.example/", "/sign-in", "javascript:1"]
)
def test_nobody_is_led_elsewhere(page: Any, panel: Panel, to: str) -> None:
    page.goto(f"{panel.base}/sign-in?to={urllib.request.quote(to, safe='')}")
    expect(at(page, "tiles").locator("button").first).to_be_visible()
    page.keyboard.type("max")
    page.keyboard.press("Enter")
    page.keyboard.type("4444")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{panel.base}/ml/")


def test_wrong_tries_are_said_and_counted_down(page: Any, panel: Panel) -> None:
    page.goto(f"{panel.base}/sign-in")
    page.locator("button", has_text="Eva").click()
    at(page, "enter").click()
    expect(at(page, "words")).to_have_text("Type your PIN or password")
    for n in range(5):
        page.keyboard.type("9999")
        with page.expect_response("**/api/sign-in") as replied:
            page.keyboard.press("Enter")
        assert replied.value.status == 401, n
        expect(at(page, "words")).to_have_text("Name and PIN do not fit. Try again.")
        expect(at(page, "secret")).to_have_value("")
    expect(at(page, "enter")).to_have_text(re.compile(r"Wait [12] s"))
    expect(at(page, "enter")).to_be_disabled()
    page.keyboard.type("3333")
    page.keyboard.press("Enter")  # too early: nothing is sent
    expect(at(page, "enter")).to_have_text("Sign in")
    page.keyboard.press("Enter")
    here(page, panel, "/engineer/")


def test_the_words_are_german_where_german_is_chosen(page: Any, panel: Panel) -> None:
    page.goto(f"{panel.base}/sign-in")
    page.locator("#si-language").click()
    expect(page.locator("[data-si=form] h1")).to_have_text("Wer arbeitet hier?")
    assert page.get_attribute("html", "lang") == "de"
    sign_in(page.context.request, "Mia", base=panel.base)
    page.goto(panel.base)
    expect(page.locator("#station-tabs [role=tab]").first).to_have_text("Prüfen")


def test_where_nobody_is_yet_the_page_names_the_remedy_and_goes_on_by_itself(page: Any, tmp_path: Path) -> None:
    empty = Panel(tmp_path)
    try:
        page.goto(empty.base)
        expect(at(page, "none")).to_contain_text("station user add NAME --role admin")
        expect(at(page, "form")).to_be_hidden()
        assert grave(page) == []
        empty.people.add("Kim", Role.ADMIN, "2468", by="test")
        page.locator("button", has_text="Kim").click()
        expect(at(page, "of")).to_have_text("PIN of Kim")
    finally:
        empty.close()


def test_the_next_person_takes_over_without_a_key_reaching_the_part(page: Any, panel: Panel) -> None:
    sign_in(page.context.request, "Mia", base=panel.base)
    sent: list[str] = []
    page.on("request", lambda r: r.method == "POST" and sent.append(r.url.removeprefix(panel.base)))
    page.goto(panel.base)
    expect(page.locator("#st-person")).to_have_text("Mia")
    page.locator("#st-person").click()
    expect(at(page, "tiles").locator("button").first).to_be_visible()
    assert grave(page) == []
    page.keyboard.press("Escape")
    expect(page.locator("#st-signin")).to_be_hidden()
    page.locator("#st-person").click()
    page.locator("#st-signin .si-bar").click(position={"x": 40, "y": 6})  # the focus is nowhere
    page.keyboard.type("tom")
    page.keyboard.press("Enter")
    page.keyboard.type("2222")
    page.keyboard.press("Enter")
    expect(page.locator("#st-person")).to_have_text("Tom")
    assert "/api/answer" not in sent
    assert "/api/sign-in" in sent
    with_theme = page.locator("html")
    page.locator("#st-person").click()
    page.locator('[data-do="theme"]').click()
    expect(with_theme).to_have_attribute("data-theme", "light")
    assert grave(page) == []
    page.reload()
    expect(with_theme).to_have_attribute("data-theme", "light")


def test_a_session_that_ended_elsewhere_shuts_the_screen_at_once(page: Any, panel: Panel) -> None:
    panel.people.add("Lee", Role.INSPECTOR, "1357", by="test")
    sign_in(page.context.request, "Lee", base=panel.base, secret="1357")
    page.goto(panel.base)
    expect(page.locator("#st-person")).to_have_text("Lee")
    expect(page.locator("#st-signin")).to_be_hidden()
    panel.people.set_secret("Lee", "2468", by="test")
    expect(page.locator("#st-signin")).to_be_visible(timeout=5_000)
    expect(page.locator("#st-signin .si-here")).to_have_text("You were signed out")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.locator("#st-signin")).to_be_visible()
    expect(at(page, "of")).to_have_text("PIN of Lee")
    page.keyboard.type("2468")
    page.keyboard.press("Enter")
    expect(page.locator("#st-signin")).to_be_hidden()
    expect(page.locator("#st-person")).to_have_text("Lee")
    panel.people.disable("Lee", by="test")
    expect(page.locator("#st-signin")).to_be_visible(timeout=5_000)


def test_an_admin_adds_and_disables_people(page: Any, panel: Panel) -> None:
    sign_in(page.context.request, "Ada", base=panel.base)
    page.goto(panel.base)
    page.locator("#station-tabs [role=tab]", has_text="People").click()
    page.locator("#pp-add").click()
    page.locator("[name=name]").fill("Noa")
    page.locator("[name=role]").select_option("ml")
    page.locator("[name=secret]").fill("1357")
    page.locator("[name=again]").fill("1358")
    page.locator(".pp-sheet [type=submit]").click()
    expect(page.locator(".pp-sheet [role=alert]")).to_have_text("The two are not the same")
    page.locator("[name=again]").fill("1357")
    page.locator(".pp-sheet [type=submit]").click()
    noa = page.locator('#pp-table [data-name="Noa"]')
    expect(noa.locator("select")).to_have_value("ml")
    assert grave(page) == []
    noa.locator('[data-do="disable"]').click()
    expect(noa.locator('[data-do="disable"]')).to_have_text("Really disable?")
    noa.locator('[data-do="disable"]').click()
    expect(noa.locator('[data-do="enable"]')).to_be_visible()
    ada = page.locator('#pp-table [data-name="Ada"]')
    ada.locator("select").select_option("inspector")
    expect(page.locator("#pp-said")).to_have_text("This is the last admin. Make another one first.")
    expect(ada.locator("select")).to_have_value("admin")
    changes = [(c.what, c.about, c.by) for c in panel.people.changes(limit=2)]
    assert changes == [("disabled", "Noa", "Ada"), ("added as ml", "Noa", "Ada")]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_sign_in_page_is_fit_for_everyone(page: Any, panel: Panel, theme: str) -> None:
    page.goto(f"{panel.base}/sign-in")
    page.evaluate(f"localStorage.setItem('station.theme', '{theme}')")
    page.reload()
    expect(at(page, "tiles").locator("button").first).to_be_visible()
    assert page.get_attribute("html", "data-theme") == theme
    assert grave(page) == []
    page.locator("button", has_text="Mia").click()
    at(page, "enter").click()
    assert grave(page) == []
