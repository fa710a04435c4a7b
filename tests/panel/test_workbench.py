"""Can an engineer tune limits at the screen: move them, see what they do, look at the seal once, and save a draft?"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from station.footage.book import Footage
from station.footage.split import looks
from tests.panel.bench_footage import make_footage, make_model
from tests.panel.browsing import KIOSK, TABLET, Stage, chromium, pytestmark, until  # noqa: F401
from tests.panel.serving import sign_in
from tests.panel.test_axe import grave

PARTS = 400


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Loop and panel over a folder with a scored footage, and one that is neither split nor scored."""
    folder = tmp_path_factory.mktemp("bench")
    make_model(folder)
    make_footage(folder, PARTS)
    make_footage(folder, 24, name="fresh", split=False, keep=0.0, first=PARTS)
    mine = {"STATION_FOOTAGE": str(folder / "footage"), "STATION_MODELS": str(folder / "models")}
    os.environ.update(mine)
    made = Stage(folder)
    try:
        made.start_loop("ppppppp" + "p" * 13 + "u")
        made.start_panel()
        until(made.has_run)
        made.wait_for_panel()
        yield made
    finally:
        for name in mine:
            del os.environ[name]
        for name in list(made.running):
            made.stop(name, signal.SIGKILL)


class Bench:
    """An engineer at the workbench; fails on anything that should not be."""

    def __init__(
        self, browser: Any, line: Stage, person: str = "Eva", *, size: tuple[int, int] = KIOSK, language: str = "en",
        footage: str = "shift", touch: bool = False,
    ) -> None:  # fmt: skip
        self.faults: list[str] = []
        base = f"http://127.0.0.1:{line.port}"
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, has_touch=touch)
        sign_in(self.context.request, person, base=base)
        self.context.add_init_script(
            f"const kept = localStorage; kept['station.language'] = {language!r};"
            f"kept['station.workbench.footage'] ??= {footage!r}"
        )
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("console", lambda m: self.faults.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on(
            "request",
            lambda r: None if r.url.startswith((f"{base}/", "data:", "blob:")) else self.faults.append(f"to {r.url}"),
        )
        self.page.goto(base)
        self.page.wait_for_selector("#st-review[data-ready]")
        self.page.click("#station-tabs [role=tab][aria-controls=tab-workbench]")
        self.page.wait_for_selector("#st-workbench[data-ready]")

    def figure(self, rate: str) -> str:
        """The counts of a rate under the limits tried."""
        return str(self.page.text_content(f"#wb-rates [data-rate='{rate}'] td:last-child"))

    def limit(self, what: str = "pass_below") -> float:
        return float(self.page.get_attribute(f"[data-limit={what}]", "aria-valuenow"))

    def told(self) -> None:
        """Waits for the figures of the limits that are tried now."""
        self.page.wait_for_function(
            "() => { const m = performance.getEntriesByName('station-workbench').at(-1)?.detail;"
            "return m && m.limits[m.moved].pass_below === "
            "Number(document.querySelector('[data-limit=pass_below]').getAttribute('aria-valuenow')); }"
        )

    def close(self) -> None:
        self.context.close()
        assert self.faults == []


@pytest.fixture
def bench(line: Stage, chromium: Any) -> Iterator[Bench]:  # noqa: F811
    it = Bench(chromium, line)
    it.page.wait_for_selector("#wb-rates table")
    yield it
    it.close()


def test_a_limit_is_moved_by_mouse_key_and_number_and_its_figures_follow(bench: Bench) -> None:
    page = bench.page
    before = bench.figure("wb.rate.review")
    handle = page.locator("[data-limit=pass_below]").bounding_box()
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 13):
        page.mouse.move(x + 10 * step, y)
    page.mouse.up()
    assert 0.4 < bench.limit() < 0.6
    bench.told()
    assert bench.figure("wb.rate.review") != before
    dragged = bench.limit()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    assert bench.limit() == pytest.approx(dragged - 0.011, abs=1e-9)
    page.keyboard.press("End")
    assert (bench.limit(), bench.limit("fail_above")) == (1.0, 1.0), "a limit pushes the other one along"
    page.fill("#wb-typed [name=pass_below]", "0.3")
    page.fill("#wb-typed [name=fail_above]", "0.8")
    page.press("#wb-typed [name=fail_above]", "Enter")
    bench.told()
    assert bench.figure("wb.rate.review") == before
    page.click("#wb-classes [data-class=dent]")
    page.fill("#wb-typed [name=min_area_px]", "100000")
    page.press("#wb-typed [name=min_area_px]", "Tab")
    now = "document.querySelector('[data-rate=\"wb.rate.review\"] td:last-child').textContent"
    page.wait_for_function(f"w => {now} !== w",
                           arg=before)  # fmt: skip
    page.click("#wb-reset")
    bench.told()
    assert page.is_disabled("#wb-ver [data-do=draft]"), "nothing to draft: these are in force"


