"""Who is there to play with? Five people for the demo, whose PINs everybody knows, and the sign-in page shows."""

from __future__ import annotations

from pathlib import Path

from station.store.people import People, Person, Role

DEMO_PEOPLE = (
    ("Mia", Role.INSPECTOR, "1111"),
    ("Tom", Role.INSPECTOR, "2222"),
    ("Eva", Role.ENGINEER, "3333"),
    ("Max", Role.ML, "4444"),
    ("Ada", Role.ADMIN, "5555"),
)
DEMO = "demo"


def ensure_demo_people(path: Path) -> bool:
    """Makes the demo's people in a ``people.db`` that has nobody yet; returns whether it did.

    Raises:
        PeopleFault: The file cannot be written.
    """
    people = People(path)
    try:
        return people.add_first(list(DEMO_PEOPLE), by=DEMO)
    finally:
        people.close()


def demo_secrets(everybody: list[Person]) -> list[tuple[str, str]]:
    """Names and PINs of those demo people who still have the PIN that everybody knows."""
    known = {name: pin for name, _, pin in DEMO_PEOPLE}
    return [
        (p.name, known[p.name]) for p in everybody if p.name in known and p.secret_by == DEMO and p.disabled_at is None
    ]
