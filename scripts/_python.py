"""Which Python runs the station? This one if it suits, else a suitable one found on PATH.

Read by interpreters that are too old to run anything else here: no ``from __future__ import annotations``
and no syntax newer than Python 3.6, so that such a machine gets a sentence and not a SyntaxError.
"""

import os
import shutil
import subprocess
import sys

OLDEST = (3, 11)
NEWEST = (3, 13)
NAMES = ("python3.13", "python3.12", "python3.11")
ANSWER_TIMEOUT_S = 20

REMEDY = (
    "The station needs Python 3.11, 3.12 or 3.13; this is {here} and no other was found on PATH.\n"
    "Install one (Debian 12: apt install python3 python3-venv; Windows: winget install Python.Python.3.13; "
    "macOS: brew install python@3.13) and run the same command again."
)


def suits(version):
    """Tells whether a version tuple is one the station is tested on."""
    return OLDEST <= tuple(version[:2]) <= NEWEST


def answers(command):
    """Asks an interpreter for its own path; ``None`` if it does not run or does not suit.

    A name on PATH proves nothing: version managers leave stand-ins there that only print an error.
    """
    code = "import sys; print('%d %d %s' % (sys.version_info[0], sys.version_info[1], sys.executable))"
    try:
        out = subprocess.check_output([*command, "-I", "-c", code], stderr=subprocess.DEVNULL, timeout=ANSWER_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):
        return None
    major, minor, path = out.decode(sys.getfilesystemencoding(), "replace").strip().split(" ", 2)
    return path if suits((int(major), int(minor))) else None


def candidates(windows=None):
    """Lists the commands worth asking, newest Python first."""
    found = [[path] for path in (shutil.which(name) for name in NAMES) if path]
    launcher = shutil.which("py") if (os.name == "nt" if windows is None else windows) else None
    if launcher:
        found += [[launcher, "-" + name[len("python") :]] for name in NAMES]
    return found


def find():
    """Finds another Python that suits; ``None`` if there is none."""
    for command in candidates():
        path = answers(command)
        if path:
            return path
    return None


def require():
    """Goes on in a Python that suits, with the same arguments; ends with the remedy if there is none."""
    if suits(sys.version_info):
        return
    here = "Python {}.{}".format(*sys.version_info[:2])
    path = find()
    if path is None:
        sys.exit(REMEDY.format(here=here))
    print("This is " + here + ": going on with " + path, flush=True)
    command = [path, *sys.argv]
    if os.name == "nt":
        # exec on Windows returns to the prompt at once and loses the exit code.
        sys.exit(subprocess.call(command))
    os.execv(path, command)
