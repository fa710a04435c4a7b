"""Who may come in, who may not, and does the file keep what it must?"""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from station.core.timing import ManualClock
from station.store import throttle
from station.store.demo_people import DEMO_PEOPLE, demo_secrets, ensure_demo_people
from station.store.people import People, PeopleRefused, Role, SignInRefused
from station.store.people_file import PeopleFault
from station.store.secret import HASHER, Vault
from station.store.throttle import pause_s

QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
HALF_AN_HOUR = 1800.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "people.db"


@pytest.fixture
def people(path: Path, clock: ManualClock) -> Iterator[People]:
    made = People(path, clock=clock, hasher=QUICK)
    made.add("Mia", Role.INSPECTOR, "1111", by="test")
    made.add("Ada", Role.ADMIN, "correct horse", by="test")
    yield made
    made.close()


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def refused(people: People, name: str, secret: str, *, client: str = "10.0.0.1") -> tuple[str, float]:
    with pytest.raises(SignInRefused) as caught:
        people.sign_in(name, secret, client=client)
    return caught.value.code, caught.value.wait_s


# -------------------------------------------------------------------- secrets


def test_secrets_and_tokens_are_kept_as_hashes_only(people: People, path: Path) -> None:
    token = people.sign_in("Ada", "correct horse", client="10.0.0.1").token
    people.close()
    content = path.read_bytes()
    assert b"correct horse" not in content
    assert token.encode() not in content
    assert len(token) == 43, "256 bits"
    hashed = [r[0] for r in rows(path, "SELECT secret_hash FROM person")]
    assert all(extract_parameters(h).type is Type.ID for h in hashed)
    assert len(set(hashed)) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_one_hash_takes_a_kiosk_less_than_a_tenth_of_a_second_and_an_attacker_its_memory() -> None:
    hashed = HASHER.hash("1111")
    took = []
    for _ in range(5):
        begin = time.perf_counter()
        HASHER.verify(hashed, "1111")
        took.append(time.perf_counter() - begin)
    assert min(took) < 0.1
    parameters = extract_parameters(hashed)
    assert parameters.memory_cost >= 19 * 1024
    assert parameters.time_cost >= 2


@pytest.mark.parametrize("secret", ["1234", "123456789012", "password", "äöüß äöü", "12345678901234567"])
def test_a_pin_or_a_password_is_taken(people: People, secret: str) -> None:
    people.set_secret("Mia", secret, by="Ada")
    assert people.sign_in("Mia", secret, client="c").person.name == "Mia"


@pytest.mark.parametrize("secret", ["", "123", "12a4", "passwor", "x" * 129, "١٢٣٤"])
def test_a_secret_too_short_is_refused_and_the_old_one_stays(people: People, secret: str) -> None:
    with pytest.raises(PeopleRefused, match="PIN has 4 to 12 digits") as caught:
        people.set_secret("Mia", secret, by="Ada")
    assert caught.value.code == "invalid"
    people.sign_in("Mia", "1111", client="c")


def test_a_hash_of_other_parameters_is_made_anew_at_its_right_use(people: People, path: Path) -> None:
    with closing(People(path)) as newer:
        assert refused(newer, "Mia", "9999")[0] == "wrong"
        (before,) = rows(path, "SELECT secret_hash FROM person WHERE name = 'Mia'")
        newer.sign_in("Mia", "1111", client="c")
        (after,) = rows(path, "SELECT secret_hash FROM person WHERE name = 'Mia'")
        newer.sign_in("Mia", "1111", client="c")
        (again,) = rows(path, "SELECT secret_hash FROM person WHERE name = 'Mia'")
    assert extract_parameters(before[0]).memory_cost == 64
    assert extract_parameters(after[0]).memory_cost == HASHER.memory_cost
    assert again == after, "only once"


# -------------------------------------------------------------------- people


def test_names_are_one_whatever_their_case(people: People) -> None:
    people.add("Ärmel", Role.ML, "4444", by="Ada")
    for name in ("mia", "MIA", "  Mia ", "äRMEL"):
        with pytest.raises(PeopleRefused) as caught:
            people.add(name, Role.ML, "1234", by="Ada")
        assert caught.value.code == "exists"
    assert people.sign_in(" mia", "1111", client="c").person.name == "Mia"
    assert [p.name for p in people.everybody()] == ["Ada", "Mia", "Ärmel"]


