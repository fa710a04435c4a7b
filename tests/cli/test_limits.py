"""Limits from the shell: by hand where no loop runs, through the loop where one does, and always with who and why."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from station.calibration.certificate import Certificate, Claim
from station.cli import app
from station.cli.printing import out
from station.config import SimulatorSource, StationConfig, StoreSettings, load_config
from station.core.errors import LedgerFault, LimitsRefused, UsageError
from station.core.timing import SystemClock
from station.exchange import ExchangeServer
from station.limits import limits_of, overlay, with_changes
from station.limits_fit import recipe_here
from station.recipe import load_recipe
from station.run import begin_footage
from station.store.ledger import Ledger
from tests.builders import START, UNCERTAIN, Bench, FakeSource, frame, recipe, until

RECIPE = """
name = "disc"
title = "Disc"
{more}
[hold]
mode = "divert"
lane_capacity = 20
undo_s = 3.0

[health]
frozen_frames = 0

[review]
audit_fraction = 0.0
blind_fraction = 0.0
challenge_fraction = 0.0

[[classes]]
name = "scratch"
title = "Scratch"
pass_below = 0.3
fail_above = 0.7

[[classes]]
name = "dent"
title = "Dent"
pass_below = 0.3
fail_above = 0.7
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A station's folder with a recipe and a ledger that nobody writes."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "disc.toml").write_text(RECIPE.format(more=""))
    (tmp_path / "station.toml").write_text(f'recipes = "{tmp_path / "recipes"}"\n[store]\nfolder = "{tmp_path}"\n')
    Ledger(tmp_path / "ledger.db", clock=SystemClock(), durable=False).close()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("getpass.getuser", lambda: "eva")
    monkeypatch.setattr(out, "_width", 200)  # so that no sentence is broken
    return tmp_path


