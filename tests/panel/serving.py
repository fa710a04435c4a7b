"""Starts the panel as the station does: ``python -m tests.panel.serving FOLDER PORT``."""

from __future__ import annotations

import sys
from pathlib import Path

from station.panel.app import serve
from tests.panel.rehearsal import config

if __name__ == "__main__":
    serve(config(Path(sys.argv[1]), port=int(sys.argv[2])))
