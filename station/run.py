"""How does a line run until it ends? The loop in this process, its door open to the panel's."""

from __future__ import annotations

import logging
from contextlib import closing

from station.build import build
from station.config import StationConfig
from station.exchange import ExchangeServer

log = logging.getLogger(__name__)


def run_loop(config: StationConfig, recipe: str) -> None:
    """The inspection loop until its source ends or Ctrl-C; others talk to it through the exchange.

    Raises:
        ConfigError: Recipe or settings are wrong.
        ModelRefused: The recipe's model is missing or not what its card says.
        LedgerFault: The ledger cannot be opened, or another loop has it.
        StationError: The exchange's port is taken.
    """
    station = build(config, recipe)
    with closing(station), ExchangeServer(station.loop, config.store.door, port=config.exchange.port):
        try:
            station.loop.run(until_settled=True)
        except KeyboardInterrupt:
            log.warning("halted by hand; parts in view stay held")
