"""Do the import contracts hold, and does each of them notice when it is broken?"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# One violation for each contract, planted in a copy: the contract's name, the file, what it says.
PLANTS = [
    ("rooms: one direction", "core/planted.py", "import station.decision"),
    ("rooms: one direction", "store/planted.py", "import station.loop"),
    ("rooms: one direction", "loop.py", "import station.panel"),
    ("rooms: one direction", "registry.py", "def late() -> None:\n    import station.recipe"),
    ("rooms: one direction", "homeless.py", "import station.core"),
    ("gradio: only in panel", "core/planted.py", "import gradio"),
    ("onnxruntime: only in detector", "core/planted.py", "from onnxruntime import InferenceSession"),
    ("database libraries: only in store", "core/planted.py", "from sqlmodel import Session"),
    ("database libraries: only in store", "review.py", "import sqlalchemy.exc"),
    ("training libraries: only in training", "detector/planted.py", "import onnx"),
    ("training libraries: only in training", "registry.py", "def late() -> None:\n    import torch"),
    ("terminal libraries: only in cli", "build.py", "import typer"),
    ("terminal libraries: only in cli", "core/planted.py", "import rich.console"),
    ("sources: drivers are strangers to one another", "sources/folder.py", "import station.sources.video"),
    ("sources: drivers are strangers to one another", "sources/pictures.py", "import station.sources.folder"),
    ("sources: drivers are strangers to one another", "sources/planted.py", "import station.core"),
    ("line: drivers are strangers to one another", "line/planted.py", "import station.line.unattended"),
    ("sim: out of reach of the way of a part", "inspection.py", "import station.sim"),
    ("sim: out of reach of the way of a part", "panel/planted.py", "import station.sim.world"),
]


def contract_names() -> list[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [contract["name"] for contract in settings["tool"]["importlinter"]["contracts"]]


def verdicts(root: Path) -> tuple[dict[str, str], str]:
    """Runs the import linter on the package in `root`: each contract's KEPT or BROKEN, and the whole text."""
    code = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command as go; go()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--no-cache", "--no-logo"],
        cwd=root,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={"COLUMNS": "200", "PATH": "", "PYTHONIOENCODING": "utf-8"},
    )
    output = done.stdout + done.stderr
    found = {}
    for line in output.splitlines():
        for name in contract_names():
            if line.startswith(f"{name} ") and line.split(" (")[0].endswith(("KEPT", "BROKEN")):
                found[name] = line.split(" (")[0].rsplit(" ", 1)[1]
    assert set(found) == set(contract_names()), output
    assert (done.returncode != 0) == ("BROKEN" in found.values()), output
    return found, output


def copy(target: Path) -> Path:
    shutil.copytree(ROOT / "station", target / "station", ignore=shutil.ignore_patterns("__pycache__", "static"))
    shutil.copy(ROOT / "pyproject.toml", target)
    return target


def test_every_contract_holds():
    found, output = verdicts(ROOT)
    assert set(found.values()) == {"KEPT"}, output


def test_every_contract_has_a_planted_violation():
    assert {name for name, _, _ in PLANTS} == set(contract_names())


@pytest.mark.parametrize(("name", "file", "text"), PLANTS, ids=[f"{name} | {file}" for name, file, _ in PLANTS])
def test_a_planted_violation_breaks_its_contract(name: str, file: str, text: str, tmp_path: Path):
    root = copy(tmp_path)
    planted = root / "station" / file
    with planted.open("a", encoding="utf-8") as handle:
        handle.write(f"\n{text}\n")
    found, output = verdicts(root)
    assert found[name] == "BROKEN", output
    # Named as the culprit, so that a contract which was broken already does not count as the plant found.
    assert f"station.{file.removesuffix('.py').replace('/', '.')}" in output.split("Broken contracts")[1], output
