"""Can two loops write the same ledger? No, and the second is told so; a dead one does not stand in the way."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from station.core.errors import LedgerFault
from station.core.timing import SystemClock
from station.store.ledger import Ledger


def test_a_second_writer_is_refused_until_the_first_has_closed(tmp_path: Path) -> None:
    first = Ledger(tmp_path / "ledger.db", clock=SystemClock())
    with pytest.raises(LedgerFault, match="in use by another loop"):
        Ledger(tmp_path / "ledger.db", clock=SystemClock())
    other = Ledger(tmp_path / "other.db", clock=SystemClock())
    other.close()
    first.close()
    first.close()
    Ledger(tmp_path / "ledger.db", clock=SystemClock()).close()


def test_a_killed_writer_leaves_the_ledger_free(tmp_path: Path) -> None:
    words = (
        "import sys, time; from pathlib import Path; from station.core.timing import SystemClock; "
        "from station.store.ledger import Ledger; "
        "ledger = Ledger(Path(sys.argv[1]), clock=SystemClock()); print('open', flush=True); time.sleep(60)"
    )
    path = tmp_path / "ledger.db"
    other = subprocess.Popen([sys.executable, "-c", words, str(path)], stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"open\n"
    with pytest.raises(LedgerFault, match="in use"):
        Ledger(path, clock=SystemClock())
    other.send_signal(signal.SIGKILL)
    other.communicate()
    Ledger(path, clock=SystemClock()).close()


def test_a_file_that_cannot_be_opened_leaves_no_lock_behind(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"this is no database, not at all, but quite long enough to be one" * 20)
    with pytest.raises(LedgerFault, match="cannot open"):
        Ledger(path, clock=SystemClock())
    path.unlink()
    Ledger(path, clock=SystemClock()).close()
