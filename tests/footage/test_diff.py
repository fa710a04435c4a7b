"""Are flips, work, overkill and misses counted as counting by hand does?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from station.core.part import Detections
from station.decision import judge
from station.footage.book import FootagePart
from station.footage.diff import diff
from station.footage.scores import columns_of
from station.footage.table import Rules, Table
from station.recipe import Limits
from tests.footage.builders import sha
from tests.footage.test_columns import LABELS, SIZE, found, limits_of

truth = st.none() | st.sampled_from(["ok", *LABELS])


def table_of(several: list[Detections], faults: list[str | None]) -> Table:
    parts = [
        FootagePart(f"p{n}", None, sha(n), None, SIZE[1], SIZE[0], "a test", "2026-01-01T00:00:00+00:00")
        for n in range(len(several))
    ]
    columns = columns_of(LABELS, [(sha(n), it, SIZE) for n, it in enumerate(several)])
    row = np.array([-1 if fault else n for n, fault in enumerate(faults)], np.int64)
    return Table(parts, columns, row, faults)


@given(
    st.lists(st.tuples(found(), truth, st.sampled_from([None, None, "black"])), min_size=1, max_size=8),
    limits_of(),
    limits_of(),
)
@settings(max_examples=150, deadline=None)
def test_a_diff_is_what_judging_every_part_twice_says(
    rows: list[tuple[Detections, str | None, str | None]], these: dict[str, Limits], those: dict[str, Limits]
) -> None:
    table = table_of([it for it, _, _ in rows], [fault for _, _, fault in rows])
    known = {f"p{n}": t for n, (_, t, _) in enumerate(rows) if t is not None}
    result = diff(table, table.judged(Rules(those, {})), table.judged(Rules(these, {})), known)
    flips, counted = [], Counter[str]()
    stops = {"review_load": [0, 0], "overkill": [0, 0], "misses": [0, 0]}
    for n, (it, said, fault) in enumerate(rows):
        pair = [judge(it, limits, {}, size=SIZE) for limits in (those, these)]
        verdicts = ["UNDEFINED", "UNDEFINED"] if fault else [v.evaluation.value for v in pair]
        if verdicts[0] != verdicts[1]:
            flips.append((f"p{n}", verdicts[0], verdicts[1]))
            counted[f"{pair[1].label or pair[0].label}: {verdicts[0]} -> {verdicts[1]}"] += 1
        for k, verdict in enumerate(verdicts):
            stops["review_load"][k] += verdict != "OK"
            stops["overkill"][k] += verdict != "OK" and said == "ok"
            stops["misses"][k] += verdict == "OK" and said not in (None, "ok")
    assert [(f.key, f.before, f.after) for f in result.flips] == flips
    assert result.counted == dict(counted)
    for name, total in (
        ("review_load", len(rows)),
        ("overkill", sum(t == "ok" for _, t, _ in rows)),
        ("misses", sum(t not in (None, "ok") for _, t, _ in rows)),
    ):
        change = getattr(result, name)
        if not total:
            assert (change.before, change.after) == (None, None)
            assert str(change) == "no labelled part to tell by"
        else:
            assert [change.before.count, change.after.count] == stops[name]
            assert change.before.total == change.after.total == total
    assert set(result.to_dict()) == {"flips", "counted", "review_load", "overkill", "misses"}


def test_a_recipe_without_a_model_leaves_the_healthy_to_people(tmp_path: Path) -> None:
    parts = table_of([Detections()] * 0, []).parts
    assert list(parts) == []
    some = [FootagePart(f"p{n}", None, sha(n), None, 9, 9, "a test", "x") for n in range(3)]
    table = Table(some, columns_of((), []), np.full(3, -1, np.int64), [None, "not inspected: black", None])
    judged = table.judged(Rules({}, {}))
    verdicts = [table.verdict(k, Rules({}, {})) for k in range(3)]
    assert [v.evaluation.value for v in verdicts] == ["NOT_DECIDABLE", "UNDEFINED", "NOT_DECIDABLE"]
    assert judged.code.tolist() == [1, 3, 1]
