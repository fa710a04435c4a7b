"""Under which names may the panel be called? This machine's, the one it listens on, and those the station names."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from station.config import PanelSettings, StationConfig, StoreSettings
from station.panel.app import create_app
from station.panel.guard import LOCAL_NAMES, allowed_hosts


def test_every_address_is_no_name() -> None:
    assert allowed_hosts("0.0.0.0") == allowed_hosts("::") == allowed_hosts("127.0.0.1") == set(LOCAL_NAMES)
    assert allowed_hosts("0.0.0.0", ("", "::")) == set(LOCAL_NAMES)


def test_further_names_are_taken_whatever_their_case() -> None:
    assert allowed_hosts("0.0.0.0", ("Station4.Local", "fd00::4")) == {*LOCAL_NAMES, "station4.local", "fd00::4"}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("station4.local:7860", 200),
        ("STATION4.local", 200),
        ("10.0.0.4:7860", 200),
        ("[fd00::4]:7860", 200),
        ("localhost:7860", 200),
        ("station4.evil.example", 403),
        ("10.0.0.5:7860", 403),
        ("0.0.0.0:7860", 403),
    ],
)
def test_the_panel_answers_to_the_names_its_settings_give(tmp_path, host: str, status: int) -> None:  # type: ignore[no-untyped-def]
    config = StationConfig(
        store=StoreSettings(folder=tmp_path),
        panel=PanelSettings(host="0.0.0.0", hosts=("station4.local", "10.0.0.4", "fd00::4")),
    )
    with TestClient(create_app(config, pages=False)) as client:
        # A static file: who may see the rest is another question.
        assert client.get("/static/panel/panel.css", headers={"host": host}).status_code == status
