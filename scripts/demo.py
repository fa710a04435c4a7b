"""Shows the station at work: ``python3 scripts/demo.py [options]`` on a machine with nothing but Python.

Makes the environment on the first run and hands over to ``station demo``, with its arguments and its exit code.
No ``from __future__ import annotations`` here: an old Python must get as far as the sentence that names the remedy.
"""

import os
import subprocess
import sys

import _python

_python.require()

import _setup  # noqa: E402  (only a Python that suits can read it)


def main() -> int:
    """Prepares, then becomes ``station demo``."""
    try:
        _setup.ensure()
    except _setup.SetupFault as fault:
        print(f"[setup] {fault}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("[setup] interrupted: the next run makes it good", file=sys.stderr)
        return 130
    python = str(_setup.bin_path(_setup.ROOT / ".venv", "python"))
    # -P: the folder this is called from stays out of the import path, whatever files lie in it.
    command = [python, "-P", "-m", "station", "demo", *sys.argv[1:]]
    sys.stdout.flush()
    if os.name != "nt":
        os.execv(python, command)  # the station takes this process over: Ctrl-C and the exit code are its own
    child = subprocess.Popen(command)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue  # the console sends Ctrl-C to the station too: it says good-bye, we wait for its code


if __name__ == "__main__":
    sys.exit(main())
