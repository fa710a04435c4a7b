"""How do confirmed samples leave for training tools?

The stored crop bytes are written as they are; a manifest says where each came from and with which probability its
part was chosen; a split never divides a physical part::

    ledger ──samples, part by part──> split ──> form (coco | yolo | folder | csv) ──> new folder ──rename──> target
                                        └─────> manifest.json ──────────────────────────┘
"""

from __future__ import annotations

from station.export.forms import ExportFormat
from station.export.manifest import ExportReport
from station.export.split import Side, Splitter
from station.export.write import export_samples

__all__ = ["ExportFormat", "ExportReport", "Side", "Splitter", "export_samples"]
