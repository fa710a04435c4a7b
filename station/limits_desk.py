"""Who may draft, approve, withdraw and put limits in force, and when do they count? In the writing process only.

::

    draft ─> (approve, by a second person) ─> activate ─> in force ─> roll back: one step, always allowed
       └──────────> withdraw: never again

One act is one transaction: the event, and where a loop runs also the run that begins under the new limits. Only after
the commit does the loop judge by them; whatever dies before it leaves the old limits in force, whatever dies after it
the new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from station.core.errors import ConfigError, LimitsRefused
from station.limits import LimitsSet, limits_of, read_limits, widens
from station.limits_fit import check_certificate, check_diff, fitting
from station.recipe import Recipe
from station.store import limits as kept
from station.store.ledger import Ledger, RunStart
from station.store.limits import Act, Did, NewVersion, Past, Version


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an act left behind.

    Attributes:
        version: It was about this one; ``None``: the recipe file.
        event: Its id.
        in_force: The version in force now; ``None``: the limits of the recipe file.
    """

    version: int | None
    event: int
    in_force: int | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Turn:
    """How a running loop goes over to another recipe.

    Attributes:
        start: What is noted of the run that begins.
        former: The run that ends.
        done: Called with the new run's id after the commit; cannot fail.
    """

    start: RunStart
    former: int
    done: Callable[[int], None]


class Running(Protocol):
    """A loop that can go over to other limits between two parts."""

    def turn_to(self, recipe: Recipe, version: int | None) -> Turn:
        """Makes ready for a recipe; changes nothing yet.

        Raises:
            ConfigError: It cannot be inspected by.
        """
        ...


