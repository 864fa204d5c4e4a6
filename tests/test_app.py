"""app.py: the page without a browser, and in headless Chromium."""

import importlib
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import pytest
import yaml

from galaxy_diffusion.app.studio import STRIP, Studio, make_studio
from galaxy_diffusion.evaluation.morphology import is_available
from galaxy_diffusion.shared.names import class_title
from gz2_dataset import UserError
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
SPACE = ROOT / "spaces/galaxies"


@pytest.fixture(scope="module")
def app() -> ModuleType:
    """Imported here: gradio takes three seconds, also where only the quick tests are wanted."""
    return importlib.import_module("app")


@pytest.fixture(scope="module")
def studio(tiny_model, toy_data, tiny_classifier) -> Studio:
    pytest.importorskip("gradio")
    return make_studio(str(tiny_model), str(toy_data), [str(tiny_classifier)] * 2)


@pytest.fixture(scope="module")
def picture(cutouts) -> str:
    return str(min((cutouts / "images").iterdir()))


def test_a_dream_emerges_and_ends_with_its_shape_and_code(app, studio):
    *frames, last = studio.dream("spiral", 3, 1.0, "unipc")
    assert len(frames) > 10
    image, strip, shape, code = last
    assert image.size == (app.SHOWN, app.SHOWN)
    assert strip.size == (STRIP * 32, 32)
    assert "'spiral'" in code
    if is_available():
        assert "real galaxies of the class Spiral" in shape


def test_what_is_nearest_is_shown_with_the_threshold(app, studio):
    image, neighbours, panel, code = studio.is_it_new("spiral", 3)
    assert len(neighbours) == 4
    assert "training galaxies" in panel
    assert "load_seen_galaxies" in code
    assert image.size == (app.SHOWN, app.SHOWN)


def test_an_upload_is_classified_with_the_spread_of_several(app, studio, picture):
    shown, panel, code = studio.classify(picture)
    assert max(shown.size) == app.SHOWN
    assert "mean of 2 classifiers" in panel
    assert Path(picture).name in code
    assert str(Path(picture).parent) not in code, "a visitor learns nothing about the server"


def test_an_upload_is_varied(studio, picture):
    _, images, code = studio.vary(picture, "spiral", 3, 0.5)
    assert len(images) == 4
    assert "strength=0.5" in code


def test_an_error_that_a_visitor_can_mend_is_a_message(app, studio):
    gradio = pytest.importorskip("gradio")
    for function, arguments in (
        (studio.vary, (None, "spiral", 3, 0.5)),
        (studio.between, ("spiral", -1, "edge_on", 2)),
        (studio.dream, ("spiral", None, 1.0, "unipc")),
    ):
        with pytest.raises(gradio.Error) as error:
            list(app.as_messages(function)(*arguments))
        assert "\n" not in error.value.message


def test_what_the_page_has_not_been_given_is_said(studio, picture):
    bare = replace(studio, seen=None, ensemble=None)
    with pytest.raises(UserError, match=r"python app\.py --data DATA"):
        bare.is_it_new("spiral", 3)
    with pytest.raises(UserError, match=r"python app\.py --classifiers"):
        bare.classify(picture)


def test_the_card_is_shown_without_its_header(studio):
    assert "Trained on" in studio.about
    assert "library_name" not in studio.about
    assert "![" not in studio.about


def test_without_gradio_the_extra_is_named(app, monkeypatch):
    monkeypatch.setattr(app, "gr", None)
    with pytest.raises(UserError, match=r"gradio; run .*\[app\]"):
        app.main(app.Config())


def test_the_space_has_what_a_space_needs():
    front = yaml.safe_load((SPACE / "README.md").read_text().split("---\n")[1])
    assert front["sdk"] == "gradio"
    assert (ROOT / front["app_file"]).is_file()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    installed = set((SPACE / "requirements.txt").read_text().splitlines())
    assert installed == {*project["dependencies"], *extras["app"], *extras["morphology"]}
    uploaded = (SPACE / "README.md").read_text()
    for part in ("app.py", "galaxy_diffusion/", "gz2_dataset/", "pretrained/galaxies-64/"):
        assert part in uploaded
        assert (ROOT / part).exists()


@pytest.fixture
def served(app, studio, monkeypatch) -> Iterator[str]:
    monkeypatch.setattr(app, "make_studio", lambda *_: studio)
    monkeypatch.setattr("gradio.networking.url_ok", lambda _: True)  # gradio gives a busy machine three seconds
    page = app.make_page(app.Config(studio.model))
    _, url, _ = app.launch(page, prevent_thread_lock=True, quiet=True)
    yield url
    page.close()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
def test_every_tab_works_in_a_browser_and_asks_nobody_else(served, picture, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch_persistent_context(tmp_path, executable_path=CHROMIUM, args=FLAGS)
        browser.set_default_timeout(120_000)
        page, asked = browser.new_page(), set()
        page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
        page.goto(served)

        def open_tab(name: str, button: str) -> playwright.Locator:
            page.get_by_role("tab", name=name).click()
            panel = page.get_by_role("tabpanel").filter(has=page.get_by_role("button", name=button, exact=True))
            panel.get_by_text("The same in Python").click()
            return panel

        def press(panel: playwright.Locator, button: str, code: str) -> None:
            panel.get_by_role("button", name=button, exact=True).click()
            panel.locator(".cm-content").get_by_text(code).first.wait_for()
            playwright.expect(panel.locator("img").first).to_be_visible()

        press(open_tab("Dream", "Dream"), "Dream", "Sampling")
        page.get_by_role("tabpanel").first.get_by_label("Seed").fill("-1")
        page.get_by_role("button", name="Dream", exact=True).click()
        page.get_by_text("less than minimum").first.wait_for()
        press(open_tab("Is it new?", "Look for it"), "Look for it", "load_seen_galaxies")
        press(open_tab("Between two", "Go from one to the other"), "Go from one to the other", "interpolate")
        vary = open_tab("Vary a real one", "Vary")
        vary.locator("input[type=file]").set_input_files(picture)
        vary.get_by_text(Path(picture).name[:6]).first.wait_for()
        press(vary, "Vary", "prepare_image")
        classify = open_tab("Classify", "Classify")
        classify.locator("input[type=file]").set_input_files(picture)
        classify.get_by_text(Path(picture).name[:6]).first.wait_for()
        press(classify, "Classify", "load_ensemble")
        classify.get_by_text(class_title("in_between_smooth")).first.wait_for()
        page.get_by_role("tab", name="About").click()
        page.get_by_text("These galaxies do not exist").wait_for()
        browser.close()
    assert asked <= {urlsplit(served).netloc, ""}
