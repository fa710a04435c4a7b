"""inspection-station: a person-in-the-loop visual inspection station.

The way of a part::

    source ──> trigger ──> detector ──> decision ──> store ──> line ──────────> released
     camera     which       candidate     Verdict     ledger    RELEASE or HOLD
     footage    frame       defects       with a      row and      │ HOLD
     simulator  shows a     (scores,      reason      image        v
                part        boxes)                    first      review ──> store ──> line ──> released,
                                                                 a person   label +   settle   rejected,
                                                                 answers    crop               rework
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
