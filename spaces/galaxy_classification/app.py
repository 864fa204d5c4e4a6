"""The metric as a web page: type predictions and references, see the figures."""

from pathlib import Path

import evaluate
import gradio

metric = evaluate.load(str(Path(__file__).with_name("galaxy_classification.py")))


def figures(predictions: str, references: str, class_names: str) -> dict:
    """Figures of class indices and names that are separated by commas."""
    indices = {"predictions": predictions, "references": references}
    return metric.compute(
        **{name: [int(index) for index in text.split(",")] for name, text in indices.items()},
        class_names=[name.strip() for name in class_names.split(",")],
    )


if __name__ == "__main__":
    gradio.Interface(
        figures,
        [
            gradio.Textbox("0, 0, 1", label="predictions"),
            gradio.Textbox("0, 1, 1", label="references"),
            gradio.Textbox("round, spiral", label="class names"),
        ],
        gradio.JSON(label="figures"),
        title="Galaxy classification",
        description=metric.info.description,
    ).launch()
