"""The door between the loop's process and the panel's: only with the key, and stored means committed."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from station.answers import GivenAnswer, GivenJudgement
from station.core.errors import LedgerFault, LimitsRefused, ReviewRefused, StationError
from station.core.timing import SystemClock
from station.core.verdict import Answer
from station.exchange import ExchangeServer, LoopAway, LoopClient
from station.limits import limits_of, with_values
from station.store.limits import PANEL, Act
from tests.builders import BAD, Bench, FakeSource, frame, recipe, until

DOOR = "ledger.door.json"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A running station with four held parts."""
    source = FakeSource([frame(n) for n in range(4)], endless=True)
    product = recipe(mode="divert", undo_s=60.0)
    with Bench(tmp_path, product=product, scores=[BAD] * 4, source=source, clock=SystemClock(), durable=False) as it:
        thread = threading.Thread(target=it.loop.run)
        thread.start()
        until(lambda: it.loop.status().waiting == 4, "the parts do not come")
        yield it
        it.loop.stop()
        thread.join(timeout=20)


@pytest.fixture
def server(bench: Bench) -> Iterator[ExchangeServer]:
    it = ExchangeServer(bench.loop, bench.folder / DOOR)
    yield it
    it.close()


@pytest.fixture
def client(server: ExchangeServer, bench: Bench) -> Iterator[LoopClient]:
    it = LoopClient(bench.folder / DOOR)
    yield it
    it.close()


def door(bench: Bench) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bench.folder.joinpath(DOOR).read_text())
    return found


def knock(bench: Bench, key: bytes | None = None) -> Connection[Any, Any]:
    it = door(bench)
    return Client(("127.0.0.1", it["port"]), authkey=bytes.fromhex(it["key"]) if key is None else key)


def given(review: int, key: str = "k", **how: Any) -> GivenAnswer:
    return GivenAnswer(key, review, how.pop("answer", Answer.FALSE_ALARM), how.pop("person", "anna"), 2.5, **how)


def test_every_request_goes_there_and_back(client: LoopClient, bench: Bench) -> None:
    state = client.state()
    assert (state.state, state.parts, state.waiting, state.dropped_frames, state.faults) == ("RUNNING", 4, 4, 0, ())
    assert "detect" in state.stage_ms
    assert client.claim("anna") == 1
    assert client.claim("anna", skip=(1, 2)) == 3
    client.leave("anna")
    drawn = given(1, answer=Answer.MISSED_DEFECT, label="dent", xyxy=(8.0, 8.0, 30.0, 30.0), note="ü", shown="blind")
    assert client.confirm(drawn) == 1
    assert bench.rows("SELECT key, answer, person, seconds, label, box, note, shown FROM confirmation") == [
        ("k", "missed_defect", "anna", 2.5, "dent", "[8.0, 8.0, 30.0, 30.0]", "ü", "blind")
    ]
    assert client.undo("anna", "u") == (1, "ST01-000001")


def test_stored_is_said_only_after_the_commit(client: LoopClient, bench: Bench) -> None:
    for review in range(1, 5):
        client.confirm(given(review, f"k{review}"))
        assert bench.one("SELECT count(*) FROM confirmation") == review


def test_nothing_waits_is_none(client: LoopClient) -> None:
    assert client.claim("anna", skip=(1, 2, 3, 4)) is None


def test_a_refusal_keeps_its_code_and_words(client: LoopClient) -> None:
    with pytest.raises(ReviewRefused, match="no review 99") as caught:
        client.confirm(given(99))
    assert caught.value.code == "unknown"
    with pytest.raises(ReviewRefused, match="draw a box"):
        client.confirm(given(1, answer=Answer.MISSED_DEFECT, label="dent"))
    with pytest.raises(ReviewRefused):
        client.undo("anna", "u")


def test_a_repeated_key_makes_one_row(client: LoopClient, bench: Bench) -> None:
    assert [client.confirm(given(1)) for _ in range(3)] == [1, 1, 1]
    other = LoopClient(bench.folder / DOOR)
    assert other.confirm(given(1)) == 1
    other.close()
    assert bench.one("SELECT count(*) FROM confirmation") == 1


def test_two_clients_never_get_the_same_review(client: LoopClient, bench: Bench) -> None:
    got: list[int] = []

    def work(person: str) -> None:
        mine = LoopClient(bench.folder / DOOR)
        while (review := mine.claim(person)) is not None:
            got.append(review)
            mine.confirm(given(review, f"{person}{review}", person=person))
        mine.close()

    people = [threading.Thread(target=work, args=(p,)) for p in ("anna", "berta")]
    for p in people:
        p.start()
    for p in people:
        p.join(timeout=20)
    assert sorted(got) == [1, 2, 3, 4]


def test_the_wrong_key_is_refused_and_the_right_one_still_served(client: LoopClient, bench: Bench) -> None:
    with pytest.raises((AuthenticationError, EOFError, OSError)):
        knock(bench, b"guessed" * 4)
    assert client.state().parts == 4


