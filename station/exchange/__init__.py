"""How does another process on this machine ask the loop's process for something?

The loop's process alone writes the ledger. The panel claims, confirms and takes back through this
door: JSON messages over a connection on 127.0.0.1 that both sides authenticate (HMAC with a key that
lies beside the ledger, readable by the station's user only). "Stored" comes back only after the commit.
"""

from station.exchange.client import LoopAway, LoopClient, LoopFrame, LoopState
from station.exchange.server import ExchangeServer

__all__ = ["ExchangeServer", "LoopAway", "LoopClient", "LoopFrame", "LoopState"]
