"""How does a bare machine get the station's own environment, once and not again?

``.venv`` beside ``pyproject.toml`` is made, filled and stamped. The stamp says what was installed, for which
Python, from which ``pyproject.toml``, at which place; while it still holds, nothing is done. A stamp is written
last and taken away first, so an interrupted installation is seen by the next run and made good.

Standard library only: this runs before anything is installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STAMP = "station-installed.json"
UNFINISHED = "station-unfinished"

TORCH = "torch==2.13.0"
"""Exactly this one, first and alone: a looser range lets the resolver wander to builds with GPU libraries."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LOCK_WAIT_S = 1800.0
LOCK_TURN_S = 0.5


class SetupFault(Exception):
    """The environment cannot be made; the message names the remedy."""


def say(message: str) -> None:
    """Tells in one line what is being done."""
    print(f"[setup] {message}", flush=True)


# --- the stamp --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stamp:
    """What an environment holds, and what it was made from."""

    root: str
    python: str
    pyproject_sha256: str
    extras: frozenset[str] = frozenset()
    without: tuple[str, ...] = ()  # asked for and not to be had, each with the reason

    def same_ground(self, other: Stamp) -> bool:
        """Tells whether both speak of the same place, Python and ``pyproject.toml``."""
        return (self.root, self.python, self.pyproject_sha256) == (other.root, other.python, other.pyproject_sha256)

    def missing(self, extras: frozenset[str]) -> frozenset[str]:
        """Returns the extras this environment lacks; one that was not to be had is not asked for again."""
        return extras - self.extras - {reason.split(":", 1)[0] for reason in self.without}

    def to_json(self) -> str:
        """Returns the stamp's text."""
        fields = {**self.__dict__, "extras": sorted(self.extras), "without": list(self.without)}
        return json.dumps(fields, indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> Stamp | None:
        """Reads a stamp; one that is absent or cannot be understood is no stamp."""
        try:
            raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{**raw, "extras": frozenset(raw["extras"]), "without": tuple(raw["without"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None


def pyproject_sha256(root: Path) -> str:
    """Returns the digest of ``pyproject.toml``'s content: a mere touch reinstalls nothing."""
    return hashlib.sha256((root / "pyproject.toml").read_bytes()).hexdigest()


# --- the environment --------------------------------------------------------------------------------------------------


def bin_path(venv: Path, name: str, *, windows: bool = os.name == "nt") -> Path:
    """Returns where an environment keeps a program."""
    return venv / "Scripts" / f"{name}.exe" if windows else venv / "bin" / name


def python_of(venv: Path, *, with_pip: bool = False) -> str | None:
    """Asks the environment's own Python for its version (``3.11.7``); ``None`` if it does not run.

    Args:
        venv: The environment's folder.
        with_pip: Also require that pip can be imported: slower, and only needed before an installation.
    """
    code = "import sys; print('%d.%d.%d' % sys.version_info[:3])"
    command = [str(bin_path(venv, "python")), "-I", *([] if with_pip else ["-S"]), "-c"]
    command.append("import pip, pip._internal.cli.main; " + code if with_pip else code)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def state_of(venv: Path) -> str:
    """Names an environment's state: ``absent``, ``half-made``, ``usable``."""
    if not venv.exists() and not venv.is_symlink():
        return "absent"
    if (venv / UNFINISHED).exists() or not (venv / "pyvenv.cfg").is_file():
        return "half-made"
    version = python_of(venv, with_pip=True)
    if version is None or not (3, 11) <= tuple(int(part) for part in version.split("."))[:2] <= (3, 13):
        return "half-made"
    return "usable"


def remove(venv: Path) -> None:
    """Removes an environment that cannot be mended.

    Raises:
        SetupFault: If what stands there is not an environment's folder, or it cannot be removed.
    """
    ours = {"pyvenv.cfg", UNFINISHED, "bin", "lib", "lib64", "include", "Scripts", "Lib", "Include"}
    if venv.is_symlink() or not venv.is_dir():
        raise SetupFault(f"{venv} is no folder of its own: move it away and run the same command again.")
    names = {path.name for path in venv.iterdir()}
    if names and not names & ours:
        raise SetupFault(f"{venv} holds other things than a Python environment: move it away and run again.")
    try:
        shutil.rmtree(venv)
    except OSError as fault:
        raise SetupFault(f"{venv} cannot be removed ({fault}): close what uses it, remove it, run again.") from fault


def venv_remedy() -> str | None:
    """Returns what to do where this Python cannot make environments; ``None`` if it can."""
    try:
        import ensurepip  # noqa: F401  (Debian packs it apart, with venv's missing half)
        import venv  # noqa: F401
    except ImportError:
        name = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        return f"This Python cannot make environments: install its venv module (Debian: apt install {name}), run again."
    return None


def make(venv: Path) -> None:
    """Makes an empty environment, marked unfinished.

    Raises:
        SetupFault: With the remedy, if this Python cannot.
    """
    remedy = venv_remedy()
    if remedy:
        raise SetupFault(remedy)
    venv.mkdir(parents=True, exist_ok=True)
    (venv / UNFINISHED).touch()
    # Inside an activated environment sys.executable is that one's, perhaps the very one just removed.
    maker = getattr(sys, "_base_executable", None) or sys.executable
    done = subprocess.run([maker, "-m", "venv", str(venv)], capture_output=True, text=True)
    if done.returncode:
        raise SetupFault(f"{venv} could not be made: {last_line(done.stderr or done.stdout)}")


@contextlib.contextmanager
def alone(wait_s: float = LOCK_WAIT_S, *, path: Path | None = None) -> Iterator[None]:
    """Holds the right to install, so that two runs at once do not fill one environment together.

    Locks this very file: it is always there, needs no cleaning up, and the system lets go when the process dies.

    Raises:
        SetupFault: If another run still installs after ``wait_s``.
    """
    with (path or Path(__file__)).open("rb") as handle:
        deadline = time.monotonic() + wait_s
        told = False
        while not _lock(handle.fileno()):
            if not told:
                say("another run is installing: waiting for it")
                told = True
            if time.monotonic() > deadline:
                raise SetupFault("Another run has been installing for too long: end it and run again.")
            time.sleep(LOCK_TURN_S)
        yield  # closing the file lets go of the lock


def _lock(fd: int) -> bool:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(fd, 1 << 30, os.SEEK_SET)  # far behind the end: the text stays readable to others
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# --- installing -------------------------------------------------------------------------------------------------------


def last_line(text: str) -> str:
    """Returns the last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["no message"])[-1]


def pip_command(venv: Path, *arguments: str) -> list[str]:
    """Returns the command line that installs with the environment's own pip."""
    quiet = ["--disable-pip-version-check", "--no-input", "--quiet"]
    return [str(bin_path(venv, "python")), "-m", "pip", "install", *quiet, *arguments]


def pip(venv: Path, *arguments: str) -> None:
    """Installs with the environment's own pip.

    Raises:
        SetupFault: With pip's own last error.
    """
    # Not the user's folder, wherever it is: a file named like a module there would be imported by pip.
    done = subprocess.run(pip_command(venv, *arguments), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise SetupFault(f"pip could not install {' '.join(arguments)}: {last_line(done.stderr)}")


def gpu_packages(report: dict[str, Any]) -> list[str]:
    """Returns the names in a pip report that only a GPU needs (several GB of them)."""
    names = [str(item["metadata"]["name"]).lower() for item in report.get("install", [])]
    return sorted(name for name in names if name.startswith(("nvidia-", "cuda-")))


def add_torch(venv: Path) -> str | None:
    """Installs the training library; returns the reason if it is not to be had, or only with GPU libraries."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "report.json"
            pip(venv, "--dry-run", "--report", str(path), TORCH, "numpy")
            gpu = gpu_packages(json.loads(path.read_text(encoding="utf-8")))
        if gpu:
            return (
                f"{TORCH} would bring {len(gpu)} GPU packages (several GB); "
                "point PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL at its CPU build"
            )
        pip(venv, TORCH, "numpy")
    except SetupFault as fault:
        return str(fault)
    return None


def requirement(root: Path, extras: frozenset[str]) -> str:
    """Returns the editable requirement for pip; a path with spaces is one argument and needs no quoting."""
    return f"{root}[{','.join(sorted(extras))}]" if extras else str(root)


def fill(venv: Path, extras: frozenset[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Installs the package with its extras; returns the extras it got and the ones not to be had, with reasons."""
    without: tuple[str, ...] = ()
    if "train" in extras:
        say(f"installing {TORCH} (a large download the first time)")
        reason = add_torch(venv)
        if reason:
            extras -= {"train"}
            without = (f"train: {reason}",)
    say(f"installing the station{' with ' + ', '.join(sorted(extras)) if extras else ''} (minutes the first time)")
    pip(venv, "--editable", requirement(ROOT, extras))
    return extras, without


def ensure(
    extras: frozenset[str] = frozenset(),
    *,
    root: Path = ROOT,
    filler: Callable[[Path, frozenset[str]], tuple[frozenset[str], tuple[str, ...]]] = fill,
) -> Stamp:
    """Makes sure that ``.venv`` holds the station with these extras, and does nothing if it does.

    Returns:
        The stamp of what is there.

    Raises:
        SetupFault: With the remedy.
    """
    venv = root / ".venv"
    stamp = holding(venv, root, extras)
    if stamp:
        return stamp
    with alone():
        stamp = holding(venv, root, extras)  # the run we waited for may have done it
        if stamp:
            return stamp
        began = time.monotonic()
        stamp = _install(venv, root, extras, filler)
        say(f"ready after {time.monotonic() - began:.0f} s")
        return stamp


def holding(venv: Path, root: Path, extras: frozenset[str]) -> Stamp | None:
    """Returns the stamp if it still holds and covers the extras, else ``None``."""
    stamp = Stamp.read(venv / STAMP)
    if stamp is None or stamp.missing(extras):
        return None
    now = Stamp(str(root), python_of(venv) or "none", pyproject_sha256(root))
    return stamp if stamp.same_ground(now) else None


def _install(
    venv: Path,
    root: Path,
    extras: frozenset[str],
    filler: Callable[[Path, frozenset[str]], tuple[frozenset[str], tuple[str, ...]]],
) -> Stamp:
    state = state_of(venv)
    before = Stamp.read(venv / STAMP) if state == "usable" else None
    if before and before.root != str(root):
        state = "copied from another place"  # its programs and its link to the sources point there
    if state not in ("absent", "usable"):
        say(f".venv is {state}: making it anew")
        remove(venv)
    if state != "usable":
        say(f"making .venv with Python {'.'.join(map(str, sys.version_info[:3]))}")
        make(venv)
    (venv / UNFINISHED).touch()
    (venv / STAMP).unlink(missing_ok=True)
    ground = Stamp(str(root), python_of(venv) or "none", pyproject_sha256(root))
    kept = before.extras if before and before.same_ground(ground) else frozenset()
    try:
        got, without = filler(venv, extras)
    except SetupFault:
        if state == "usable":
            (venv / UNFINISHED).unlink()  # pip ended by itself and said why: what was there before still works
        raise
    stamp = replace(ground, extras=got | kept, without=without)
    (venv / STAMP).write_text(stamp.to_json(), encoding="utf-8")
    (venv / UNFINISHED).unlink()
    return stamp


# --- what the system lends --------------------------------------------------------------------------------------------


def find_browser(which: Callable[[str], str | None] = shutil.which) -> str | None:
    """Returns the system's Chromium or a relative of it, if there is one."""
    return next((path for path in map(which, BROWSERS) if path), None)


def apt_prefix(
    *,
    debian: bool | None = None,
    root_user: bool | None = None,
    which: Callable[[str], str | None] = shutil.which,
    sudo_works: Callable[[], bool] | None = None,
) -> list[str] | None:
    """Returns what to put before ``apt-get`` so that it may install; ``None`` where we may not."""
    if debian is None:
        debian = Path("/etc/debian_version").exists()
    if not debian or not which("apt-get"):
        return None
    if root_user is None:
        root_user = hasattr(os, "geteuid") and os.geteuid() == 0
    if root_user:
        return []
    if which("sudo") and (sudo_works or _sudo_works)():
        return ["sudo", "-n"]
    return None


def _sudo_works() -> bool:
    return subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0


def apt_install(prefix: Sequence[str], package: str) -> str | None:
    """Installs one system package; returns the reason if that failed."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", package]):
        command = [*prefix, "apt-get", "-qq", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            return f"apt-get {arguments[0]}: {last_line(done.stderr)}"
    return None
