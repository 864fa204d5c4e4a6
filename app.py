"""A page in the browser: dream galaxies, see whether they are new, vary and classify your own."""

import functools
import inspect
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from galaxy_diffusion.app.artist import BOUNDS, QUICK
from galaxy_diffusion.app.panels import CSS
from galaxy_diffusion.app.studio import NO_CLASSIFIER, NO_DATA, make_studio
from galaxy_diffusion.app.uploads import MAX_BYTES, SHOWN
from galaxy_diffusion.sampling.ddpm_pipeline import DEFAULT_GUIDANCE
from galaxy_diffusion.sampling.schedulers import DEFAULT
from galaxy_diffusion.shared.machine import use_all_cores
from galaxy_diffusion.shared.names import class_title
from gz2_dataset import UserError
from gz2_dataset.command_line import how_to_install, run
from gz2_dataset.sources.image_names import IMAGE_SUFFIXES

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
try:
    import gradio as gr
except ImportError:
    gr = None

VISITORS = 16
"""At most this many wait for their turn."""
HOUR = 3600
"""Seconds after which the pictures of a visitor are removed."""


@dataclass
class Config:
    """Settings of the page. Gradio's environment variables say where it listens: GRADIO_SERVER_NAME, ..._PORT."""

    model: str = "galaxies-64"
    """Output folder of train_ddpm.py, Hub id, or the name of a model that comes with the project."""
    data: str | None = None
    """The data of the model's training, if everybody who sees the page may see its images: generated galaxies are then
    laid beside the nearest of it."""
    classifiers: list[str] = field(default_factory=list)
    """Output folders of train_classifier.py, such as several seeds, for uploaded pictures."""


def main(config: Config) -> None:
    use_all_cores()
    if gr is None:
        raise UserError(f"the page needs gradio; run {how_to_install('app')}")
    launch(make_page(config))


def make_page(config: Config) -> "gr.Blocks":
    """The page, not yet served."""
    studio = make_studio(config.model, config.data, config.classifiers)
    classes = [(class_title(name), name) for name in studio.artist.class_names]

    def class_and_seed(place: int = 0, seed: int = 0) -> list:
        chosen = gr.Dropdown(classes, value=classes[place % len(classes)][1], label="Class")
        return [
            chosen,
            gr.Number(seed, label="Seed", precision=0, minimum=BOUNDS["seed"][0], maximum=BOUNDS["seed"][1]),
        ]

    def galaxy(label: str) -> "gr.Image":
        return gr.Image(label=label, format="png", height=SHOWN, interactive=False, buttons=["download"])

    def galaxies(label: str, columns: int) -> "gr.Gallery":
        return gr.Gallery(label=label, columns=columns, format="png", height="fit-content", buttons=[])

    def upload() -> "gr.File":
        return gr.File(label="One galaxy (JPEG, PNG, TIFF, FITS)", file_types=[*IMAGE_SUFFIXES], height=120)

    def code() -> "gr.Code":
        with gr.Accordion("The same in Python", open=False):
            return gr.Code(language="python", show_label=False, interactive=False, wrap_lines=True)

    def on(button: "gr.Button", function: Callable, inputs: list, outputs: list) -> None:
        # One at a time for all tabs: the nets fill the machine, and a sampler keeps the state of a single run.
        button.click(
            as_messages(function), inputs, outputs, concurrency_limit=1, concurrency_id="nets", api_visibility="private"
        )

    with gr.Blocks(title="Galaxies that do not exist", analytics_enabled=False, delete_cache=(HOUR, HOUR)) as page:
        gr.Markdown(f"# Galaxies that do not exist\nDrawn by `{Path(config.model).name}`, a diffusion model.")
        with gr.Tab("Dream"), gr.Row():
            with gr.Column(scale=1):
                inputs = class_and_seed(place=-1, seed=3)
                inputs += [
                    gr.Slider(*BOUNDS["guidance_scale"], value=DEFAULT_GUIDANCE, step=0.5, label="Guidance scale"),
                    gr.Dropdown(QUICK, value=DEFAULT, label="Sampler"),
                ]
                button = gr.Button("Dream", variant="primary")
            with gr.Column(scale=2):
                shown, strip = (
                    galaxy("The galaxy emerges"),
                    gr.Image(label="From noise to galaxy", format="png", interactive=False, buttons=[]),
                )
                shape = gr.HTML(label="What it measures", show_label=True, container=True, padding=True)
                on(button, studio.dream, inputs, [shown, strip, shape, code()])
        with gr.Tab("Is it new?"):
            if studio.seen is None:
                gr.Markdown(NO_DATA)
            else:
                with gr.Row():
                    with gr.Column(scale=1):
                        inputs = class_and_seed(place=-1, seed=3)
                        button = gr.Button("Look for it", variant="primary")
                        shown = galaxy("Generated, turned like the nearest")
                    with gr.Column(scale=2):
                        near = galaxies("The nearest training galaxies", 4)
                        distances = gr.HTML(label="Distances", show_label=True, container=True, padding=True)
                        on(button, studio.is_it_new, inputs, [shown, near, distances, code()])
        with gr.Tab("Between two"):
            with gr.Row():
                inputs = class_and_seed(place=0, seed=3) + class_and_seed(place=-1, seed=3)
            button = gr.Button("Go from one to the other", variant="primary")
            way = galaxies("Nine galaxies on the way", 5)
            on(button, studio.between, inputs, [way, code()])
        with gr.Tab("Vary a real one"), gr.Row():
            with gr.Column(scale=1):
                inputs = [upload(), *class_and_seed(place=-1)]
                inputs += [
                    gr.Slider(*BOUNDS["strength"], value=0.6, step=0.05, label="Strength (1 leaves nothing of it)")
                ]
                button = gr.Button("Vary", variant="primary")
            with gr.Column(scale=2):
                shown = galaxy("What the model sees: within the frame")
                variations = galaxies("Variations, one seed after another", 4)
                on(button, studio.vary, inputs, [shown, variations, code()])
        with gr.Tab("Classify"):
            if studio.ensemble is None:
                gr.Markdown(NO_CLASSIFIER)
            else:
                with gr.Row():
                    with gr.Column(scale=1):
                        inputs = [upload()]
                        button = gr.Button("Classify", variant="primary")
                        shown = galaxy("What the net sees: within the frame")
                    with gr.Column(scale=2):
                        probabilities = gr.HTML(label="Probabilities", show_label=True, container=True, padding=True)
                        on(button, studio.classify, inputs, [shown, probabilities, code()])
        with gr.Tab("About"):
            gr.Markdown(studio.about)
    return page.queue(max_size=VISITORS)


def launch(page: "gr.Blocks", **options: Any) -> tuple:
    """Serve the page; further options are gradio's."""
    # Fonts of the visitor's machine: those of gradio's themes would be fetched from elsewhere.
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    theme = gr.themes.Base(primary_hue="indigo", **fonts)
    return page.launch(max_file_size=MAX_BYTES, footer_links=[], css=CSS, theme=theme, **options)


def as_messages(function: Callable) -> Callable:
    """The same function with errors that a visitor can mend as messages of the page."""
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def steps(*args: Any) -> Iterator:
            try:
                yield from function(*args)
            except UserError as error:
                raise gr.Error(str(error), print_exception=False) from None

        return steps

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        try:
            return function(*args)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None

    return call


if __name__ == "__main__":
    run(main, Config, __doc__)
