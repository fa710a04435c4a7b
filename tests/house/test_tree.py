"""Is the tree the one that was agreed: its top level, its sizes, its module names, its docstrings?"""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MB = 1_000_000

TOP_LEVEL = {
    "pyproject.toml", "README.md", "station", "models", "calibration", "tests", "scripts",
    "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md",
}  # fmt: skip
NAMELESS = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
"""Names that answer no question: whatever is put there could be anything."""

MODULES = sorted((ROOT / "station").rglob("*.py"))


def tracked() -> list[Path]:
    """Returns the files in git and those about to be: what is neither ignored nor removed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    except FileNotFoundError:
        pytest.skip("git is not installed: what belongs to the tree is not known")
    if done.returncode:
        pytest.skip("not a git checkout: what belongs to the tree is not known")
    names = [Path(name) for name in done.stdout.split("\0") if name]
    return [name for name in names if (ROOT / name).is_file()]


def test_the_top_level_is_the_agreed_one():
    names = {path.parts[0] for path in tracked()}
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL


def test_no_file_is_large():
    large = {}
    for path in tracked():
        size = (ROOT / path).stat().st_size
        if size > (5 * MB if path.parts[0] == "models" else MB):
            large[path.as_posix()] = size
    assert large == {}


def test_the_package_is_there():
    assert len(MODULES) > 20, "the checks below would pass on nothing"


@pytest.mark.parametrize("path", MODULES, ids=[path.relative_to(ROOT).as_posix() for path in MODULES])
def test_a_module_says_what_it_answers(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstring = ast.get_docstring(tree, clean=False)
    assert docstring is not None, "no docstring"
    assert docstring.splitlines()[0].strip(), "the docstring's first line is empty"
    name = path.parent.name if path.stem == "__init__" else path.stem
    assert name not in NAMELESS
    relative = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    assert relative == [], "relative import"


def test_every_folder_of_tests_is_a_package():
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py") if "__pycache__" not in path.parts}
    assert sorted(str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists()) == []
