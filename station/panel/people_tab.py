"""How does the People tab get onto the page? One static component of our own inside Gradio."""

from __future__ import annotations

import gradio as gr

from station.panel.review_tab import component


def people_tab() -> None:
    """Draws the People tab into the surrounding Blocks."""
    with gr.Tab("People", id="people", elem_id="tab-people", render_children=True):
        component("people")