def limits(*arguments: str) -> dict[str, Any]:
    """Runs ``station limits …`` and returns what it gives to machines."""
    done = CliRunner().invoke(app, ["limits", *arguments, "--json", "-"])
    if done.exception is not None:
        raise done.exception
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def words(*arguments: str) -> str:
    """Runs ``station limits …`` and returns what people read."""
    done = CliRunner().invoke(app, ["limits", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def refused(*arguments: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        limits(*arguments)


def draft(change: str = "scratch.pass_below=0.6", *more: str) -> int:
    return int(limits("draft", "--recipe", "disc", "--set", change, "--reason", "why", *more)["version"])


def rows(place: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"{(place / 'ledger.db').as_uri()}?mode=ro", uri=True)) as books:
        return books.execute(sql).fetchall()


def test_the_whole_way_without_a_loop(place: Path) -> None:
    version = draft()
    refused("activate", "1", "--reason", "now", "--without-diff", "x", words="made by eva: have another person approve")
    refused("approve", "1", "--reason", "fine", words="another person has to approve it")
    assert limits("approve", "1", "--person", "Ada", "--reason", "fine") == {"version": 1, "event": 2, "in_force": None}
    refused("activate", "1", "--reason", "now", words="say why there is none")
    said = words("activate", "1", "--reason", "now", "--without-diff", "no footage yet")
    assert "in force: version 1" in said
    assert limits("list")["recipes"][0]["in_force"] == version
    assert "in force: the limits of the recipe file" in words("rollback", "-r", "disc", "--reason", "false alarms")
    assert "version 1 is withdrawn" in words("withdraw", "1", "--reason", "wrong lot")
    assert rows(place, "SELECT kind, person, via, reason FROM limits_event ORDER BY id") == [
        ("drafted", "eva", "command line", "why"),
        ("approved", "Ada", "command line", "fine"),
        ("activated", "eva", "command line", "now (no decision diff: no footage yet)"),
        ("rolled_back", "eva", "command line", "false alarms"),
        ("withdrawn", "eva", "command line", "wrong lot"),
    ]
    shown = words("show", "1")
    for part in ("version 1", "withdrawn", "made by", "eva", "pass below 0.6", "approved by Ada (command line): fine"):
        assert part in shown
    assert "0.3" in words("show", "file", "--recipe", "disc")


def test_what_is_replayed_and_tuned_is_what_is_in_force(place: Path) -> None:
    config = load_config(place / "station.toml")
    file = load_recipe("disc", config.recipes)
    assert recipe_here("disc", config) == (file, None)
    version = draft("scratch.pass_below=0.2")
    assert recipe_here("disc", config) == (file, None), "a draft changes nothing"
    limits("activate", str(version), "--reason", "stricter", "--without-diff", "at once")
    recipe, number = recipe_here("disc", config)
    assert (number, recipe.limits["scratch"].pass_below) == (version, 0.2)
    assert recipe.limits["dent"] == file.limits["dent"]
    assert begin_footage(config, "disc", "shift").about.recipe_sha256 == recipe.sha256
    assert recipe_here("disc", config.model_copy(update={"store": config.store.at(place / "other.db")})) == (file, None)


def test_versions_are_listed_and_compared_in_words(place: Path) -> None:
    assert "no limits were ever drafted" in words("list")
    draft("scratch.pass_below=0.35", "--set", "dent.fail_above=0.9")
    draft("scratch.min_area_px=12", "--base", "1")
    listed = words("list", "--recipe", "disc")
    assert "as in the recipe file" in listed
    assert listed.index(" 2 ") < listed.index(" 1 "), "newest first"
    assert "scratch: pass_below 0.3 -> 0.35" in words("diff", "file", "1")
    found = limits("diff", "1", "2")
    assert [(c["what"], c["before"], c["after"], c["widens"]) for c in found["changes"]] == [
        ("scratch.min_area_px", None, 12.0, True)
    ]
    assert "the same limits" in words("diff", "2", "2")
    assert rows(place, "SELECT base FROM limits_version ORDER BY id") == [(None,), (1,)]


def tuned(place: Path, **more: Any) -> Path:
    """What ``station tune --json`` writes for other limits of the file."""
    file = load_recipe("disc", place / "recipes")
    new = overlay(file, with_changes(limits_of(file), ["scratch.pass_below=0.22"]))
    certificate = Certificate(
        (Claim("scratch", 0.22, 0.01, 0.05, 1, 400, 12, 0, 0.0075, 0.0075),), 0.05, 1, "a" * 64, "b" * 64,
        new.sha256, "c" * 64, START, START.replace(year=2027), (),
    )  # fmt: skip
    report = {
        "footage": "shift-12",
        "recipe": "disc",
        "limits": {
            old.name: {
                "before": {"pass_below": old.pass_below, "fail_above": old.fail_above},
                "proposed": {"pass_below": it.pass_below, "fail_above": it.fail_above},
            }
            for old, it in zip(file.classes, new.classes, strict=True)
        },
        "chosen": [{"class": "scratch", "pass_below": 0.22, "promised": True, "words": "rank 3 of 400"}],
        "tuning": {"flips": [{"part": "p1"}], "counted": {"scratch: OK -> NOT_DECIDABLE": 1}},
        "certificate": certificate.to_dict(),
    }
    path = place / "tune.json"
    path.write_text(json.dumps(report | more))
    return path


def test_a_tuning_report_brings_limits_diff_and_certificate(place: Path) -> None:
    draft("dent.pass_below=0.1")
    limits("activate", "1", "--reason", "stricter", "--without-diff", "it only stops more")
    limits("draft", "-r", "disc", "--from", str(tuned(place)), "--reason", "tuned")
    version = limits("show", "2")
    assert version["limits"]["classes"]["scratch"]["pass_below"] == 0.22
    assert version["limits"]["classes"]["dent"]["pass_below"] == 0.3, "what was certified is the file with the change"
    assert version["base"] is None
    assert version["diff"]["flips"] == [{"part": "p1"}]
    assert version["certificate"]["claims"][0]["limit"] == 0.22
    assert "1 flips" in words("show", "2")
    assert version["needs_approval"], "against the stricter version in force it widens"


def test_a_report_with_changes_promises_nothing(place: Path) -> None:
    limits("draft", "-r", "disc", "--from", str(tuned(place)), "--set", "scratch.pass_below=0.2", "--reason", "lower")
    version = limits("show", "1")
    assert version["limits"]["classes"]["scratch"]["pass_below"] == 0.2
    assert version["certificate"] is None


def test_plain_values_and_whole_limits_are_read_too(place: Path) -> None:
    (place / "plain.json").write_text('{"scratch": {"pass_below": 0.25, "fail_above": 0.6}}')
    (place / "flips.json").write_text('{"footage": "shift-12", "flips": []}')
    limits("draft", "-r", "disc", "--from", "plain.json", "--diff", "flips.json", "--reason", "plain")
    first = limits("show", "1")
    assert (first["limits"]["classes"]["scratch"]["fail_above"], first["diff"]["footage"]) == (0.6, "shift-12")
    (place / "whole.json").write_text(json.dumps(first["limits"]))
    limits("draft", "-r", "disc", "--from", "whole.json", "--reason", "the same again")
    assert limits("show", "2")["limits"] == first["limits"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "no JSON object"),
        ("{", "cannot read"),
        ('{"stain": {"pass_below": 0.1}}', "name scratch, dent"),
        ('{"chosen": [], "limits": {}, "recipe": "bolt"}', "about recipe bolt"),
    ],
)
def test_a_file_that_proposes_nothing_is_refused(place: Path, content: str, words: str) -> None:
    (place / "from.json").write_text(content)
    refused("draft", "-r", "disc", "--from", "from.json", "--reason", "x", words=words)
    assert rows(place, "SELECT count(*) FROM limits_version") == [(0,)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("draft", "-r", "disc", "--reason", "x"), "--set CLASS.FIELD=VALUE, or --from FILE"),
        (("draft", "-r", "disc", "--set", "scratch.pass_below=0.9", "--reason", "x"), "above fail_above"),
        (("draft", "-r", "disc", "--set", "scratch.pass_below=0.1", "--reason", " "), "reason in words"),
        (("draft", "-r", "disc", "--set", "scratch.pass_below=0.1", "--base", "7", "--reason", "x"), "no version 7"),
        (("draft", "-r", "nut", "--set", "scratch.pass_below=0.1", "--reason", "x"), "no recipe 'nut'"),
        (("approve", "7", "--reason", "x"), "no version 7"),
        (("activate", "seven", "--reason", "x"), "or 'file'"),
        (("activate", "file", "--reason", "x"), "whose recipe file: --recipe"),
        (("rollback", "-r", "disc", "--reason", "x"), "nothing to roll back"),
        (("show", "7"), "no version 7"),
        (("diff", "file", "7"), "no version 7"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_remedy(place: Path, arguments: tuple[str, ...], words: str) -> None:
    refused(*arguments, words=words)
    assert rows(place, "SELECT count(*) FROM limits_event") == [(0,)]


def test_without_a_ledger_none_is_begun(place: Path) -> None:
    for arguments in (("list",), ("draft", "-r", "disc", "--set", "scratch.pass_below=0.1", "--reason", "x")):
        with pytest.raises(LedgerFault, match="start the loop first"):
            limits(*arguments, "--db", "other.db")
    assert not (place / "other.db").exists()


def test_versions_can_be_read_where_the_recipe_file_is_gone(place: Path) -> None:
    draft()
    (place / "recipes" / "disc.toml").unlink()
    assert limits("list")["recipes"][0]["file"] is None
    assert "no recipe 'disc'" in words("show", "file", "-r", "disc")
    assert limits("show", "1")["limits"]["classes"]["scratch"]["pass_below"] == 0.6


def test_limits_that_do_not_fit_any_more_stop_the_start_until_they_are_rolled_back(place: Path) -> None:
    from station.build import build

    config = StationConfig(
        recipes=place / "recipes", store=StoreSettings(folder=place, free_disk_mb=0), source=SimulatorSource(parts=1)
    )
    draft("scratch.pass_below=0.1")
    limits("activate", "1", "--reason", "stricter", "--without-diff", "it only stops more")
    station = build(config, "disc")
    assert station.recipe.limits["scratch"].pass_below == 0.1
    station.close()
    more = '\n[[classes]]\nname = "stain"\ntitle = "Stain"\npass_below = 0.3\nfail_above = 0.7\n'
    (place / "recipes" / "disc.toml").write_text(RECIPE.format(more="") + more)
    with pytest.raises(LimitsRefused, match="station limits rollback --recipe disc"):
        build(config, "disc")
    limits("rollback", "-r", "disc", "--reason", "a class was added")
    station = build(config, "disc")
    assert station.recipe.limits["scratch"].pass_below == 0.3
    station.close()
    assert rows(place, "SELECT limits_version FROM run ORDER BY id") == [(1,), (None,)]


# ------------------------------------------------------------------ through a loop that runs


@pytest.fixture
def running(place: Path) -> Iterator[Bench]:
    product = recipe(mode="divert")
    source = FakeSource([frame(0)], endless=True)
    bench = Bench(place, product=product, source=source, scores=[UNCERTAIN], clock=SystemClock(), durable=False)
    with bench, ExchangeServer(bench.loop, place / "ledger.door.json"):
        thread = threading.Thread(target=bench.loop.run)
        thread.start()
        until(lambda: bench.loop.status().waiting == 1, "the part does not come")
        yield bench
        bench.loop.stop()
        thread.join(timeout=20)


def test_while_a_loop_runs_it_writes_and_goes_over_between_two_parts(place: Path, running: Bench) -> None:
    draft()
    limits("approve", "1", "--person", "Ada", "--reason", "fine")
    assert limits("activate", "1", "--reason", "now", "--without-diff", "no footage yet")["in_force"] == 1
    running.detector.script.append(UNCERTAIN)
    running.source.items.append(frame(1))
    until(lambda: len(rows(place, "SELECT 1 FROM inspection")) == 2, "the second part does not come")
    assert rows(place, "SELECT run_id, evaluation FROM inspection ORDER BY number") == [
        (1, "NOT_DECIDABLE"),
        (2, "OK"),
    ]
    refused("rollback", "-r", "disc", "--reason", "", words="reason in words")
    assert limits("rollback", "-r", "disc", "--reason", "a scratch got through")["in_force"] is None
    assert rows(place, "SELECT limits_version FROM run ORDER BY id") == [(None,), (1,), (None,)]


def test_a_loop_of_another_recipe_is_named(place: Path, running: Bench) -> None:
    (place / "recipes" / "nut.toml").write_text(RECIPE.format(more="").replace('"disc"', '"nut"'))
    refused("draft", "-r", "nut", "--set", "scratch.pass_below=0.1", "--reason", "x", words="runs recipe disc, not nut")
    refused("approve", "9", "--reason", "x", words="no version 9")


def test_a_ledger_that_something_else_writes_is_left_alone(place: Path) -> None:
    with (
        closing(Ledger(place / "ledger.db", clock=SystemClock(), durable=False)),
        pytest.raises(LedgerFault, match="in use by another loop"),
    ):
        draft()
