"""What the machine may do alone."""

from __future__ import annotations

import pytest

from station.core.errors import ReviewRefused, StationError
from station.core.verdict import Disposition, Evaluation, ModelRef
from tests.builders import inspection


@pytest.mark.parametrize("evaluation", list(Evaluation))
@pytest.mark.parametrize("audit", [False, True])
def test_the_machine_releases_a_passed_part_that_is_not_audited_and_holds_all_others(
    evaluation: Evaluation, audit: bool
) -> None:
    it = inspection(evaluation=evaluation, audit=audit)
    released = evaluation is Evaluation.OK and not audit
    assert it.disposition is (Disposition.RELEASE if released else Disposition.HOLD)


def test_a_model_is_named_by_name_and_version() -> None:
    assert str(ModelRef("disc", "3", "a" * 64)) == "disc/3"


def test_a_refusal_tells_the_panel_why() -> None:
    refused = ReviewRefused("taken", "berta is looking at it")
    assert isinstance(refused, StationError)
    assert (refused.code, str(refused)) == ("taken", "berta is looking at it")
