"""The metric's Space: a table to type scores into, and the results."""

from pathlib import Path

import evaluate
from evaluate.utils import launch_gradio_widget

module = evaluate.load(str(Path(__file__).parent / "structure_accuracy.py"))
launch_gradio_widget(module)