def test_a_promise_is_refused_in_words_and_a_cheapest_limit_taken(bench: Bench) -> None:
    bench.page.click("[data-propose=promise]")
    bench.page.wait_for_function("document.querySelector('#wb-propose p').textContent.includes('defective parts for')")
    assert bench.limit() == 0.3
    bench.page.click("[data-propose=cost]")
    bench.page.wait_for_function("document.querySelector('#wb-propose p').textContent.includes('cheapest')")
    assert bench.limit() != 0.3


def test_flips_are_shown_the_seal_is_counted_and_a_draft_is_kept(bench: Bench, line: Stage) -> None:
    page = bench.page
    page.focus("[data-limit=pass_below]")
    page.keyboard.press("PageUp")
    bench.told()
    page.click("#wb-diff [data-do=diff]")
    page.wait_for_selector("#wb-diff .wb-flips li")
    shown = page.locator("#wb-diff .wb-flips li").count()
    assert page.text_content("#wb-diff .wb-flips-head").startswith(f"{shown} of {PARTS // 2} ")
    page.wait_for_function("document.querySelector('#wb-diff .wb-flips img').naturalWidth > 0")
    page.locator("#wb-diff .wb-counted button").first.click()
    assert page.locator("#wb-diff .wb-flips li").count() <= shown
    page.locator("#wb-diff .wb-flips button").first.click()
    page.wait_for_function("document.querySelector('.wb-large[open] img').naturalWidth === 64")
    assert grave(page, ".wb-large") == []
    page.keyboard.press("Escape")

    footage = Footage.open(line.folder / "footage" / "shift")
    before = len(looks(footage))
    page.click("#wb-cert [data-do=seal]")
    assert "sealed set" in page.text_content("#wb-cert .wb-warning")
    assert len(looks(footage)) == before, "warned, not looked"
    page.fill("#wb-cert [name=why]", "new lens")
    page.click("#wb-cert [type=submit]")
    page.wait_for_selector("#wb-cert .wb-claims")
    assert len(looks(footage)) == before + 1
    assert "defective parts for 1" in page.text_content("#wb-cert .wb-claims")
    signs = page.eval_on_selector_all(
        "#wb-cert .wb-rests .wb-sign", "all => all.map(s => [!!s.querySelector('svg'), s.textContent])"
    )
    assert {words for _, words in signs} >= {"holds", "fails", "not known"}
    assert all(drawn for drawn, _ in signs)

    page.click("#wb-ver [data-do=draft]")
    page.fill("#wb-ver [name=reason]", "fewer false alarms")
    page.click("#wb-ver form [type=submit]")
    page.wait_for_selector("#wb-ver [data-version]")
    limits, diff, certificate, reason, person = line.rows(
        "SELECT v.limits, v.diff, v.certificate, e.reason, e.person FROM limits_version v "
        "JOIN limits_event e ON e.version_id = v.id ORDER BY v.id DESC LIMIT 1"
    )[0]
    assert (reason, person) == ("fewer false alarms", "Eva")
    assert json.loads(limits)["classes"]["scratch"]["pass_below"] == 0.4
    assert len(json.loads(diff)["flips"]) == shown
    assert json.loads(certificate)["looks"] == before + 1
    assert grave(page) == []
    page.focus("[data-limit=pass_below]")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#wb-diff[data-stale] .wb-stale")
    assert page.is_visible("#wb-cert .wb-stale"), "a certificate is told for its own limits alone"


