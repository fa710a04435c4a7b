"""Is the README true? Every command and option in it exists, every link and path leads somewhere."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
TOP_FOLDERS = ("station/", "models/", "calibration/", "tests/", "scripts/", ".ci/")
MADE_LATER = ("build/", "dist/", "var/", ".venv")
SEPARATORS = {"|", "&&", "||", ";", "&", ">", ">>", "2>", "<"}

FENCE = re.compile(r"^(```+|~~~+)[^\n]*\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|(?:src|href)=\"([^\"]+)\"")
CODE_SPAN = re.compile(r"`([^`\n]+)`")


def text_of(name: str) -> str:
    path = ROOT / name
    if not path.is_file():
        pytest.skip(f"{name} is not written yet")
    text = path.read_text(encoding="utf-8")
    if len(text.splitlines()) < 5:
        pytest.skip(f"{name} is only a heading yet")
    return text


def command_tree() -> Any:
    if importlib.util.find_spec("station.cli") is None:
        pytest.skip("station.cli is not written yet")
    import typer.main

    from station.cli import app

    return typer.main.get_command(app)


def command_lines(text: str) -> list[list[str]]:
    """Returns the station's command lines in the fenced blocks, as words after ``station``.

    ``scripts/demo.py`` hands its arguments to ``station demo`` and counts as such.
    """
    found = []
    for block in FENCE.findall(text):
        for line in block[1].replace("\\\n", " ").splitlines():
            line = line.strip().removeprefix("$ ").removeprefix("> ")
            try:
                words = shlex.split(line, comments=True)
            except ValueError:
                continue  # prose or a drawing, no command line
            while words and re.fullmatch(r"[A-Z_][A-Z0-9_]*=.*", words[0]):
                words = words[1:]
            for at, word in enumerate(words):
                if word in SEPARATORS:
                    words = words[:at]
                    break
            if not words:
                continue
            program = re.split(r"[/\\]", words[0])[-1].removesuffix(".exe")
            if program == "station":
                found.append(words[1:])
            elif program.startswith("python") and words[1:3] == ["-m", "station"]:
                found.append(words[3:])
            elif program.startswith("python") and words[1:2] == ["scripts/demo.py"]:
                found.append(["demo", *words[2:]])
    return found


def wrong_with(command: Any, words: list[str]) -> str | None:
    """Follows the words through the commands; returns what the program does not know, or ``None``."""
    line = " ".join(["station", *words])
    options = {"--help"}
    while True:
        takes_value = {}
        for parameter in command.params:
            for name in [*parameter.opts, *parameter.secondary_opts]:
                takes_value[name] = not getattr(parameter, "is_flag", False)
        options = {"--help", *takes_value}
        rest = list(words)
        words = []
        while rest:
            word = rest.pop(0)
            if word.startswith("-") and word != "-":
                name, _, value = word.partition("=")
                if name not in options:
                    return f"{line}: no option {name}"
                if takes_value.get(name) and not value and rest:
                    rest.pop(0)
                continue
            if hasattr(command, "commands"):
                if word not in command.commands:
                    return f"{line}: no command {word}"
                command, words = command.commands[word], rest
                break
        else:
            return None


def test_every_command_in_the_readme_exists():
    text = text_of("README.md")
    tree = command_tree()
    lines = command_lines(text)
    assert lines, "the README shows no command: is the pattern still right?"
    assert [fault for fault in (wrong_with(tree, words) for words in lines) if fault] == []


def test_an_unknown_command_or_option_would_be_found():
    tree = command_tree()
    name = next(iter(tree.commands))
    text = (
        f"```bash\n$ station {name} --no-such-option 3  # a note\nVAR=1 python -m station no-such-command | cat\n```\n"
    )
    faults = [wrong_with(tree, words) for words in command_lines(text)]
    assert faults == [
        f"station {name} --no-such-option 3: no option --no-such-option",
        "station no-such-command: no command no-such-command",
    ]
    assert wrong_with(tree, [name, "--help"]) is None


def missing_links(text: str, folder: Path) -> list[str]:
    """Returns the relative links and pictures that lead nowhere."""
    prose = FENCE.sub("", text)
    targets = [first or second for first, second in LINK.findall(prose)]
    missing = []
    for target in targets:
        path = target.split("#")[0]
        if re.match(r"[a-z]+:", target) or not path:
            continue
        if not (folder / path).exists():
            missing.append(target)
    return missing


def missing_paths(text: str) -> list[str]:
    """Returns the paths of this repository, written as code or in a command, that do not exist."""
    words = [word for span in CODE_SPAN.findall(FENCE.sub("", text)) for word in span.split()]
    # What follows --to is written by the command, so it need not be there.
    words += [word for block in FENCE.findall(text) for word in re.sub(r"--to \S+", "", block[1]).split()]
    missing = []
    for word in words:
        path = word.strip("\"'`,;:()").removeprefix("./").removesuffix(".")
        if not path.startswith(TOP_FOLDERS) or path.startswith(MADE_LATER):
            continue
        path = path.split("::")[0]
        if any(sign in path for sign in "<>{}$…"):
            continue  # a place-holder
        if not (any(ROOT.glob(path)) if "*" in path else (ROOT / path).exists()):
            missing.append(path)
    return missing


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name: str):
    assert missing_links(text_of(name), ROOT) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_path_named_exists(name: str):
    assert missing_paths(text_of(name)) == []


def test_a_dead_link_or_path_would_be_found():
    text = "See [here](no/where.md#part), `station/no_such.py` and ![](no.png), not [there](https://example.org).\n"
    assert missing_links(text, ROOT) == ["no/where.md#part", "no.png"]
    assert missing_paths(text) == ["station/no_such.py"]
    assert missing_paths("`models/<name>/card.toml` and `station/*.py`") == []
