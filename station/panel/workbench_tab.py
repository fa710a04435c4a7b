"""How does the Workbench tab get onto the page? One static component of our own inside Gradio."""

from __future__ import annotations

import gradio as gr

from station.panel.review_tab import component


def workbench_tab() -> None:
    """Draws the Workbench tab into the surrounding Blocks."""
    with gr.Tab("Workbench", id="workbench", elem_id="tab-workbench", render_children=True):
        component("workbench")
