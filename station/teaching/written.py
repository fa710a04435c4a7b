"""What is written into a new product's recipe, and why does nothing pass with it at first?"""

from __future__ import annotations

import json
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from station.core.errors import ConfigError, DataRefused
from station.recipe import FreeRunSettings, PresenceSettings, Recipe

ANOMALY = "anomaly"
"""The one class of a product about which only good parts are known."""
_NAME = r"[a-z][a-z0-9-]{0,63}"


@dataclass(frozen=True, slots=True)
class Draft:
    """What the recipe of a new product says.

    Attributes:
        name: Of the product and its file.
        title: What people read.
        trigger: Which frame shows a part.
        why: Lines of comment: where the proposal comes from.
        model: <name>/<version>, or ``None``.
        size: Exact width and height of a frame, where fixed.
    """

    name: str
    title: str
    trigger: PresenceSettings | FreeRunSettings
    why: tuple[str, ...]
    model: str | None = None
    size: tuple[int, int] | None = None

    def recipe(self) -> Recipe:
        """The recipe itself.

        Raises:
            ConfigError: It is none.
        """
        try:
            return Recipe.model_validate(tomllib.loads(self.words()))
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3])
            raise ConfigError(f"recipe {self.name}: {faults}") from error

    def words(self) -> str:
        """The TOML file."""
        lines = [f"# {_one_line(line)}" for line in self.why]
        lines += [
            "#",
            "# NOTHING PASSES YET. pass_below = 0.0 sends every part before a person, because nobody knows how this",
            "# product's real defects score. Once some hundred parts are answered, mark or import them as footage",
            f"# (station footage import), run `station tune FOOTAGE --recipe {self.name}` and put its limits in force",
            "# (station limits draft, approve, activate), or write them here. Do not raise pass_below without that.",
            f"name = {_text(self.name)}",
            f"title = {_text(self.title)}",
        ]
        if self.model is not None:
            lines.append(f"model = {_text(self.model)}")
        else:
            lines.append(f"# No model yet: station recipe teach {self.name} --from PICTURES")
        lines += ["", "[trigger]", f'kind = "{self.trigger.kind}"']
        if isinstance(self.trigger, PresenceSettings):
            lines += [
                f"difference = {self.trigger.difference!r}",
                f"enter_area = {self.trigger.enter_area!r}",
                f"leave_area = {self.trigger.leave_area!r}",
            ]
        if self.size is not None:
            lines += ["", "[health]", f"width = {self.size[0]}", f"height = {self.size[1]}"]
        lines += [
            "",
            "[hold]",
            'mode = "stop"',
            "",
            "[[classes]]",
            f'name = "{ANOMALY}"',
            'title = "Something unusual"',
            'severity = "major"',
            "pass_below = 0.0",
            "fail_above = 1.0",
        ]
        return "\n".join(lines) + "\n"


def free_name(name: str, recipes: Path) -> Path:
    """The file that a new recipe of this name is written to.

    Raises:
        ConfigError: The name is none, or taken.
    """
    if not re.fullmatch(_NAME, name):
        raise ConfigError(f"{name!r} is no name for a recipe: small letters, digits and dashes, a letter first")
    path = recipes / f"{name}.toml"
    if path.exists():
        raise ConfigError(
            f"{path} exists and is never overwritten: choose another name, or teach it with 'station recipe teach "
            f"{name} --from PICTURES'"
        )
    return path


def write_new(path: Path, words: str) -> None:
    """Writes a recipe that was not there. One cut off half-way is refused when it is read: its last line is needed.

    Raises:
        DataRefused: It is there by now, or the disk refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:  # unlike a rename, this never takes another's place
            file.write(words)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise DataRefused(f"{path} appeared meanwhile and is not overwritten: choose another name") from error
    except OSError as error:
        raise DataRefused(f"{path} cannot be written ({error}): check the disk and the right to write") from error


def name_model(path: Path, model: str) -> None:
    """Puts ``model`` into a recipe that names none yet; all else in the file stays as it is.

    Raises:
        ConfigError: The recipe names a model, or would not be whole afterwards.
    """
    words = path.read_text(encoding="utf-8")
    before = tomllib.loads(words)
    if "model" in before:
        raise ConfigError(f"{path} names the model {before['model']!r}: write model = {_text(model)} there yourself")
    kept = re.sub(r"(?m)^# No model yet: station recipe teach .*\n", "", words)
    after, count = re.subn(r"(?m)^title\s*=.*$", lambda m: f"{m.group(0)}\nmodel = {_text(model)}", kept, count=1)
    try:
        whole = count == 1 and tomllib.loads(after) == {**before, "model": model}
    except tomllib.TOMLDecodeError:
        whole = False
    if not whole:
        raise ConfigError(f"{path} cannot be changed safely: write model = {_text(model)} above its first table")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(after, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error}): write model = {_text(model)} there") from error
    finally:
        temporary.unlink(missing_ok=True)


def _text(words: str) -> str:
    return json.dumps(words, ensure_ascii=False).replace("\x7f", "")


def _one_line(words: str) -> str:
    return "".join(c if c.isprintable() else " " for c in words)
