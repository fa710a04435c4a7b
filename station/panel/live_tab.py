"""How does the Live tab get onto the page? One static component of our own inside Gradio."""

from __future__ import annotations

import gradio as gr

from station.panel.review_tab import component


def live_tab() -> None:
    """Draws the Live tab into the surrounding Blocks."""
    with gr.Tab("Live", id="live", elem_id="tab-live", render_children=True):
        component("live")
