"""Runs every check: ``python3 scripts/test.py [pytest arguments] [--long] [--no-train]``.

Prepares what is missing, runs the linters and then pytest, whose closing line is the last one printed.
No ``from __future__ import annotations`` here: an old Python must get as far as the sentence that names the remedy.
"""

import os
import subprocess
import sys
import time

import _python

_python.require()

import _setup  # noqa: E402  (only a Python that suits can read it)

VENV = _setup.ROOT / ".venv"


def checks() -> dict[str, list[str]]:
    """Returns the checks that come before pytest, each with its command line."""
    python = str(_setup.bin_path(VENV, "python"))
    return {
        "ruff check": [python, "-m", "ruff", "check", "--output-format", "concise", "."],
        "ruff format": [python, "-m", "ruff", "format", "--check", "--output-format", "concise", "."],
        "mypy --strict": [python, "-m", "mypy", "--strict", "station"],
        "lint-imports": [str(_setup.bin_path(VENV, "lint-imports")), "--no-logo"],
    }


def prepare(train: bool) -> None:
    """Makes the environment, and finds a browser for the panel's tests or says why there is none."""
    if _setup.venv_remedy():
        prefix = _setup.apt_prefix()
        if prefix is not None:
            package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
            _setup.say(f"installing the system package {package}")
            _setup.apt_install(prefix, package)
    stamp = _setup.ensure(frozenset({"dev", "train"} if train else {"dev"}))
    for reason in stamp.without if train else ():
        _setup.say(f"training tests will be skipped: {reason}")
    if _setup.find_browser() is None:
        reason = install_browser()
        if reason:
            _setup.say(f"browser tests will be skipped: {reason}")


def install_browser() -> str | None:
    """Installs the system's Chromium; returns the reason if there is still none."""
    prefix = _setup.apt_prefix()
    if prefix is None:
        return "no chromium on PATH, and this user cannot install it with apt-get"
    _setup.say("installing the system package chromium")
    reason = _setup.apt_install(prefix, "chromium")
    return reason or (None if _setup.find_browser() else "chromium is installed and still not on PATH")


def run_checks() -> list[str]:
    """Runs all checks, prints what failed in full and a line for each; returns the names that failed."""
    rows, failed = [], []
    for name, command in checks().items():
        began = time.monotonic()
        try:
            done = subprocess.run(
                command, cwd=_setup.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
            )
            code, output = done.returncode, done.stdout
        except OSError as fault:
            code, output = 1, f"{fault}\n"
        if code:
            failed.append(name)
            print(f"--- {name} ---\n{output.rstrip()}\n", flush=True)
        rows.append((name, "failed" if code else "ok", time.monotonic() - began))
    for name, outcome, seconds in rows:
        print(f"{name:<14} {outcome:<7} {seconds:6.1f} s", flush=True)
    return failed


def main(arguments: list[str]) -> int:
    """Runs everything; the exit code is 0 only if nothing failed."""
    train = "--no-train" not in arguments
    arguments = [argument for argument in arguments if argument != "--no-train"]
    try:
        prepare(train)
    except _setup.SetupFault as fault:
        print(f"[setup] {fault}", file=sys.stderr)
        return 2
    failed = run_checks()
    note = f"Failed before pytest: {', '.join(failed)}"
    if failed:
        print(note, file=sys.stderr, flush=True)
    # Tests ask nothing of the outside network; what phones home by default is told not to.
    quiet = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    pytest = [str(_setup.bin_path(VENV, "python")), "-m", "pytest", *in_place(arguments)]
    code = subprocess.call(pytest, cwd=_setup.ROOT, env={**quiet, **os.environ})
    if failed:
        print(note, file=sys.stderr, flush=True)
    return code or (1 if failed else 0)


def in_place(arguments: list[str]) -> list[str]:
    """Makes paths that were meant from the caller's folder absolute, as pytest is run from the root."""
    placed = []
    for argument in arguments:
        path, colons, test = argument.partition("::")
        here = os.path.abspath(path)
        placed.append(here + colons + test if not path.startswith("-") and os.path.exists(here) else argument)
    return placed


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
