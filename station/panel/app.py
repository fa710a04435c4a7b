"""How is the panel put together and served? One FastAPI application: guard, routes, push, Gradio's page.

It runs in a process of its own. Ending it, in any way, never stops the loop: parts wait until it is back.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import FrameType

# Before gradio is imported: it would otherwise call home.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gradio as gr
import uvicorn
from fastapi import FastAPI
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from station.config import StationConfig
from station.core.errors import UsageError
from station.exchange import LoopClient
from station.panel.api import STATIC, answer_failures, routes, snapshot
from station.panel.guard import Guard, allowed_hosts
from station.panel.live_tab import live_tab
from station.panel.push import Push
from station.panel.reading import Reading
from station.panel.review_tab import component, review_tab

SYSTEM_FONTS = ("system-ui", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")
MONO_FONTS = ("ui-monospace", "DejaVu Sans Mono", "monospace")
STOP_S = 3
"""A browser holding its event stream open must not keep the process alive."""

NICENESS = 5
"""The loop goes before the panel where both want the processor."""

HEAD = """
<meta name="color-scheme" content="dark">
<link rel="stylesheet" href="/static/panel/panel.css">
<link rel="modulepreload" href="/static/panel/review.js">
<script>document.documentElement.lang = "en"; document.documentElement.classList.add("dark");</script>
"""


def create_app(config: StationConfig, *, pages: bool = True) -> FastAPI:
    """The whole panel as one application; needs neither a ledger nor a running loop to start.

    Args:
        config: Where the store lies and where the panel listens.
        pages: False leaves out Gradio's page: the routes alone, for tests.
    """
    reading = Reading(config)
    client = LoopClient(config.store.folder)
    asker = LoopClient(config.store.folder)
    push = Push(reading, asker, lambda: snapshot(reading))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        push.start()
        try:
            yield
        finally:
            push.stop()
            client.close()
            asker.close()
            reading.close()

    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    app.state.push = push
    answer_failures(app)
    app.include_router(routes(reading, client, push))
    app.mount("/static/panel", _Static(directory=STATIC))
    if pages:
        _mount_pages(app, f"{config.station} · Inspection")
    app.add_middleware(Guard, hosts=allowed_hosts(config.panel.host))
    return app


def serve(config: StationConfig) -> None:
    """Serves the panel until the process is told to end; blocks.

    Raises:
        UsageError: The port is taken or the address is not this machine's.
    """
    with suppress(OSError, AttributeError):
        os.nice(NICENESS)
    with _listening(config.panel.host, config.panel.port) as listening:
        app = create_app(config)
        settings = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=STOP_S)
        _Server(settings, app.state.push).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Ends the screens' streams as soon as it is told to end; uvicorn would wait for them to end by themselves."""

    def __init__(self, settings: uvicorn.Config, push: Push) -> None:
        super().__init__(settings)
        self._push = push

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the signal."""
        self._push.ask_to_stop()
        super().handle_exit(sig, frame)


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, reuse_port=False
        )
    except OSError as error:
        raise UsageError(
            f"the panel cannot listen on {host}:{port} ({error}): end what holds the port, or set panel.port to another"
        ) from error


def _mount_pages(app: FastAPI, title: str) -> None:
    with gr.Blocks(title=title, fill_width=True, fill_height=True, analytics_enabled=False) as pages:
        component("top")
        with gr.Tabs(elem_id="station-tabs"):
            review_tab()
            live_tab()
    theme = gr.themes.Base(font=list(SYSTEM_FONTS), font_mono=list(MONO_FONTS))
    gr.mount_gradio_app(
        app,
        pages,
        path="/",
        theme=theme,
        head=HEAD,
        run_history=False,
        footer_links=[],
        ssr_mode=False,
        show_error=False,
        max_file_size="1kb",
        enable_monitoring=False,
        app_kwargs={"openapi_url": None, "docs_url": None, "redoc_url": None},
    )


class _Static(StaticFiles):
    """The panel's own files: always asked for again, so that an update shows at the next load."""

    def file_response(self, full_path, stat_result, scope: Scope, status_code: int = 200):  # type: ignore[no-untyped-def]
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["cache-control"] = "no-cache"
        return response