def test_the_key_is_readable_by_the_stations_user_only_and_new_each_time(bench: Bench) -> None:
    keys = set()
    for _ in range(2):
        server = ExchangeServer(bench.loop, bench.folder / DOOR)
        keys.add(door(bench)["key"])
        assert bench.folder.joinpath(DOOR).stat().st_mode & 0o777 == 0o600
        server.close()
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (b'{"op": "explode"}', "unknown request"),
        (b"{}", "unknown request"),
        (b"[1, 2]", "malformed"),
        (b'"claim"', "malformed"),
        (b"null", "malformed"),
        (b'{"op": ["claim"]}', "malformed"),
        (b'{"op": "claim"}', "malformed"),
        (b'{"op": "claim", "person": "anna", "skip": ["x"]}', "malformed"),
        (b'{"op": "claim", "person": "anna", "skip": 3}', "malformed"),
        (b'{"op": "claim", "person": null}', "malformed"),
        (b'{"op": "undo", "person": "anna"}', "malformed"),
        (b'{"op": "confirm"}', "malformed"),
        (b'{"op": "confirm", "given": {"answer": "perhaps"}}', "malformed"),
        (b'{"op": "confirm", "given": {"answer": "agree", "force": true}}', "malformed"),
        (b'{"op": "confirm", "given": []}', "malformed"),
    ],
)
def test_a_malformed_request_is_answered_as_such_and_stores_nothing(
    client: LoopClient, bench: Bench, words: bytes, refused: str
) -> None:
    with knock(bench) as line:
        line.send_bytes(words)
        assert line.poll(10)
        reply = json.loads(line.recv_bytes())
        assert "done" not in reply
        assert refused in reply.get("words", "")
        line.send_bytes(b'{"op": "state"}')
        assert json.loads(line.recv_bytes())["done"]["parts"] == 4
    assert bench.one("SELECT count(*) FROM confirmation") == 0


@pytest.mark.parametrize("words", [b"no json", b"\xff\xfe", b"", b"[" * 100_000, b"{" + b" " * 1_000_001])
def test_another_language_ends_that_connection_and_no_other(client: LoopClient, bench: Bench, words: bytes) -> None:
    with knock(bench) as line:
        with suppress(OSError):
            line.send_bytes(words)
        with pytest.raises((EOFError, OSError)):
            line.recv_bytes()
    assert client.state().parts == 4


def test_a_caller_that_says_nothing_keeps_nobody_out_and_does_not_delay_closing(
    server: ExchangeServer, client: LoopClient, bench: Bench
) -> None:
    with socket.create_connection(("127.0.0.1", door(bench)["port"])):
        assert client.state().parts == 4
        server.close()
        assert [t for t in threading.enumerate() if "exchange" in t.name] == []


def test_a_closed_door_is_loop_away_and_a_new_one_is_found(bench: Bench) -> None:
    client = LoopClient(bench.folder / DOOR)
    with pytest.raises(LoopAway, match="does not answer"):
        client.state()
    for _ in range(2):  # the loop was restarted: another port, another key, the same client
        server = ExchangeServer(bench.loop, bench.folder / DOOR)
        assert client.state().parts == 4
        server.close()
        with pytest.raises(LoopAway):
            client.state()
    client.close()


def test_a_door_file_left_by_a_dead_loop_is_loop_away(bench: Bench) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    bench.folder.joinpath(DOOR).write_text(json.dumps({"port": port, "key": "00" * 32, "pid": os.getpid()}))
    with pytest.raises(LoopAway):
        LoopClient(bench.folder / DOOR).state()
    bench.folder.joinpath(DOOR).write_text("half a fi")
    with pytest.raises(LoopAway):
        LoopClient(bench.folder / DOOR).state()


