"""The station's configuration: arguments over environment over file, unknown keys refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from station.config import CameraSource, FootageSource, SimulatorSource, StoreSettings, load_config
from station.core.errors import ConfigError


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(words: str, name: str = "station.toml") -> Path:
    path = Path(name)
    path.write_text(words, encoding="utf-8")
    return path


def test_without_a_file_the_defaults_are_a_simulated_line_on_this_machine_only() -> None:
    it = load_config()
    assert isinstance(it.source, SimulatorSource)
    assert it.panel.host == "127.0.0.1"
    assert it.store.database == Path("var/ledger.db")


def test_a_file_in_the_working_folder_is_taken_without_being_named() -> None:
    written('station = "ST07"')
    assert load_config().station == "ST07"


def test_a_named_file_is_read() -> None:
    path = written('[source]\nkind = "camera"\naddress = "0"', "other.toml")
    assert load_config(path).source == CameraSource(address="0")
    assert load_config().source == SimulatorSource()


def test_the_environment_wins_over_the_file_and_arguments_over_both(monkeypatch: pytest.MonkeyPatch) -> None:
    written('station = "FILE"\n[store]\nfolder = "file"\nfile = "books.db"')
    monkeypatch.setenv("STATION_STORE__FOLDER", "environment")
    monkeypatch.setenv("STATION_STATION", "ENV")
    it = load_config()
    assert (it.station, it.store.folder, it.store.file) == ("ENV", Path("environment"), "books.db")
    assert load_config(station="ARG").station == "ARG"
    footage = load_config(source=FootageSource(path=Path("parts"))).source
    assert footage == FootageSource(path=Path("parts"))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ('statoin = "ST01"', "statoin"),
        ('[store]\nfolders = "x"', "folders"),
        ('[store]\nfile = "../ledger.db"', "file"),
        ('[store]\nfile = "..\\\\ledger.db"', "file"),
        ('[store]\nfile = "ledger"', r"ends in \.db"),
        ('[store]\nfile = "people.db"', "holds the people"),
        ('[panel]\nhosts = ["station4:7860"]', "without port"),
        ('[panel]\nhosts = ["http://station4"]', "no host"),
        ('[panel]\nhosts = ["*"]', "no host"),
        ("[panel]\nsignout_minutes = -1", "signout_minutes"),
        ("[panel]\nsignout_minutes = inf", "signout_minutes"),
        ('[panel]\nlanguage = "German"', "language"),
        ("[store]\nimage_budget_mb = 0", "image_budget_mb"),
        ("[store]\nimage_budget_mb = nan", "image_budget_mb"),
        ('station = "ST 01"', "station"),
        ('station = "ST-01"', "station"),
        ("[panel]\nport = 70000", "port"),
        ('[source]\nkind = "magic"', "source"),
        ('[source]\nkind = "camera"', "address"),
        ("threads = 0", "threads"),
    ],
)
def test_a_wrong_or_unknown_setting_is_refused_by_name(words: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        load_config(written(words))


def test_a_missing_or_broken_file_is_said() -> None:
    with pytest.raises(ConfigError, match=r"no configuration file nowhere\.toml"):
        load_config(Path("nowhere.toml"))
    with pytest.raises(ConfigError, match="is not TOML"):
        load_config(written("station = "))


def test_everything_beside_a_ledger_carries_its_stem() -> None:
    it = load_config(written('[store]\nfolder = "var"\nfile = "line.4.db"')).store
    assert it.database == Path("var/line.4.db")
    assert {it.images, it.journal, it.drawing_key, it.door} == {
        Path("var") / name for name in ("line.4.images", "line.4.journal", "line.4.key", "line.4.door.json")
    }
    assert it.people == Path("var/people.db")


def test_another_ledger_is_named_by_its_path(tmp_path: Path) -> None:
    it = StoreSettings(free_disk_mb=7).at(Path("kept/tiles.db"))
    assert it.database == tmp_path / "kept" / "tiles.db"
    assert it.free_disk_mb == 7
    for name in ("tiles", "tiles.sqlite", ".db", "people.db"):
        with pytest.raises(ConfigError, match=name):
            StoreSettings().at(Path("kept") / name)


def test_the_panel_shows_names_and_signs_out_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    it = load_config().panel
    assert (it.show_names, it.signout_minutes, it.language, it.hosts) == (True, 30.0, "en", ())
    written('[panel]\nshow_names = false\nsignout_minutes = 0\nlanguage = "de"\nhosts = ["station4.local", "fd00::4"]')
    monkeypatch.setenv("STATION_PANEL__SIGNOUT_MINUTES", "2.5")
    it = load_config().panel
    assert (it.show_names, it.signout_minutes, it.language) == (False, 2.5, "de")
    assert it.hosts == ("station4.local", "fd00::4")
