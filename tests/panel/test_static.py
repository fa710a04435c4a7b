"""Do the panel's own files fit together, and does nothing in them reach outside?"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import station.panel
from station.core.verdict import Answer, Disposition, Evaluation, ReviewReason, StationState

STATIC = Path(station.panel.__file__).parent / "static"
WORDS = json.loads((STATIC / "strings.en.json").read_text(encoding="utf-8"))
SOURCES = sorted(p for p in STATIC.iterdir() if p.suffix in (".js", ".html", ".css"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.name)
def test_every_word_asked_for_is_there(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    asked = set(re.findall(r"""\btext\(["']([\w.]+)["']""", text)) | set(re.findall(r'data-tl?="([\w.]+)"', text))
    asked |= set(re.findall(r'"(notice\.\w+|draw\.\w+)"', text))
    assert asked <= WORDS.keys(), asked - WORDS.keys()


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.name)
def test_nothing_reaches_outside(source: Path) -> None:
    text = source.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|//cdn|@import|@font-face", text)


def test_every_value_of_the_ledger_has_its_word() -> None:
    wanted = {f"verdict.{v}" for v in Evaluation} | {f"disposition.{v}" for v in Disposition}
    wanted |= {f"state.{v}" for v in StationState} | {f"said.{v}" for v in Answer}
    unmarked = {f"held.{v}" for v in (ReviewReason.AUDIT, ReviewReason.CHALLENGE)}
    unasked = {f"held.{ReviewReason.CORRECTION}"}  # said after the part has gone, never waited for
    wanted |= {f"held.{v}" for v in ReviewReason} - unmarked - unasked
    assert wanted <= WORDS.keys(), wanted - WORDS.keys()
    assert not unmarked & WORDS.keys(), "audits and challenges look like every other first look"
