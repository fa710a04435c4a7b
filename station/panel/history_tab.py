"""How does the History tab get onto the page? One static component of our own inside Gradio."""

from __future__ import annotations

import gradio as gr

from station.panel.review_tab import component


def history_tab() -> None:
    """Draws the History tab into the surrounding Blocks."""
    with gr.Tab("History", id="history", elem_id="tab-history", render_children=True):
        component("history")