def test_a_strange_program_on_the_port_of_a_dead_loop_is_loop_away_and_no_hang(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("station.exchange.wire.IDENTIFY_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        stale = {"port": silent.getsockname()[1], "key": "00" * 32, "pid": os.getpid()}
        bench.folder.joinpath(DOOR).write_text(json.dumps(stale))
        with pytest.raises(LoopAway):
            LoopClient(bench.folder / DOOR).state()


def test_closing_frees_the_port_and_the_threads(bench: Bench) -> None:
    before = set(threading.enumerate())
    server = ExchangeServer(bench.loop, bench.folder / DOOR)
    port = door(bench)["port"]
    idle = [LoopClient(bench.folder / DOOR) for _ in range(3)]
    for client in idle:
        client.state()
    server.close()
    assert set(threading.enumerate()) <= before
    assert not bench.folder.joinpath(DOOR).exists()
    again = ExchangeServer(bench.loop, bench.folder / DOOR, port=port)
    assert idle[0].state().parts == 4
    again.close()
    for client in idle:
        client.close()


def test_a_port_that_is_taken_is_said_with_the_remedy(server: ExchangeServer, bench: Bench) -> None:
    with pytest.raises(StationError, match=r"is the loop running already\?"):
        ExchangeServer(bench.loop, bench.folder / DOOR, port=door(bench)["port"])


def test_the_door_is_open_on_this_machine_only(server: ExchangeServer) -> None:
    assert server._listener.address[0] == "127.0.0.1"


def test_a_loop_that_fails_is_loop_away_with_its_words(
    client: LoopClient, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_given: GivenAnswer) -> int:
        raise LedgerFault("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(bench.desk, "confirm", full)
        with pytest.raises(LoopAway, match="the disk is full"):
            client.confirm(given(1))
    assert client.confirm(given(1)) == 1


def test_an_answer_arrives_as_it_was_given(client: LoopClient, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    came: list[tuple[GivenAnswer, str]] = []
    whole = given(
        1,
        answer=None,
        note="töpfer 🙂",
        shown='{"blind":false}',
        judgements=(
            GivenJudgement(0, Answer.FALSE_ALARM, cause="dust"),
            GivenJudgement(None, Answer.MISSED_DEFECT, "dent", (1.5, 2.0, 30.0, 40.25)),
        ),
    )
    for one in (whole, given(2, answer=Answer.MISSED_DEFECT, label="dent", xyxy=(0.0, 1.0, 2.0, 3.5))):
        monkeypatch.setattr(bench.desk, "correct", lambda g, part_id: came.append((g, part_id)) or 7)
        assert client.correct(one, "ST01-000001") == 7
        assert came.pop() == (one, "ST01-000001")


def test_corrections_and_known_parts_go_through_the_desk(client: LoopClient) -> None:
    with pytest.raises(ReviewRefused, match="has not gone yet"):
        client.correct(given(0, answer=Answer.FALSE_ALARM, note="seen again"), "ST01-000001")
    with pytest.raises(ReviewRefused, match="still waits"):
        client.know("ST01-000001", "ok", "eva")
    with pytest.raises(ReviewRefused, match="not among the known"):
        client.forget("ST01-000001", "eva")


def test_the_newest_frame_comes_as_a_picture(client: LoopClient, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = client.frame()
    assert seen is not None
    assert seen.index == 3
    picture = cv2.imdecode(np.frombuffer(seen.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (64, 96, 3)
    huge = frame(9, image=np.full((600, 2400, 3), 90, np.uint8))
    monkeypatch.setattr(type(bench.loop), "newest_frame", property(lambda _: huge))
    seen = client.frame()
    assert seen is not None
    small = cv2.imdecode(np.frombuffer(seen.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert small is not None
    assert small.shape == (240, 960, 3)
    monkeypatch.setattr(type(bench.loop), "newest_frame", property(lambda _: None))
    assert client.frame() is None


def limits_act(person: str = "Eva", key: str = "limits-1") -> Act:
    return Act(key, person, "because", PANEL)


def test_limits_go_there_and_back_and_count_from_the_next_part_on(client: LoopClient, bench: Bench) -> None:
    strict = with_values(limits_of(bench.product), {"scratch": {"pass_below": 0.05}}).to_dict()
    about = {"limits": strict, "diff": {"flips": []}, "base": None}
    drafted = client.limits("draft", limits_act(), about)
    assert drafted == {"version": 1, "event": 1, "in_force": None}
    assert client.limits("draft", limits_act(), about) == drafted, "the same key is the same act"
    done = client.limits("activate", limits_act(key="limits-2"), {"version": 1}, recipe=bench.product.name)
    assert done == {"version": 1, "event": 2, "in_force": 1}
    assert bench.rows("SELECT person, via FROM limits_event") == [("Eva", "panel"), ("Eva", "panel")]
    assert bench.rows("SELECT limits_version FROM run ORDER BY id") == [(None,), (1,)]
    assert client.confirm(given(1, answer=Answer.AGREE)) == 1, "what waits is answered as it was stopped"


def test_refused_limits_keep_their_code_and_words(client: LoopClient, bench: Bench) -> None:
    with pytest.raises(LimitsRefused, match="no version 9") as caught:
        client.limits("approve", limits_act(), {"version": 9})
    assert caught.value.code == "unknown"
    with pytest.raises(LimitsRefused, match="not nut"):
        client.limits("rollback", limits_act(), {}, recipe="nut")
    with pytest.raises(LimitsRefused, match="leave out its later flips"):
        client.limits("draft", limits_act(), {"limits": {}, "diff": {"flips": "x" * 2_000_000}})
    assert client.state().parts == 4


@pytest.mark.parametrize(
    "spoiled",
    [
        {"given": None}, {"given": [1]}, {"given": {"version": 1, "without_diff": 5}}, {"what": 3}, {"act": "Eva"},
        {"act": {"key": "k"}}, {"act": {"key": "k", "person": None, "reason": "r", "via": "panel"}},
        {"act": {"key": "k", "person": "Eva", "reason": "r", "via": "pigeon"}}, {"recipe": {}},
    ],
)  # fmt: skip
def test_malformed_limits_requests_are_refused_and_the_loop_goes_on(
    client: LoopClient, bench: Bench, spoiled: dict[str, Any]
) -> None:
    act = {"key": "k", "person": "Eva", "reason": "r", "via": "panel"}
    message = {"op": "limits", "what": "activate", "act": act, "given": {"version": 1}} | spoiled
    with pytest.raises((ReviewRefused, LimitsRefused)) as caught:
        client._ask(message)
    assert caught.value.code == "invalid"
    assert client.state().parts == 4