class LimitsDesk:
    """Limits over one ledger, for one recipe.

    Args:
        ledger: Where versions and events are kept.
        file: The recipe as it stands in its file.
        running: The loop that judges by it; ``None``: none runs.
        usable: Raises ``ConfigError`` for a recipe that this station cannot inspect by.

    Attributes:
        recipe: Name of the recipe.
    """

    def __init__(
        self,
        ledger: Ledger,
        file: Recipe,
        *,
        running: Running | None = None,
        usable: Callable[[Recipe], object] = lambda recipe: None,
    ) -> None:
        self.recipe = file.name
        self._ledger, self._file, self._running, self._usable = ledger, file, running, usable

    def past(self) -> Past:
        """Everything that was done with this recipe's limits."""
        return _past(self._ledger, self._file)

    def draft(
        self,
        act: Act,
        limits: object,
        *,
        base: int | None = None,
        diff: Mapping[str, Any] | None = None,
        certificate: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Writes limits down as a new version; nothing is in force by that.

        Args:
            act: Who, and why these limits.
            limits: Of every class: plain values, as ``LimitsSet`` reads them.
            base: The version they were derived from; ``None``: the recipe file.
            diff: What flips on which footage, as ``station diff`` writes it.
            certificate: As ``Certificate.to_dict`` writes it.

        Raises:
            LimitsRefused: They are no limits of this recipe, the base is unknown, or the certificate is for others.
        """
        given = read_limits(limits)
        recipe = self._fitting(given, self._file.model, "they")
        if diff is not None:
            check_diff(diff)
        if certificate is not None:
            check_certificate(certificate, recipe)
        with kept.writing(self._ledger, self._file.name) as book:
            done = _done_before(book.past, act, Did.DRAFTED)
            if done is not None:
                return done
            if base is not None and book.past.version(base) is None:
                raise _unknown(base, self._file)
            new = NewVersion(
                model=self._file.model,
                base=base,
                limits=given.to_dict(),
                diff=diff,
                certificate=certificate,
                widens=self._widens(book.past, given),
            )
            version, event = book.add_version(new, act)
            return Outcome(version, event, book.past.in_force)

    def approve(self, act: Act, version: int) -> Outcome:
        """Another person than its maker says that a version may be put in force.

        Raises:
            LimitsRefused: ``unknown``, ``withdrawn``, ``same_person``, or ``invalid``: approved already.
        """
        with kept.writing(self._ledger, self._file.name) as book:
            past, done = book.past, _done_before(book.past, act, Did.APPROVED, version)
            if done is not None:
                return done
            made = self._standing(past, version)
            if kept.same(made.made_by, act.person):
                raise LimitsRefused(
                    "same_person", f"{act.person} made version {version}: another person has to approve it"
                )
            if any(kept.same(act.person, who) for who in past.approvers(version)):
                raise LimitsRefused("invalid", f"{act.person} has approved version {version} already: activate it")
            event = book.add_event(Did.APPROVED, version, act)
            return Outcome(version, event, past.in_force)

    def withdraw(self, act: Act, version: int) -> Outcome:
        """Takes a version out of use for good; not the one in force.

        Raises:
            LimitsRefused: ``unknown``, ``withdrawn`` already, or ``in_force``.
        """
        with kept.writing(self._ledger, self._file.name) as book:
            past, done = book.past, _done_before(book.past, act, Did.WITHDRAWN, version)
            if done is not None:
                return done
            self._standing(past, version)
            if past.in_force == version:
                raise LimitsRefused("in_force", f"version {version} is in force: roll back first, then withdraw it")
            event = book.add_event(Did.WITHDRAWN, version, act)
            return Outcome(version, event, past.in_force)

    def activate(self, act: Act, version: int | None, *, without_diff: str | None = None) -> Outcome:
        """Puts a version in force: from the next part on where a loop runs, otherwise from the next start on.

        Args:
            act: Who, and why.
            version: Which; ``None``: the limits of the recipe file.
            without_diff: Why nobody looked at what flips, where the version has no diff.

        Raises:
            LimitsRefused: ``unknown``, ``withdrawn``, ``in_force`` already, ``does_not_fit`` the recipe, ``no_diff``
                and no reason why not, or ``not_approved`` although it widens automatic release.
        """
        with kept.writing(self._ledger, self._file.name) as book:
            past, done = book.past, _done_before(book.past, act, Did.ACTIVATED, version)
            if done is not None:
                return done
            made = None if version is None else self._standing(past, version)
            if past.in_force == version:
                raise LimitsRefused("in_force", f"{_named(version)} is in force already: nothing is to be done")
            given, recipe = self._target(made)
            if made is None or made.diff is None:
                if not without_diff or not without_diff.strip():
                    raise LimitsRefused(
                        "no_diff",
                        f"nobody has seen which parts flip under {_named(version)}: attach a decision diff when "
                        "drafting ('station diff'), or say why there is none",
                    )
                act = Act(act.key, act.person, f"{act.reason} (no decision diff: {without_diff.strip()})", act.via)
            wider = self._widens(past, given)
            if wider and (version is None or not past.approvers(version)):
                raise LimitsRefused("not_approved", self._words_of_approval(made))
            event = book.add_event(Did.ACTIVATED, version, act, widens=wider)
            take_up = self._next_run(book, recipe, version)
        take_up()  # only now: it is durable
        return Outcome(version, event, version)

    def roll_back(self, act: Act) -> Outcome:
        """One step back: to what was in force before the newest activation that still stands.

        Versions that were withdrawn since, or that do not fit the recipe any more, are passed over.

        Raises:
            LimitsRefused: ``nothing_to_roll_back``: the limits of the recipe file are in force.
        """
        with kept.writing(self._ledger, self._file.name) as book:
            past, done = book.past, _done_before(book.past, act, Did.ROLLED_BACK)
            if done is not None:
                return done
            step = self.step_back(past)
            if step is None:
                raise LimitsRefused(
                    "nothing_to_roll_back",
                    f"the limits of {self._file.name} are those of its recipe file: there is nothing to roll back",
                )
            version, given, recipe = step
            wider = self._widens(past, given)
            event = book.add_event(Did.ROLLED_BACK, version, act, widens=wider)
            take_up = self._next_run(book, recipe, version)
        take_up()
        return Outcome(version, event, version)

    def step_back(self, past: Past) -> tuple[int | None, LimitsSet, Recipe] | None:
        """What a rollback would put in force; ``None`` where there is nothing to roll back."""
        if not past.pile:
            return None
        for version in reversed(past.pile[:-1]):
            made = None if version is None else past.version(version)
            if version is not None and (made is None or past.withdrawn(version)):
                continue
            try:
                return version, *self._target(made)
            except LimitsRefused:
                continue
        return None, limits_of(self._file), self._file

    # ------------------------------------------------------------------ what the acts have in common

    def _next_run(self, book: kept.Writing, recipe: Recipe, version: int | None) -> Callable[[], None]:
        """Begins the run under the new limits; returns what has the loop judge by them, to be called once committed."""
        if self._running is None:
            return lambda: None
        try:
            turn = self._running.turn_to(recipe, version)
        except ConfigError as error:
            raise LimitsRefused("does_not_fit", str(error)) from error
        run_id = book.next_run(turn.former, turn.start)
        return lambda: turn.done(run_id)

    def _standing(self, past: Past, version: int) -> Version:
        made = past.version(version)
        if made is None:
            raise _unknown(version, self._file)
        if past.withdrawn(version):
            said = past.of(version, Did.WITHDRAWN)[0]
            raise LimitsRefused(
                "withdrawn",
                f"version {version} was withdrawn by {said.person} ({said.reason}): draft a new one instead",
            )
        return made

    def _target(self, made: Version | None) -> tuple[LimitsSet, Recipe]:
        if made is None:
            return limits_of(self._file), self._file
        given = read_limits(made.limits)
        return given, self._fitting(given, made.model, f"those of version {made.id}")

    def _fitting(self, given: LimitsSet, model: str | None, which: str) -> Recipe:
        return fitting(self._file, given, model, which, usable=self._usable)

    def _widens(self, past: Past, given: LimitsSet) -> bool:
        """Against what is in force; where that does not fit the recipe any more, nothing is proven: it may widen."""
        now = past.in_force
        made = None if now is None else past.version(now)
        if made is None:
            return widens(limits_of(self._file), given)
        if made.model != self._file.model:
            return True
        return widens(read_limits(made.limits), given)

    def _words_of_approval(self, made: Version | None) -> str:
        if made is None:
            return (
                "the limits of the recipe file release more than those in force: draft them as a version, "
                "have another person approve it, then activate that"
            )
        return (
            f"version {made.id} releases more than the limits in force and was made by {made.made_by}: "
            "have another person approve it first"
        )


def perform(desk: LimitsDesk, what: str, act: Act, given: Mapping[str, Any], *, recipe: str | None = None) -> Outcome:
    """One act as it is asked for from outside: ``draft``, ``approve``, ``withdraw``, ``activate`` or ``rollback``.

    Args:
        desk: Where.
        what: Which.
        act: Who and why.
        given: What it is about: ``version``, ``limits``, ``base``, ``diff``, ``certificate``, ``without_diff``.
        recipe: The recipe it is meant for, where the asker names one.

    Raises:
        LimitsRefused: It cannot be done, or is none of these.
    """
    version = given.get("version")
    if recipe not in (None, desk.recipe):
        raise LimitsRefused(
            "invalid", f"this station runs recipe {desk.recipe}, not {recipe}: stop it first, or name another ledger"
        )
    if what == "activate" and "version" not in given:
        raise LimitsRefused("invalid", "say which version to activate; null is the recipe file")
    if what in ("approve", "withdraw") and version is None:
        raise LimitsRefused("invalid", f"say which version to {what}: the recipe file is none")
    if version is not None and (not isinstance(version, int) or isinstance(version, bool)):
        raise LimitsRefused("invalid", f"{version!r} is no version: give its number")
    match what:
        case "draft":
            # Left out means derived from what is in force; null means from the recipe file.
            base = given["base"] if "base" in given else desk.past().in_force
            return desk.draft(
                act, given.get("limits"), base=base, diff=given.get("diff"), certificate=given.get("certificate")
            )
        case "approve":
            return desk.approve(act, int(given["version"]))
        case "withdraw":
            return desk.withdraw(act, int(given["version"]))
        case "activate":
            return desk.activate(act, version, without_diff=given.get("without_diff"))
        case "rollback":
            return desk.roll_back(act)
    raise LimitsRefused("invalid", f"limits cannot be {what!r}: draft, approve, withdraw, activate or rollback")


def _past(ledger: Ledger, file: Recipe) -> Past:
    with kept.writing(ledger, file.name) as book:
        return book.past


def _done_before(past: Past, act: Act, kind: Did, version: int | None = None) -> Outcome | None:
    """What the same act left behind, where it was sent before; ``None`` where it is new."""
    done = past.by_key(act.key)
    if done is None:
        return None
    if done.kind is not kind or (kind not in (Did.DRAFTED, Did.ROLLED_BACK) and done.version != version):
        raise LimitsRefused("invalid", "this key was used for another act: send a key of its own")
    return Outcome(done.version, done.id, past.in_force)


def _named(version: int | None) -> str:
    return "the recipe file" if version is None else f"version {version}"


def _unknown(version: int, file: Recipe) -> LimitsRefused:
    return LimitsRefused(
        "unknown", f"recipe {file.name} has no version {version} of its limits: 'station limits list' names them"
    )