@pytest.mark.parametrize("name", ["", "   ", "x" * 65, "a\nb", "a\x00b", "a\u202eb"])
def test_a_name_that_cannot_be_shown_is_refused(people: People, name: str) -> None:
    with pytest.raises(PeopleRefused) as caught:
        people.add(name, Role.ML, "1234", by="Ada")
    assert caught.value.code == "invalid"


def test_every_change_is_written_down_and_stays(people: People, path: Path) -> None:
    people.set_role("Mia", Role.ENGINEER, by="Ada")
    people.set_role("Mia", Role.ENGINEER, by="Ada")
    people.set_secret("Mia", "2222", by="Ada")
    people.disable("Mia", by="Ada")
    people.disable("Mia", by="Ada")
    people.enable("Mia", by="Eva")
    assert [(c.by, c.what, c.about) for c in reversed(people.changes())] == [
        ("test", "added as inspector", "Mia"),
        ("test", "added as admin", "Ada"),
        ("Ada", "role inspector to engineer", "Mia"),
        ("Ada", "new secret", "Mia"),
        ("Ada", "disabled", "Mia"),
        ("Eva", "enabled", "Mia"),
    ]
    for sql in (
        "DELETE FROM change", "UPDATE change SET by = 'x'", "DELETE FROM person", "UPDATE person SET name = 'x'",
        "UPDATE person SET role = 'chief'", "UPDATE person SET secret_hash = '1111'",
    ):  # fmt: skip
        with closing(sqlite3.connect(path)) as db, pytest.raises(sqlite3.IntegrityError):
            db.execute(sql)


def test_the_last_admin_stays_one(people: People) -> None:
    for act in (lambda: people.disable("Ada", by="Ada"), lambda: people.set_role("ada", Role.ML, by="Ada")):
        with pytest.raises(PeopleRefused) as caught:
            act()
        assert caught.value.code == "last_admin"
    people.add("Eva", Role.ADMIN, "3333", by="Ada")
    people.disable("Eva", by="Ada")
    with pytest.raises(PeopleRefused):
        people.disable("Ada", by="Eva")
    people.enable("Eva", by="Ada")
    assert people.disable("Ada", by="Eva").disabled_at is not None


def test_an_unknown_person_is_said_so(people: People) -> None:
    for act in (people.disable, people.enable):
        with pytest.raises(PeopleRefused, match="station user list") as caught:
            act("Nobody", by="Ada")
        assert caught.value.code == "unknown"


def test_the_demo_has_its_people_only_where_nobody_is(path: Path, tmp_path: Path) -> None:
    assert ensure_demo_people(path) is True
    assert ensure_demo_people(path) is False
    with closing(People(path)) as made:
        assert {(p.name, p.role) for p in made.everybody()} == {(n, r) for n, r, _ in DEMO_PEOPLE}
        for name, role, pin in DEMO_PEOPLE:
            assert made.sign_in(name, pin, client="c").person.role is role
        assert dict(demo_secrets(made.everybody()))["Mia"] == "1111"
        made.set_secret("Mia", "9876", by="Ada")
        made.disable("Tom", by="Ada")
        assert [n for n, _ in demo_secrets(made.everybody())] == ["Ada", "Eva", "Max"], "only PINs that still fit"
    other = tmp_path / "other.db"
    with closing(People(other, hasher=QUICK)) as real:
        real.add("Mia", Role.ADMIN, "9876", by="me")
        assert ensure_demo_people(other) is False
        assert demo_secrets(real.everybody()) == []


# -------------------------------------------------------------------- sessions


def test_a_session_lasts_while_there_is_activity_and_ends_without(people: People, clock: ManualClock) -> None:
    token = people.sign_in("Mia", "1111", client="c").token
    for _ in range(5):
        clock.wait(HALF_AN_HOUR - 60)
        assert people.signed_in(token, idle_s=HALF_AN_HOUR, active=True) is not None
    clock.wait(HALF_AN_HOUR - 60)
    found = people.signed_in(token, idle_s=HALF_AN_HOUR)  # looked at, not used
    assert found is not None
    assert found.name == "Mia"
    clock.wait(120)
    assert people.signed_in(token, idle_s=HALF_AN_HOUR, active=True) is None
    assert people.signed_in(token, idle_s=0) is None, "what has ended stays ended"


