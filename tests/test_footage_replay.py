"""Does a replay say what the live run said, to the bit, and does it ask the model only once?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from station.build import build
from station.config import SimulatorSource, StationConfig, StoreSettings
from station.core.errors import ConfigError, StationError
from station.core.verdict import Inspection
from station.crew import FromFootage, Outcome, Tools, inspect_all
from station.footage.book import Footage
from station.footage.bring_in import bring_in
from station.footage.record import Recorder
from station.footage.scores import ScoreCache
from station.footage_replay import FootageReplay, cache_root, replay_footage
from station.recipe import Recipe, load_recipe
from station.run import begin_footage
from tests.footage.builders import save
from tests.test_replay import picture

ROOT = Path(__file__).resolve().parents[1]


def station(folder: Path, *, parts: int, threads: int = 1) -> StationConfig:
    """A simulated station whose review lane is never full, so that nobody has to answer."""
    recipes = folder / "recipes"
    recipes.mkdir(exist_ok=True)
    text = (ROOT / "calibration" / "recipes" / "demo-disc.toml").read_text()
    (recipes / "demo-disc.toml").write_text(text.replace("lane_capacity = 20", "lane_capacity = 100000"))
    return StationConfig(
        recipes=recipes,
        models=ROOT / "models",
        footage=folder / "footage",
        store=StoreSettings(folder=folder / "var", free_disk_mb=0),
        source=SimulatorSource(seed=11, parts=parts, frames_per_s=0, defect_rate=0.4, speed_px=60),
        threads=threads,
    )


def live(config: StationConfig, name: str = "shift") -> tuple[Footage, list[Inspection]]:
    """Runs the station's whole loop and records it; returns the footage as read back, and what was said."""
    said: list[Inspection] = []
    recorder = Recorder(begin_footage(config, "demo-disc", name), queue_parts=100_000)

    def recorded(inspection: Inspection) -> None:
        said.append(inspection)
        recorder.offer(inspection)

    built = build(config, "demo-disc", on_recorded=recorded, throw_away=True)
    try:
        built.loop.run()
    finally:
        built.close()
    recorder.close()
    assert recorder.left_out == 0
    return Footage.open(config.footage / name), said


def hold_against(said: list[Inspection], result: FootageReplay) -> None:
    """Every verdict with its reason, every score and every box, exactly."""
    assert [p.key for p in result.table.parts] == [it.part.part_id for it in said]
    for k, it in enumerate(said):
        verdict, found = result.table.verdict(k, result.rules), result.table.detections(k)
        assert verdict == it.verdict
        assert (found is None) == (it.detections is None)
        if found is not None and it.detections is not None:
            assert dict(found.scores) == dict(it.detections.scores)
            assert found.candidates == it.detections.candidates
            assert dict(found.unlisted) == dict(it.detections.unlisted)
    assert result.differs() == (len(said), [])


def recipe_of(config: StationConfig) -> Recipe:
    return load_recipe("demo-disc", config.recipes)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[StationConfig, Footage, list[Inspection]]:
    config = station(tmp_path_factory.mktemp("line"), parts=24)
    footage, said = live(config)
    return config, footage, said


def test_a_live_run_recorded_and_replayed_says_the_same_to_the_bit(
    recorded: tuple[StationConfig, Footage, list[Inspection]],
) -> None:
    config, footage, said = recorded
    assert len(said) == 24
    assert len({it.verdict.evaluation for it in said}) >= 2, "a run in which all parts are alike shows nothing"
    first = replay_footage(footage, recipe_of(config), config, jobs=1)
    assert first.inspected == 24
    hold_against(said, first)
    assert first.known.agreed == {it.part.part_id: it.part.truth for it in said}
    again = replay_footage(Footage.open(footage.folder), recipe_of(config), config, jobs=1)
    assert again.inspected == 0
    hold_against(said, again)