def test_a_second_person_approves_and_puts_it_in_force(line: Stage, chromium: Any) -> None:  # noqa: F811
    it = Bench(chromium, line, "Ada")
    page = it.page
    page.wait_for_selector("#wb-ver [data-act=approve]")
    for act, said in (("approve", "approved"), ("activate", "in force")):
        page.locator(f"#wb-ver [data-act={act}]").first.click()
        page.fill("#wb-ver [name=reason]", "seen on the line")
        page.click("#wb-ver form [type=submit]")
        page.wait_for_function(
            "w => document.querySelector('#wb-ver > [role=status]').textContent.includes(w)", arg=said
        )
    page.wait_for_selector("#wb-ver [data-act=rollback]")
    page.wait_for_function("document.querySelector('[data-limit=pass_below]').getAttribute('aria-valuenow') === '0.3'")
    it.page.click("#wb-reset")
    it.told()
    assert it.limit() == 0.4, "what is in force now"
    it.close()


def test_a_fresh_footage_is_split_and_scored_beside_the_line(line: Stage, chromium: Any) -> None:  # noqa: F811
    it = Bench(chromium, line, footage="fresh")
    it.page.click("[data-do=split][data-by=part]")
    it.page.wait_for_selector("[data-do=score]")
    before = line.rows("SELECT count(*) FROM inspection")[0][0]
    it.page.click("[data-do=score]")
    it.page.wait_for_selector("#wb-need progress")
    it.page.wait_for_selector("#wb-rates table", timeout=90_000)
    assert line.rows("SELECT count(*) FROM inspection")[0][0] > before, "the line went on"
    assert it.page.is_hidden("#wb-need")
    it.close()


@pytest.mark.parametrize(("size", "theme"), [(KIOSK, "light"), (TABLET, "dark")], ids=["kiosk light", "tablet dark"])
def test_it_fits_and_speaks_german(line: Stage, chromium: Any, size: tuple[int, int], theme: str) -> None:  # noqa: F811
    it = Bench(chromium, line, size=size, language="de", touch=True)
    page = it.page
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    page.evaluate(f"document.documentElement.classList.toggle('dark', '{theme}' === 'dark')")
    page.wait_for_selector("#wb-rates table")
    page.click("#wb-cert [data-do=seal]")
    assert "versiegelte Menge" in page.text_content("#wb-cert .wb-warning")
    assert "Fehlalarme" in page.text_content("#wb-rates")
    assert not any(word in page.text_content("#st-workbench") for word in ("wb.", "undefined", "NaN", "{"))
    assert page.evaluate("document.querySelector('#st-workbench').scrollWidth <= innerWidth")
    page.evaluate("document.querySelector('#st-workbench').scrollTop = 0")
    place = page.locator("#wb-histogram").bounding_box()
    was = it.limit()
    page.touchscreen.tap(place["x"] + place["width"] * 0.5, place["y"] + 60)
    assert it.limit() != was, "a tap moves the nearer limit"
    assert grave(page, "#st-workbench") == []
    it.close()


def test_an_inspectors_page_has_no_workbench(line: Stage, chromium: Any) -> None:  # noqa: F811
    context = chromium.new_context()
    base = f"http://127.0.0.1:{line.port}"
    sign_in(context.request, "Mia", base=base)
    page = context.new_page()
    page.goto(base)
    page.wait_for_selector("#st-review[data-ready]")
    assert page.locator("#tab-workbench, #st-workbench").count() == 0
    context.close()
