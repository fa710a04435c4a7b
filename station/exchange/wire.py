"""How do both sides of the door know each other, and in which form do answers travel?"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from pydantic import TypeAdapter

from station.answers import GivenAnswer

IDENTIFY_S = 5.0
"""A caller that has not proved within so many seconds that it knows the key is hung up on."""

GIVEN = TypeAdapter(GivenAnswer)
"""Answers to JSON and back, checked for their types."""


def identify(
    connection: Connection[Any, Any], *steps: Callable[[Connection[Any, Any], bytes], None], key: bytes
) -> None:
    """Both sides prove that they know the key; who does not within a few seconds is hung up on."""
    late = threading.Timer(IDENTIFY_S, hang_up, (connection,))
    late.daemon = True
    late.start()
    try:
        for step in steps:
            step(connection, key)
    finally:
        late.cancel()
        late.join()


def hang_up(connection: Connection[Any, Any]) -> None:
    """Ends the connection for a thread that waits on it, which closing it would not."""
    with (
        contextlib.suppress(OSError),
        socket.socket(fileno=os.dup(connection.fileno())) as line,
    ):
        line.shutdown(socket.SHUT_RDWR)