def test_other_limits_ask_the_model_nothing_and_say_what_the_inspector_would(
    recorded: tuple[StationConfig, Footage, list[Inspection]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config, footage, _ = recorded
    replay_footage(footage, recipe_of(config), config, jobs=1)
    data = recipe_of(config).model_dump(mode="json")
    for kind in data["classes"]:
        kind |= {"pass_below": 0.05, "fail_above": 0.5, "min_area_px": 200.0}
    data["ignore"] = [{"xyxy": [0.0, 0.0, 0.5, 0.5], "why": "a test"}]
    strict = Recipe.model_validate(data)
    asked = StationConfig(models=config.models, footage=tmp_path / "none")
    elsewhere = Tools(strict, asked.models, 1)
    work = [FromFootage(footage.folder, p, k) for k, p in enumerate(footage.parts, start=1)]
    inspected = [o.inspection.verdict for o in inspect_all(work, elsewhere, jobs=1)]
    monkeypatch.setattr("station.crew.open_detector", lambda *_: pytest.fail("the model was opened"))
    result = replay_footage(footage, strict, config, jobs=1)
    assert result.inspected == 0
    assert [result.table.verdict(k, result.rules) for k in range(len(work))] == inspected
    assert result.differs()[0] == 0, "recorded under another recipe: there is nothing to compare"


def test_workers_say_what_one_process_says_and_keep_the_order(
    recorded: tuple[StationConfig, Footage, list[Inspection]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, footage, said = recorded
    monkeypatch.setattr("station.crew.SMALL", 2)
    tools = Tools(recipe_of(config), config.models, 1)
    work = [FromFootage(footage.folder, p, k) for k, p in enumerate(footage.parts, start=1)]
    outcomes = list(inspect_all(work, tools, jobs=2))
    assert [o.inspection.part.part_id for o in outcomes] == [it.part.part_id for it in said]
    assert [o.inspection.verdict for o in outcomes] == [it.verdict for it in said]
    assert [o.inspection.detections for o in outcomes] == [it.detections for it in said]
    assert all(o.inspection.part.image is None for o in outcomes)


def test_a_replay_cut_off_goes_on_where_it_stopped(
    recorded: tuple[StationConfig, Footage, list[Inspection]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, footage, said = recorded
    monkeypatch.setattr("station.footage_replay.FOLDER", f".scores-{tmp_path.name}")

    def until_ten(done: int) -> None:
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay_footage(footage, recipe_of(config), config, jobs=1, progress=until_ten)
    counted: list[int] = []
    result = replay_footage(footage, recipe_of(config), config, jobs=1, progress=counted.append)
    assert result.inspected == 14
    assert counted[0] == 10
    hold_against(said, result)


def test_a_cache_that_says_otherwise_than_the_inspector_stops_the_replay(
    recorded: tuple[StationConfig, Footage, list[Inspection]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, footage, _ = recorded
    monkeypatch.setattr("station.footage_replay.FOLDER", f".scores-{tmp_path.name}")
    add = ScoreCache.add

    def wrong(self: ScoreCache, sha256: str, found: object, size: tuple[int, int]) -> None:
        from station.core.part import Detections

        add(self, sha256, Detections((), dict.fromkeys(self.classes, 0.0)), size)

    monkeypatch.setattr(ScoreCache, "add", wrong)
    with pytest.raises(StationError, match="the inspector says"):
        replay_footage(footage, recipe_of(config), config, jobs=1)


def test_a_picture_changed_or_gone_is_held_and_found_by_the_check(tmp_path: Path) -> None:
    config = station(tmp_path, parts=1)
    for n in range(3):
        save(tmp_path / "set" / f"{n}.png", picture(n))
    from station.core.timing import ManualClock

    bring_in(tmp_path / "set", config.footage / "set", by="a test", clock=ManualClock())
    footage = Footage.open(config.footage / "set")
    assert footage.faults() == []
    save(footage.folder / "pictures" / "1.png", picture(9))
    (footage.folder / "pictures" / "2.png").unlink()
    result = replay_footage(footage, recipe_of(config), config, jobs=1)
    said = {p["part_id"]: p for p in result.to_dict()["parts"]}
    assert said["0.png"]["verdict"] != "UNDEFINED"
    assert (said["1.png"]["verdict"], said["2.png"]["verdict"]) == ("UNDEFINED", "UNDEFINED")
    assert "changed" in said["1.png"]["reason"]
    assert "missing" in said["2.png"]["reason"]
    assert [f.split(":")[0] for f in footage.faults()] == ["1.png", "2.png"]
    save(footage.folder / "pictures" / "1.png", picture(1))  # restored: it is looked at again
    again = {
        p["part_id"]: p["verdict"]
        for p in replay_footage(footage, recipe_of(config), config, jobs=1).to_dict()["parts"]
    }
    assert again["1.png"] != "UNDEFINED"


def test_imported_frames_are_watched_as_the_loop_watches_them(tmp_path: Path) -> None:
    config = station(tmp_path, parts=1)
    product = config.recipes / "demo-disc.toml"
    product.write_text(product.read_text() + "\n[health]\nwidth = 200\n")
    save(tmp_path / "set" / "black.png", np.zeros((64, 200, 3), np.uint8))
    save(tmp_path / "set" / "good.png", picture(1))
    save(tmp_path / "set" / "wide.png", picture(2, width=208))
    (tmp_path / "set" / "words.jpg").write_text("no picture")
    from station.core.timing import ManualClock
    from station.replay import replay

    bring_in(tmp_path / "set", config.footage / "set", by="a test", clock=ManualClock())
    for _ in range(2):  # the second time from what is kept
        kept = replay(config.footage / "set", config, "demo-disc", jobs=1).to_dict()["parts"]
        loop = replay(tmp_path / "set", config, "demo-disc", database=tmp_path / f"{_}.db").to_dict()["parts"]
        straight = replay(tmp_path / "set", config, "demo-disc", jobs=1).to_dict()["parts"]
        says = [
            [(p["source"], p["verdict"], p["reason"], p["scores"], p["boxes"]) for p in ps]
            for ps in (kept, loop, straight)
        ]
        assert says[0] == says[1] == says[2]
        assert "wrong size: 208 x 240" in kept[-2]["reason"], "only the watch over whole frames knows that"


def test_square_millimetres_are_those_of_the_recording(
    recorded: tuple[StationConfig, Footage, list[Inspection]],
) -> None:
    config, footage, _ = recorded
    data = recipe_of(config).model_dump(mode="json")
    data["classes"][0]["min_area_mm2"] = 2.0
    product = Recipe.model_validate(data)
    with pytest.raises(ConfigError, match="scratch: min_area_mm2 needs the scale"):
        replay_footage(footage, product, config, jobs=1)
    scaled = Footage(footage.folder, replace(footage.about, mm_per_px=0.1), footage.parts)
    result = replay_footage(scaled, product, config, jobs=1)
    assert result.rules.counts["scratch"].min_area_px == pytest.approx(200.0)


def test_the_summary_counts_and_can_be_written(recorded: tuple[StationConfig, Footage, list[Inspection]]) -> None:
    config, footage, said = recorded
    result = replay_footage(footage, recipe_of(config), config, jobs=1)
    summary = json.loads(json.dumps(result.to_dict()))["summary"]
    assert summary["parts"] == sum(summary["verdicts"].values()) == 24
    assert summary["as_live"] == {"recorded": 24, "compared": 24, "differ": 0, "differ_keys": []}
    assert summary["inspected"] + summary["from_cache"] == 24
    known = summary["labelled"]
    assert known["good"] == sum(it.part.truth == "ok" for it in said)
    assert known["missed"] == sum(it.part.truth != "ok" and it.verdict.evaluation == "OK" for it in said)
    assert cache_root(footage).is_dir()


def test_a_verdict_of_then_that_differs_is_named(recorded: tuple[StationConfig, Footage, list[Inspection]]) -> None:
    config, footage, _ = recorded
    part = footage.parts[3]
    assert part.said is not None
    other = "OK" if part.said.verdict != "OK" else "NOT_OK"
    lied = [replace(p, said=replace(p.said, verdict=other)) if p is part and p.said else p for p in footage.parts]
    result = replay_footage(Footage(footage.folder, footage.about, lied), recipe_of(config), config, jobs=1)
    assert result.summary()["as_live"]["differ_keys"] == [part.key]


def test_a_worker_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from station.core.errors import ModelRefused
    from tests.builders import part

    monkeypatch.setattr("station.crew.SMALL", 1)
    tools = Tools(load_recipe("demo-disc", ROOT / "calibration" / "recipes"), tmp_path / "no-models", 1)
    with pytest.raises(ModelRefused, match="no model 'demo-disc/1'"):
        list(inspect_all([part(1), part(2)], tools, jobs=2))


def test_parts_of_any_source_go_through_the_crew_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.builders import part

    tools = Tools(load_recipe("bolt", ROOT / "calibration" / "recipes"), ROOT / "models", 1)
    found: list[Outcome] = list(inspect_all([part(n) for n in range(1, 6)], tools, jobs=1))
    assert [o.inspection.part.number for o in found] == [1, 2, 3, 4, 5]
    assert {o.inspection.verdict.evaluation.value for o in found} == {"NOT_DECIDABLE"}


@pytest.mark.long
def test_two_thousand_parts_live_and_replayed_0_verdicts_differ(tmp_path: Path) -> None:
    config = station(tmp_path, parts=2_000)
    footage, said = live(config)
    assert len(said) == 2_000
    result = replay_footage(footage, recipe_of(config), config)
    assert result.inspected == 2_000
    hold_against(said, result)
    again = replay_footage(footage, recipe_of(config), config)
    assert again.inspected == 0
    hold_against(said, again)
