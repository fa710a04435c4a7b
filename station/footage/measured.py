"""What do labels say of verdicts: how many defective parts passed, how many good ones stopped, of how many?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from station.calibration.rates import auroc, overkill_at
from station.footage.truth import OK


def measured(
    *, sources: Sequence[str], truths: Sequence[str], passed: NDArray[np.bool_], scores: NDArray[np.float64]
) -> dict[str, Any]:
    """Counts with their denominators, and the figures that hang on no limit.

    Args:
        sources: Name of each labelled part, ``n`` of them.
        truths: ``ok`` or a defect class.
        passed: The verdict was ``OK``, ``(n,)``.
        scores: Part score, ``(n,)``; NaN where the part was not inspected.
    """
    truth = np.array(truths, dtype=object)
    good, inspected = truth == OK, ~np.isnan(scores)
    missed = ~good & passed
    out: dict[str, Any] = {
        "good": int(good.sum()),
        "defective": int((~good).sum()),
        "not_inspected": int((~inspected).sum()),
        "missed": int(missed.sum()),
        "overkill": int((good & ~passed).sum()),
        "missed_sources": [sources[int(k)] for k in np.flatnonzero(missed)],
    }
    well, ill = scores[good & inspected], scores[~good & inspected]
    if well.size and ill.size:
        out |= {
            "auroc": round(auroc(well, ill), 4),
            "overkill_at_95": round(overkill_at(well, ill, detection=0.95), 4),
            "overkill_at_98": round(overkill_at(well, ill, detection=0.98), 4),
            "auroc_per_class": {
                label: round(auroc(well, scores[(truth == label) & inspected]), 4)
                for label in sorted({str(t) for t in truth[~good & inspected]})
            },
        }
    return out
