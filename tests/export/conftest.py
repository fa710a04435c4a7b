"""One filled ledger for all tests that only read it."""

from __future__ import annotations

import pytest

from tests.export.builders import Filled, filled


@pytest.fixture(scope="session")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """Read only: tests that change it build their own."""
    return filled(tmp_path_factory.mktemp("station"))