def test_without_a_time_out_a_session_stays(people: People, clock: ManualClock) -> None:
    token = people.sign_in("Mia", "1111", client="c").token
    clock.wait(1e7)
    assert people.signed_in(token, idle_s=0) is not None


@pytest.mark.parametrize("change", ["disable", "secret", "role", "sign_out"])
def test_a_session_ends_at_once_also_from_another_process(people: People, path: Path, change: str) -> None:
    token, other = (people.sign_in(n, s, client="c").token for n, s in (("Mia", "1111"), ("Ada", "correct horse")))
    assert people.signed_in(token, idle_s=0) is not None
    with closing(People(path, hasher=QUICK)) as elsewhere:
        if change == "disable":
            elsewhere.disable("Mia", by="Ada")
        elif change == "secret":
            elsewhere.set_secret("Mia", "2222", by="Ada")
        elif change == "role":
            elsewhere.set_role("Mia", Role.ENGINEER, by="Ada")
        else:
            elsewhere.sign_out(token)
    assert people.signed_in(token, idle_s=0) is None
    assert people.signed_in(other, idle_s=0) is not None
    if change == "disable":
        people.enable("Mia", by="Ada")
        assert people.signed_in(token, idle_s=0) is None, "enabled again, a session of before stays ended"


def test_a_token_nobody_has_opens_nothing(people: People, path: Path) -> None:
    token = people.sign_in("Mia", "1111", client="c").token
    (stored,) = rows(path, "SELECT token_sha256 FROM session")
    for wrong in ("", "x" * 43, token[:-1], token + "x", token.swapcase(), stored[0], "' OR 1=1 --"):
        assert people.signed_in(wrong, idle_s=0) is None


