"""A loop with its door, and the panel's application in front of it, for tests without a browser."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.panel.rehearsal import Rehearsal


@pytest.fixture(autouse=True, scope="module")
def _no_loop_left_open() -> Iterator[None]:
    """Gradio opens an event loop when it is imported and one per page, and closes none of them."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with suppress(RuntimeError):  # there is none
            asyncio.get_event_loop_policy().get_event_loop().close()
        asyncio.set_event_loop(None)
        gc.collect()


@pytest.fixture
def rehearse(tmp_path: Path) -> Iterator[Callable[..., Rehearsal]]:
    """Makes running loops over ``tmp_path`` and ends them."""
    made: list[Rehearsal] = []

    def make(plan: str, *, held: int = 0, **given: Any) -> Rehearsal:
        made.append(Rehearsal(tmp_path, plan, **{"pictures": 3, **given}).start(held=held))
        return made[-1]

    yield make
    for stage in made:
        stage.close()
