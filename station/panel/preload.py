"""What shall a page's browser fetch at once? All modules of its first screen, named with the page itself.

Gradio's page asks for its own scripts first and comes to the screens' modules late, level after level of imports. Named
in a ``Link`` header, they come while the browser is still at Gradio's.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from station.panel.gate import is_page, page_role
from station.panel.session import TABS
from station.store.people import Role

STATIC = Path(__file__).parent / "static"
SHEETS = ("panel.css",)


class Preload:
    """ASGI middleware in front of the pages."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets everything through; pages go out with their ``Link`` header."""
        role = page_role(scope["path"]) if scope["type"] == "http" and is_page(scope["path"]) else None
        if role is None:
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                message = {**message, "headers": [*message.get("headers", ()), (b"link", links(role))]}
            await send(message)

        await self._app(scope, receive, sending)


@cache
def links(role: Role) -> bytes:
    """The ``Link`` header (RFC 8288) of a role's page: style sheets and the modules of top bar and first tab."""
    sheets = [f"</static/panel/{name}>; rel=preload; as=style" for name in SHEETS]
    modules = [f"</static/panel/{name}>; rel=modulepreload" for name in _imported("top.js", f"{TABS[role][0]}.js")]
    return ", ".join(sheets + modules).encode("latin-1")


def _imported(*modules: str) -> list[str]:
    found: list[str] = []
    ahead = list(modules)
    while ahead:
        name = ahead.pop(0)
        if name not in found:
            found.append(name)
            ahead += re.findall(r'from "\./([\w-]+\.js)"', (STATIC / name).read_text(encoding="utf-8"))
    return found