def test_disabled_while_the_secret_was_looked_at(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    fits = Vault.fits

    def slowly(vault: Vault, hashed: str | None, secret: str) -> bool:
        found = fits(vault, hashed, secret)
        people.disable("Mia", by="Ada")
        return found

    monkeypatch.setattr(Vault, "fits", slowly)
    assert refused(people, "Mia", "1111")[0] == "wrong"


# -------------------------------------------------------------------- wrong tries


def test_the_pauses_double_up_to_five_minutes() -> None:
    assert [pause_s(n) for n in range(14)] == [0, 0, 0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert pause_s(10_000) == 300


def test_after_five_wrong_tries_each_further_one_waits_longer(people: People, clock: ManualClock) -> None:
    waits = [refused(people, "Mia", "9999") for _ in range(5)]
    assert waits == [("wrong", 0), ("wrong", 0), ("wrong", 0), ("wrong", 0), ("wrong", 2)]
    assert refused(people, "Mia", "1111") == ("wait", 2), "the right one waits as well"
    clock.wait(1.5)
    assert refused(people, "Mia", "1111") == ("wait", 0.5), "asking again makes it no longer"
    clock.wait(0.6)
    assert refused(people, "Mia", "9999") == ("wrong", 4)
    clock.wait(4.1)
    people.sign_in("Mia", "1111", client="10.0.0.1")
    assert refused(people, "Mia", "9999") == ("wrong", 0), "the right one makes the others forgotten"


def test_the_pause_is_the_names_and_the_addresss(people: People) -> None:
    for n in range(5):
        refused(people, "Mia", "9999", client=f"10.0.0.{n}")
    assert refused(people, "Mia", "1111", client="10.0.0.99")[0] == "wait", "the name waits, from wherever"
    people.sign_in("Ada", "correct horse", client="10.0.0.1")
    for n in range(5):
        refused(people, f"somebody {n}", "9999", client="10.0.0.7")
    assert refused(people, "Ada", "correct horse", client="10.0.0.7")[0] == "wait", "the address waits, whatever name"
    people.sign_in("Ada", "correct horse", client="10.0.0.1")


def test_a_right_secret_of_ones_own_forgives_no_tries_for_other_names(people: People) -> None:
    for _ in range(4):
        refused(people, "Ada", "9999")
    people.sign_in("Mia", "1111", client="10.0.0.1")
    assert refused(people, "Ada", "9999") == ("wrong", 2)


def test_a_restart_forgets_no_wrong_try(people: People, path: Path, clock: ManualClock) -> None:
    for _ in range(5):
        refused(people, "Mia", "9999")
    people.close()
    with closing(People(path, clock=clock, hasher=QUICK)) as again:
        assert refused(again, "Mia", "1111") == ("wait", 2)


def test_wrong_tries_are_forgotten_after_a_day_and_a_clock_set_back_locks_nobody_out(
    people: People, path: Path, clock: ManualClock
) -> None:
    for _ in range(5):
        refused(people, "Mia", "9999")
    earlier = ManualClock(start=clock.now() - throttle.KEPT)
    with closing(People(path, clock=earlier, hasher=QUICK)) as back:
        assert refused(back, "Mia", "1111") == ("wait", 2)
        earlier.wait(2.1)
        back.sign_in("Mia", "1111", client="c")
    for _ in range(5):
        refused(people, "Mia", "9999")
    clock.wait(throttle.KEPT.total_seconds() + 1)
    assert refused(people, "Mia", "9999") == ("wrong", 0)
    assert len(rows(path, "SELECT 1 FROM wrong_try")) == 1


def test_a_name_nobody_has_is_not_told_from_one_somebody_has(
    people: People, path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.add("Off", Role.ML, "1234", by="Ada")
    people.disable("Off", by="Ada")
    hashed: list[str] = []
    verify = PasswordHasher.verify

    def counted(hasher: PasswordHasher, hash_: str, secret: str) -> Any:
        parameters = extract_parameters(hash_)
        hashed.append(f"{parameters.type}{parameters.memory_cost}/{parameters.time_cost}")
        return verify(hasher, hash_, secret)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    said: dict[str, list[Any]] = {}
    for number, (name, secret) in enumerate([("Mia", "9999"), ("Nobody", "9999"), ("Off", "1234")]):
        for _ in range(7):
            hashed.clear()
            with pytest.raises(SignInRefused) as caught:
                people.sign_in(name, secret, client=f"10.1.0.{number}")
            answer = (caught.value.code, caught.value.wait_s, str(caught.value), tuple(hashed))
            said.setdefault(name, []).append(answer)
    assert said["Mia"] == said["Nobody"] == said["Off"]
    assert said["Mia"][0][3] == (f"{Type.ID}64/1",), "one hash of the same cost, whoever it is"
    assert said["Mia"][6][0] == "wait"
    assert said["Mia"][6][3] == ()
    people.close()
    assert b"Nobody" not in path.read_bytes(), "what was typed as a name may have been a password"


def test_tries_at_the_same_time_do_not_slip_past_the_pause(people: People) -> None:
    codes: list[str] = []

    def guess() -> None:
        try:
            people.sign_in("Mia", "9999", client="10.0.0.1")
        except SignInRefused as error:
            codes.append(error.code)

    threads = [threading.Thread(target=guess) for _ in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(codes) == ["wait"] * 15 + ["wrong"] * 5


# -------------------------------------------------------------------- the file


def test_several_processes_may_write_at_once(people: People, path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from argon2 import PasswordHasher\n"
        "from station.store.people import People, Role\n"
        "p = People(Path(sys.argv[1]), hasher=PasswordHasher(1, 64, 1))\n"
        "for n in range(25): p.add(f'{sys.argv[2]}{n}', Role.ML, '1234', by='x')\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", script, str(path), name]) for name in "ab"]
    for n in range(25):
        people.add(f"c{n}", Role.ML, "1234", by="x")
    assert [p.wait(timeout=60) for p in started] == [0, 0]
    assert len(people.everybody()) == 77
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert rows(path, "PRAGMA journal_mode") == [("delete",)], "a log with several writers can be lost"


def test_a_file_that_is_no_people_or_of_a_newer_release_is_said_so(tmp_path: Path) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database at all" * 100)
    with pytest.raises(PeopleFault, match="check the file"):
        People(broken).everybody()
    newer = tmp_path / "newer.db"
    with closing(sqlite3.connect(newer)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(PeopleFault, match="install the newer release"):
        People(newer).everybody()
