"""Does the set-up decide rightly what to install, with which Python and which browser? No network, no pip."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
POSIX = pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for a program")


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module(name)


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return script("_setup", monkeypatch)


@pytest.fixture
def python(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return script("_python", monkeypatch)


def program(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


# --- which Python -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "suits"),
    [((3, 10, 13), False), ((3, 11, 0), True), ((3, 12, 1), True), ((3, 13, 9), True), ((3, 14, 0), False)],
)
def test_the_pythons_that_suit(python: ModuleType, version: tuple[int, ...], suits: bool):
    assert python.suits(version) is suits


@POSIX
def test_a_stand_in_that_only_prints_an_error_is_passed_over(
    python: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    program(tmp_path, "python3.13", "echo 'python3.13: command not found' >&2; exit 127")
    program(tmp_path, "python3.12", "echo '3 10 /old/python'")
    program(tmp_path, "python3.11", "echo '3 11 /a path/python3.11'")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert python.find() == "/a path/python3.11"


def test_no_python_at_all(python: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert python.find() is None
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11, 3\.12 or 3\.13; this is Python 3\.9"):
        python.require()


def test_this_python_goes_on(python: ModuleType):
    python.require()


@pytest.mark.parametrize("name", ["_python.py", "demo.py", "test.py"])
def test_an_old_python_can_read_the_first_lines(name: str):
    """What an old Python reads before it is told the remedy holds nothing newer than 3.6."""
    import ast

    tree = ast.parse((SCRIPTS / name).read_text(encoding="utf-8"), feature_version=(3, 6))
    futures = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    assert futures == []
    newer = (ast.Match, ast.NamedExpr, ast.TryStar)
    assert not [node for node in ast.walk(tree) if isinstance(node, newer)]


# --- the stamp --------------------------------------------------------------------------------------------------------


class Installs:
    """A filler that installs nothing and counts."""

    def __init__(self, module: ModuleType, *, fails: bool = False, without: tuple[str, ...] = ()) -> None:
        self.module, self.fails, self.without = module, fails, without
        self.calls: list[frozenset[str]] = []

    def __call__(self, venv: Path, extras: frozenset[str]) -> tuple[frozenset[str], tuple[str, ...]]:
        self.calls.append(extras)
        assert (venv / self.module.UNFINISHED).exists()
        assert not (venv / self.module.STAMP).exists()
        if self.fails:
            raise self.module.SetupFault("no network")
        return extras - {reason.split(":")[0] for reason in self.without}, self.without


@pytest.fixture
def checkout(setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in a path with a space, whose environments are made at once and answer for themselves."""
    root = tmp_path / "a checkout"
    root.mkdir()
    (root / "pyproject.toml").write_text("[project]\n", encoding="utf-8")

    def make(venv: Path) -> None:
        venv.mkdir()
        (venv / setup.UNFINISHED).touch()
        (venv / "pyvenv.cfg").write_text("home = somewhere\n", encoding="utf-8")

    def answer(venv: Path, **_: bool) -> str | None:
        return "3.12.4" if (venv / "pyvenv.cfg").exists() and not (venv / "broken").exists() else None

    monkeypatch.setattr(setup, "make", make)
    monkeypatch.setattr(setup, "python_of", answer)
    return root


def test_a_second_run_installs_nothing(setup: ModuleType, checkout: Path):
    installs = Installs(setup)
    first = setup.ensure(root=checkout, filler=installs)
    assert setup.ensure(root=checkout, filler=installs) == first
    os.utime(checkout / "pyproject.toml", (1, 1))  # a touch changes nothing
    setup.ensure(root=checkout, filler=installs)
    assert len(installs.calls) == 1


def test_a_changed_pyproject_installs_again(setup: ModuleType, checkout: Path):
    installs = Installs(setup)
    setup.ensure(root=checkout, filler=installs)
    (checkout / ".venv" / "mine.txt").touch()
    (checkout / "pyproject.toml").write_text("[project]\nname = 'x'\n", encoding="utf-8")
    setup.ensure(root=checkout, filler=installs)
    assert len(installs.calls) == 2
    assert (checkout / ".venv" / "mine.txt").exists(), "the environment is kept"


def test_another_python_installs_again(setup: ModuleType, checkout: Path, monkeypatch: pytest.MonkeyPatch):
    installs = Installs(setup)
    setup.ensure(root=checkout, filler=installs)
    monkeypatch.setattr(setup, "python_of", lambda venv, **_: "3.13.0")
    assert setup.ensure(root=checkout, filler=installs).python == "3.13.0"
    assert len(installs.calls) == 2


def test_extras_add_up(setup: ModuleType, checkout: Path):
    installs = Installs(setup)
    setup.ensure(root=checkout, filler=installs)
    setup.ensure(frozenset({"dev"}), root=checkout, filler=installs)
    stamp = setup.ensure(frozenset({"train"}), root=checkout, filler=installs)
    assert stamp.extras == {"dev", "train"}
    setup.ensure(frozenset({"dev", "train"}), root=checkout, filler=installs)
    setup.ensure(root=checkout, filler=installs)
    assert installs.calls == [frozenset(), frozenset({"dev"}), frozenset({"train"})]


