"""How does the Review tab get onto the page? One static component of our own inside Gradio.

Its value is never changed from Python: that would draw it anew under the inspector's hand. The script in
``static/review.js`` fetches what it shows and sends what the inspector says.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

STATIC = Path(__file__).parent / "static"


def component(name: str) -> gr.HTML:
    """The static component ``name``: template ``static/<name>.html``, script ``static/<name>.js``."""
    template = (STATIC / f"{name}.html").read_text(encoding="utf-8")
    if "${" in template or "{{" in template:
        raise ValueError(f"{name}.html holds a template mark; Gradio would run it as a script")
    return gr.HTML(
        html_template=template,
        js_on_load=f"import('/static/panel/{name}.js').then((screen) => screen.mount(element));",
        elem_id=f"station-{name}",
        apply_default_css=False,
        container=False,
        padding=False,
    )


def review_tab() -> None:
    """Draws the Review tab into the surrounding Blocks."""
    with gr.Tab("Review", id="review", elem_id="tab-review", render_children=True):
        component("review")
