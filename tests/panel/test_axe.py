"""Is every tab fit for everyone? axe-core finds nothing serious on any of them, in both themes and all layouts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.panel.browsing import KIOSK, PHONE, TABLET, Screen, Stage, chromium, pytestmark, stage, until  # noqa: F401

axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
AXE = (Path(axe.__path__[0]) / "axe.min.js").read_text(encoding="utf-8")
TABS = ("Review", "Live", "History", "Workbench", "People")


def grave(page: Any, of: str = "html") -> list[str]:
    """What axe-core calls serious or critical in the element ``of``, once nothing on the page fades any more."""
    page.wait_for_function("document.getAnimations().every((a) => a.playState !== 'running')")
    if not page.evaluate("typeof axe !== 'undefined'"):
        page.evaluate(AXE)
    found = page.evaluate("of => axe.run(of, {resultTypes: ['violations']})", of)
    return [
        f"{v['id']} ({v['impact']}): {n['html'][:160]} – {n['failureSummary'][:200]}"
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
        for n in v["nodes"][:3]
    ]


@pytest.fixture(scope="module")
def screen(stage: Stage, chromium: Any) -> Iterator[Screen]:  # noqa: F811
    """An admin's screen, in front of a part that waits."""
    it = Screen(chromium, stage, "Ada")
    it.page.emulate_media(reduced_motion="reduce")
    assert it.number == 1
    yield it
    it.close()


def test_axe_can_find_something(screen: Screen) -> None:
    screen.page.evaluate("document.querySelector('#st-answers').insertAdjacentHTML('beforeend', '<button></button>')")
    assert any("button-name" in g for g in grave(screen.page))
    screen.page.evaluate("document.querySelector('#st-answers').lastElementChild.remove()")


@pytest.mark.parametrize(
    ("size", "theme"),
    [(KIOSK, "dark"), (KIOSK, "light"), (TABLET, "light"), (PHONE, "dark")],
    ids=["kiosk dark", "kiosk light", "tablet light", "phone dark"],
)
def test_no_tab_has_a_serious_violation(screen: Screen, size: tuple[int, int], theme: str) -> None:
    page = screen.page
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    page.evaluate(f"document.documentElement.classList.toggle('dark', '{theme}' === 'dark')")
    page.set_viewport_size({"width": size[0], "height": size[1]})
    for tab in TABS:
        page.locator("#station-tabs [role=tab]", has_text=tab).click()
        page.wait_for_timeout(500)
        assert grave(page) == [], tab


def test_the_story_of_a_part_and_the_help_have_none(screen: Screen) -> None:
    page = screen.page
    page.set_viewport_size({"width": KIOSK[0], "height": KIOSK[1]})
    page.locator("#station-tabs [role=tab]", has_text="Review").click()
    page.keyboard.press("?")
    page.wait_for_timeout(300)
    assert grave(page, "#st-help") == []  # what lies behind it is dimmed and out of reach
    page.keyboard.press("Escape")
    page.locator("#station-tabs [role=tab]", has_text="History").click()
    page.locator("#st-history [data-part]").first.click()
    page.wait_for_timeout(800)
    assert grave(page) == [], "story"
