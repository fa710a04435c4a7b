"""Does the Live tab show what the camera sees now, often enough, and say so when there is nothing to see?"""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # other people's modules
    from fastapi.testclient import TestClient

    from station.panel.app import create_app

import cv2
import numpy as np

from station.exchange import LoopAway, LoopFrame
from station.panel.live_routes import KEEP_S, NewestFrame
from tests.panel.browsing import CHROMIUM, FLAGS, Stage, until
from tests.panel.rehearsal import Rehearsal, config
from tests.panel.serving import make_people, sign_in

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

HOST = "http://127.0.0.1:7860"
LEAST_FPS = 5.0


class Loop:
    """A loop that gives numbered pictures, hangs or is away, as it is told."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = False
        self.hangs = threading.Event()

    def frame(self) -> LoopFrame | None:
        self.asked += 1
        if self.away:
            raise LoopAway("gone")
        while self.hangs.is_set():
            time.sleep(0.005)
        return LoopFrame(b"jpeg", self.asked, "2026-01-01T00:00:00+00:00")


def test_all_viewers_share_one_picture_for_a_tenth_of_a_second() -> None:
    loop, now = Loop(), [0.0]
    camera = NewestFrame(loop, lambda: now[0])  # type: ignore[arg-type]
    assert {camera.newest()[0].index for _ in range(20)} == {1}  # type: ignore[union-attr]
    now[0] += KEEP_S
    assert camera.newest()[0].index == 2  # type: ignore[union-attr]
    assert loop.asked == 2


def test_a_hanging_loop_holds_up_one_viewer_and_no_other() -> None:
    loop, now = Loop(), [0.0]
    camera = NewestFrame(loop, lambda: now[0])  # type: ignore[arg-type]
    camera.newest()
    now[0] += 1.0
    loop.hangs.set()
    hung = threading.Thread(target=camera.newest)
    hung.start()
    try:
        until(lambda: loop.asked == 2, 5)
        got: list[LoopFrame | None] = []
        other = threading.Thread(target=lambda: got.append(camera.newest()[0]))
        other.start()
        other.join(2)
        assert [f.index for f in got if f] == [1]
    finally:
        loop.hangs.clear()
        hung.join(5)
        other.join(5)
    assert loop.asked == 2


def test_a_loop_away_is_told_from_a_camera_without_a_picture() -> None:
    loop, now = Loop(), [0.0]
    camera = NewestFrame(loop, lambda: now[0])  # type: ignore[arg-type]
    loop.away = True
    assert camera.newest() == (None, "away")
    now[0] += 1.0
    loop.away = False
    loop.frame = lambda: None  # type: ignore[method-assign]
    assert camera.newest() == (None, "none")


@pytest.fixture
def sign(tmp_path: Path) -> Iterator[Callable[[str], TestClient]]:
    """Signs people in at one panel."""
    make_people(tmp_path)
    app = create_app(config(tmp_path), pages=False)

    def make(name: str) -> TestClient:
        http = TestClient(app, base_url=HOST)
        sign_in(http, name, base=HOST)
        return http

    with TestClient(app, base_url=HOST) as stranger:
        assert stranger.get("/api/frame.jpg").status_code == 401
        yield make


def test_the_newest_picture_comes_with_its_number_and_age(
    rehearse: Callable[..., Rehearsal], sign: Callable[[str], TestClient]
) -> None:
    mia = sign("Mia")
    assert mia.get("/api/frame.jpg").headers["x-why"] == "away"
    stage = rehearse("p", pause_s=0.02)
    time.sleep(KEEP_S)
    until(lambda: mia.get("/api/frame.jpg").status_code == 200, 10)
    stage.source.gate.clear()  # the camera stands still
    time.sleep(3 * KEEP_S)
    reply = mia.get("/api/frame.jpg")
    assert reply.headers["content-type"] == "image/jpeg"
    assert cv2.imdecode(np.frombuffer(reply.content, np.uint8), cv2.IMREAD_COLOR) is not None
    again = mia.get("/api/frame.jpg", headers={"if-none-match": reply.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    time.sleep(0.3)
    older = mia.get("/api/frame.jpg")
    assert int(older.headers["x-age-ms"]) >= int(reply.headers["x-age-ms"]) + 250, "its age grows while it stands"
    stage.source.gate.set()
    until(lambda: mia.get("/api/frame.jpg").headers.get("x-frame") != reply.headers["x-frame"], 10)


def test_figures_name_their_denominator_and_checks_go_to_those_who_may(
    rehearse: Callable[..., Rehearsal], sign: Callable[[str], TestClient]
) -> None:
    mia, eva = sign("Mia"), sign("Eva")
    assert mia.get("/api/figures").json() == {"rate": None, "checks": None}
    rehearse("p", parts=7)
    until(lambda: (mia.get("/api/figures").json()["rate"] or {}).get("parts") == 7, 10)
    assert mia.get("/api/figures").json()["checks"] is None
    assert eva.get("/api/figures").json()["checks"] == {"days": 30, "defects": [0, 0], "good": [0, 0], "audits": [0, 0]}
    assert sign("Max").get("/api/figures").json()["checks"] is not None


# --- in a true browser


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("live"))
    made._start("loop", "tests.panel.rehearsal", str(made.folder), "--plan", "rpu" + "p" * 5000, "--pause", "0.06")
    made.start_panel()
    until(made.has_run)
    made.wait_for_panel()
    yield made
    for name in list(made.running):
        made.stop(name, signal.SIGKILL)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_camera_moves_the_page_fits_and_a_loop_that_ends_is_said(running: Stage) -> None:
    driving = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    base = f"http://127.0.0.1:{running.port}"
    faults: list[str] = []
    asked: list[str] = []
    with driving.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        sign_in(context.request, "Eva", base=base)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("request", lambda r: asked.append(r.url))
        page.goto(f"{base}/engineer")
        page.wait_for_selector("#station-tabs [role=tab]")
        time.sleep(1.0)
        assert not [u for u in asked if "frame.jpg" in u], "nobody looks yet"
        page.locator("#station-tabs [role=tab]").nth(1).click()
        page.wait_for_selector("#lv-cam[data-picture=yes]")
        page.wait_for_function(f"+document.querySelector('#lv-cam').dataset.fps >= {LEAST_FPS}", timeout=60_000)
        print(f"camera on the screen: {page.get_attribute('#lv-cam', 'data-fps')} pictures/s")
        page.wait_for_selector("#st-recent li >> nth=19")
        tiles = page.locator(".lv-tile").all()
        assert len(tiles) == 6
        assert all(t.locator("small").text_content() for t in tiles), "each with what it is a share of"
        words = page.locator("#st-recent li small").all_text_contents()
        assert page.locator("#st-recent li .st-icon").count() == len(words) == 20
        for width, height in ((1280, 800), (800, 1280)):
            page.set_viewport_size({"width": width, "height": height})
            time.sleep(0.3)
            assert page.evaluate("document.scrollingElement.scrollHeight <= innerHeight")
            cut = page.evaluate(
                "[...document.querySelectorAll('#st-live .lv-tile, #st-live .lv-card:not(.lv-last), #lv-state')]"
                ".filter((e) => e.scrollHeight > e.clientHeight + 1).map((e) => e.id || e.dataset.tile)"
            )
            assert cut == [], (width, height)
            inside = page.locator("#st-recent").bounding_box()
            assert inside["y"] + inside["height"] <= height
        page.locator("#station-tabs [role=tab]").nth(0).click()
        time.sleep(0.5)
        before = len([u for u in asked if "frame.jpg" in u])
        time.sleep(1.0)
        assert len([u for u in asked if "frame.jpg" in u]) == before, "nothing is fetched for a tab nobody sees"
        page.locator("#station-tabs [role=tab]").nth(1).click()
        page.wait_for_selector("#lv-cam[data-picture=yes]")
        running.stop("loop", signal.SIGKILL)
        page.wait_for_selector("#lv-cam[data-picture=away]", timeout=20_000)
        assert page.text_content("#lv-nocam h2")
        page.wait_for_selector("#lv-state[data-state=AWAY]", timeout=20_000)
        context.close()
        browser.close()
    assert [u for u in asked if not u.startswith((base, "data:", "blob:"))] == []
    assert faults == []
