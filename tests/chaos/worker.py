"""One life of a headless station, to be killed: ``python -m tests.chaos.worker FOLDER SEED PARTS MODELS RECIPES``.

Says ``running`` once its first part is recorded. Every answer the loop calls stored is noted in
``FOLDER/stored.keys`` right afterwards, so that whoever killed this process knows what must not be lost.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from station.config import ExchangeSettings, SimulatorSource, StationConfig, StoreSettings
from station.demo import run_headless


def main() -> int:
    """Runs until killed or the parts are through."""
    folder, seed, parts, models, recipes = sys.argv[1:]
    config = StationConfig(
        source=SimulatorSource(seed=int(seed), parts=int(parts), frames_per_s=0, defect_rate=0.4, speed_px=60),
        store=StoreSettings(folder=Path(folder), free_disk_mb=0),
        exchange=ExchangeSettings(port=0),
        models=Path(models),
        recipes=Path(recipes),
    )
    keys = os.open(Path(folder) / "stored.keys", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def stored(key: str) -> None:
        os.write(keys, f"{key}\n".encode())

    def progress(done: int) -> None:
        if done == 1:
            print("running", flush=True)

    summary = run_headless(config, progress=progress, on_stored=stored)
    return 0 if summary.sound else 1


if __name__ == "__main__":
    sys.exit(main())
