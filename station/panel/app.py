"""How is the panel put together and served? One FastAPI application: guard, gate, routes, push, one page per role.

It runs in a process of its own. Ending it, in any way, never stops the loop: parts wait until it is back.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from types import FrameType

# Before gradio is imported: it would otherwise call home.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gradio as gr
import uvicorn
from fastapi import Depends, FastAPI, Request
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from station.config import StationConfig
from station.core.errors import UsageError
from station.exchange import LoopAway, LoopClient
from station.panel.api import STATIC, answer_failures, routes, snapshot
from station.panel.audit_card import Auditing
from station.panel.gate import Gate
from station.panel.guard import Guard, allowed_hosts
from station.panel.history_routes import history_routes
from station.panel.history_tab import history_tab
from station.panel.kept_scores import KeptScores
from station.panel.limits_routes import answer_limits_refusals, limits_routes
from station.panel.live_routes import live_routes
from station.panel.live_tab import live_tab
from station.panel.people_routes import answer_refusals, people_routes
from station.panel.people_tab import people_tab
from station.panel.preload import Preload
from station.panel.push import Push
from station.panel.reading import Reading
from station.panel.review_routes import review_routes
from station.panel.review_tab import component, review_tab
from station.panel.scoring import Scoring
from station.panel.session import TABS, Sessions, answer_strangers, caller_of, home, permission_named
from station.panel.session_routes import session_routes
from station.panel.workbench_routes import answer_refused_data, workbench_routes
from station.panel.workbench_tab import workbench_tab
from station.store.people import People, Role

SYSTEM_FONTS = ("system-ui", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")
MONO_FONTS = ("ui-monospace", "DejaVu Sans Mono", "monospace")
STOP_S = 3
"""A browser holding its event stream open must not keep the process alive."""

NICENESS = 10
"""The loop goes before the panel where both want the processor."""

TAB_OF: Mapping[str, Callable[[], None]] = {
    "review": review_tab,
    "live": live_tab,
    "history": history_tab,
    "workbench": workbench_tab,
    "people": people_tab,
}

HEAD = """
<meta name="color-scheme" content="dark light">
<link rel="icon" href="/static/panel/icon.svg">
<link rel="stylesheet" href="/static/panel/panel.css">
<link rel="stylesheet" href="/static/panel/sign-in.css">
<script>
(() => {
  const root = document.documentElement;
  let stored = {};
  try { stored = localStorage; } catch { /* private window: as it comes */ }
  root.lang = stored["station.language"] || "LANGUAGE";
  root.dataset.theme = stored["station.theme"] === "light" ? "light" : "dark";
  root.classList.toggle("dark", root.dataset.theme === "dark");
})();
</script>
"""
"""What every page needs before it is painted; LANGUAGE is the station's own."""


def create_app(config: StationConfig, *, pages: bool = True) -> FastAPI:
    """The whole panel as one application; needs neither a ledger nor a running loop to start.

    Args:
        config: Where the store lies and where the panel listens.
        pages: False leaves out Gradio's page: the routes alone, for tests.
    """
    reading = Reading(config)
    # A door each: neither the loop's state nor a picture may hold up an answer.
    client, asker, camera = (LoopClient(config.store.door) for _ in range(3))
    push = Push(reading, asker, lambda: snapshot(reading))
    people = People(config.store.people)
    scoring = Scoring(config)
    sessions = Sessions(people, idle_s=config.panel.signout_minutes * 60)

    def leave(person: str | None) -> None:
        with suppress(LoopAway):  # then nobody holds anything
            if person is not None:
                client.leave(person)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        push.start()
        try:
            yield
        finally:
            push.stop()
            scoring.close()
            for door in (client, asker, camera):
                door.close()
            reading.close()
            people.close()

    app = FastAPI(
        lifespan=lifespan,
        dependencies=[Depends(permission_named)],
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.push = push
    answer_failures(app)
    answer_strangers(app)
    answer_refusals(app)
    answer_limits_refusals(app)
    answer_refused_data(app)
    app.include_router(routes(reading, push))
    app.include_router(live_routes(reading, camera))
    app.include_router(review_routes(reading, client))
    app.include_router(history_routes(reading, client))
    app.include_router(workbench_routes(KeptScores(config, reading), scoring, Auditing(reading), client))
    app.include_router(limits_routes(reading, client))
    app.include_router(session_routes(sessions, config, leave))
    app.include_router(people_routes(people))
    app.mount("/static/panel", _Static(directory=STATIC))
    if pages:
        for role in Role:
            _mount_page(app, role, config)
    app.add_middleware(Preload)
    app.add_middleware(Gate, sessions=sessions)
    app.add_middleware(Guard, hosts=allowed_hosts(config.panel.host, config.panel.hosts))
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


def _mount_page(app: FastAPI, role: Role, config: StationConfig) -> None:
    """One role's page: what the others see is not in it at all, since hiding a tab keeps nothing from anybody."""

    def opener(request: Request) -> str | None:
        caller = caller_of(request.scope)
        return caller.person if caller is not None and caller.may_open(role) else None

    title = f"{config.station} · Inspection"
    with gr.Blocks(title=title, fill_width=True, fill_height=True, analytics_enabled=False) as page:
        component("top")
        with gr.Tabs(elem_id="station-tabs"):
            for tab in TABS[role]:
                TAB_OF[tab]()
    theme = gr.themes.Base(font=list(SYSTEM_FONTS), font_mono=list(MONO_FONTS))
    gr.mount_gradio_app(
        app,
        page,
        path=home(role).rstrip("/"),
        auth_dependency=opener,
        theme=theme,
        head=HEAD.replace("LANGUAGE", config.panel.language),
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