def test_what_is_not_to_be_had_is_said_and_not_tried_every_time(setup: ModuleType, checkout: Path):
    installs = Installs(setup, without=("train: no such wheel",))
    wanted = frozenset({"dev", "train"})
    assert setup.ensure(wanted, root=checkout, filler=installs).without == ("train: no such wheel",)
    again = setup.ensure(wanted, root=checkout, filler=installs)
    assert again.extras == {"dev"}
    assert again.without == ("train: no such wheel",)
    assert len(installs.calls) == 1


def test_a_copied_environment_is_made_anew(setup: ModuleType, checkout: Path, tmp_path: Path):
    setup.ensure(root=checkout, filler=Installs(setup))
    (checkout / ".venv" / "old.txt").touch()
    moved = tmp_path / "moved"
    shutil.copytree(checkout, moved)
    assert setup.ensure(root=moved, filler=Installs(setup)).root == str(moved)
    assert not (moved / ".venv" / "old.txt").exists()


@pytest.mark.parametrize("damage", ["interrupted", "no pyvenv.cfg", "broken", "an empty folder"])
def test_a_half_made_environment_is_made_good(setup: ModuleType, checkout: Path, damage: str):
    venv = checkout / ".venv"
    venv.mkdir()
    if damage != "an empty folder":
        (venv / "lib").mkdir()
        (venv / "lib" / "half.txt").touch()
    if damage in ("interrupted", "broken"):
        (venv / "pyvenv.cfg").touch()
    if damage == "interrupted":
        (venv / setup.UNFINISHED).touch()
    if damage == "broken":
        (venv / "broken").touch()
    setup.ensure(root=checkout, filler=Installs(setup))
    assert not (venv / "lib" / "half.txt").exists()
    assert not (venv / setup.UNFINISHED).exists()
    assert setup.Stamp.read(venv / setup.STAMP)


def test_a_failed_first_installation_leaves_no_stamp(setup: ModuleType, checkout: Path):
    with pytest.raises(setup.SetupFault, match="no network"):
        setup.ensure(root=checkout, filler=Installs(setup, fails=True))
    assert setup.state_of(checkout / ".venv") == "half-made"
    setup.ensure(root=checkout, filler=Installs(setup))


def test_a_failed_later_installation_keeps_the_environment(setup: ModuleType, checkout: Path):
    setup.ensure(root=checkout, filler=Installs(setup))
    (checkout / ".venv" / "mine.txt").touch()
    (checkout / "pyproject.toml").write_text("changed", encoding="utf-8")
    with pytest.raises(setup.SetupFault, match="no network"):
        setup.ensure(root=checkout, filler=Installs(setup, fails=True))
    installs = Installs(setup)
    setup.ensure(root=checkout, filler=installs)
    assert len(installs.calls) == 1, "it is tried again"
    assert (checkout / ".venv" / "mine.txt").exists()


def test_somebody_elses_folder_is_never_removed(setup: ModuleType, checkout: Path):
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "letters.txt").touch()
    with pytest.raises(setup.SetupFault, match="move it away"):
        setup.ensure(root=checkout, filler=Installs(setup))
    assert (checkout / ".venv" / "letters.txt").exists()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"root": 1, "extras": [], "without": [], "unknown": 2}', "\x00"])
def test_a_stamp_that_cannot_be_understood_is_none(setup: ModuleType, tmp_path: Path, text: str):
    (tmp_path / "stamp").write_text(text, encoding="utf-8")
    assert setup.Stamp.read(tmp_path / "stamp") is None


def test_two_runs_at_once_install_once(setup: ModuleType, checkout: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(setup, "LOCK_TURN_S", 0.01)
    started, installs = threading.Event(), Installs(setup)

    def slow(venv: Path, extras: frozenset[str]) -> tuple[frozenset[str], tuple[str, ...]]:
        started.set()
        time.sleep(0.2)
        return installs(venv, extras)

    first = threading.Thread(target=lambda: setup.ensure(root=checkout, filler=slow))
    first.start()
    assert started.wait(10)
    setup.ensure(root=checkout, filler=slow)
    first.join(10)
    assert len(installs.calls) == 1


def test_a_lock_that_never_comes_free_is_said(setup: ModuleType, tmp_path: Path):
    (tmp_path / "lock").touch()
    with (
        setup.alone(path=tmp_path / "lock"),
        pytest.raises(setup.SetupFault, match="too long"),
        setup.alone(0.0, path=tmp_path / "lock"),
    ):
        pass


# --- what is installed ------------------------------------------------------------------------------------------------


def test_a_path_with_spaces_is_one_argument(setup: ModuleType):
    assert setup.requirement(Path("/a b/c"), frozenset({"train", "dev"})) == f"{Path('/a b/c')}[dev,train]"
    assert setup.requirement(Path("/a b/c"), frozenset()) == str(Path("/a b/c"))


def test_torch_comes_first_and_alone(setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls: list[tuple[str, ...]] = []

    def pip(venv: Path, *arguments: str) -> None:
        calls.append(arguments)
        if "--report" in arguments:
            report = {"install": [{"metadata": {"name": "torch"}}, {"metadata": {"name": "numpy"}}]}
            Path(arguments[arguments.index("--report") + 1]).write_text(json.dumps(report), encoding="utf-8")

    monkeypatch.setattr(setup, "pip", pip)
    assert setup.fill(tmp_path, frozenset({"dev", "train"})) == (frozenset({"dev", "train"}), ())
    assert calls[0][0] == "--dry-run"
    assert calls[1] == ("torch==2.13.0", "numpy")
    assert calls[2][1].endswith("[dev,train]")


@pytest.mark.parametrize("gpu", [True, False])
def test_without_torch_the_rest_is_installed(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: bool
):
    calls: list[tuple[str, ...]] = []

    def pip(venv: Path, *arguments: str) -> None:
        calls.append(arguments)
        if "--report" in arguments:
            if not gpu:
                raise setup.SetupFault("no matching distribution")
            report = {"install": [{"metadata": {"name": "nvidia-cublas"}}, {"metadata": {"name": "torch"}}]}
            Path(arguments[arguments.index("--report") + 1]).write_text(json.dumps(report), encoding="utf-8")

    monkeypatch.setattr(setup, "pip", pip)
    extras, without = setup.fill(tmp_path, frozenset({"dev", "train"}))
    assert extras == {"dev"}
    assert ("GPU packages" if gpu else "no matching distribution") in without[0]
    assert without[0].startswith("train: ")
    assert calls[-1][1].endswith("[dev]")
    assert len(calls) == 2


def test_the_torch_that_is_pinned_satisfies_the_extra(setup: ModuleType):
    import tomllib

    from packaging.requirements import Requirement

    settings = tomllib.loads((SCRIPTS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [Requirement(line) for line in settings["project"]["optional-dependencies"]["train"]]
    torch = next(requirement for requirement in wanted if requirement.name == "torch")
    assert torch.specifier.contains(setup.TORCH.split("==")[1])


# --- what the system lends --------------------------------------------------------------------------------------------


def test_the_browser_is_looked_for_by_its_names(setup: ModuleType):
    there = {"google-chrome": "/opt/chrome", "chromium-browser": "/usr/bin/chromium-browser"}
    assert setup.find_browser(there.get) == "/usr/bin/chromium-browser"
    assert setup.find_browser({}.get) is None


@pytest.mark.parametrize(
    ("debian", "root", "programs", "sudo", "prefix"),
    [
        (True, True, {"apt-get"}, False, []),
        (True, False, {"apt-get", "sudo"}, True, ["sudo", "-n"]),
        (True, False, {"apt-get", "sudo"}, False, None),  # sudo would ask for a password
        (True, False, {"apt-get"}, True, None),
        (False, True, {"apt-get"}, True, None),
        (True, True, set(), True, None),
    ],
)
def test_who_may_install_system_packages(
    setup: ModuleType, debian: bool, root: bool, programs: set[str], sudo: bool, prefix: list[str] | None
):
    found = setup.apt_prefix(
        debian=debian,
        root_user=root,
        which=lambda name: f"/usr/bin/{name}" if name in programs else None,
        sudo_works=lambda: sudo,
    )
    assert found == prefix


def test_the_last_line_that_says_something(setup: ModuleType):
    assert setup.last_line("a\nERROR: no matching distribution\nnotice\n\n") == "ERROR: no matching distribution"
    assert setup.last_line("a\nb\n") == "b"
    assert setup.last_line("") == "no message"


# --- the scripts themselves -------------------------------------------------------------------------------------------


@POSIX
def test_the_demo_hands_over_its_arguments_and_exit_code(tmp_path: Path):
    """A prepared checkout in a path with a space, whose Python is a shell script that shows what it was given."""
    root = tmp_path / "a checkout"
    shutil.copytree(SCRIPTS, root / "scripts", ignore=shutil.ignore_patterns("__pycache__", "bench"))
    shutil.copy(SCRIPTS.parent / "pyproject.toml", root)
    venv = root / ".venv"
    (venv / "bin").mkdir(parents=True)
    answer = 'case "$*" in *version_info*) echo 3.12.4;; *) printf "<%s>" "$@"; exit 7;; esac'
    program(venv / "bin", "python", answer)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import _setup as s; from pathlib import Path\n"
        "ground = s.Stamp(str(s.ROOT), '3.12.4', s.pyproject_sha256(s.ROOT))\n"
        "(s.ROOT / '.venv' / s.STAMP).write_text(ground.to_json())"
    )
    subprocess.run([sys.executable, "-c", code, str(root / "scripts")], check=True)
    command = [sys.executable, str(root / "scripts" / "demo.py"), "--parts", "a b"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "<-P><-m><station><demo><--parts><a b>", done.stderr
    assert done.returncode == 7
