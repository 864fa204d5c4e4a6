"""From numbers to grey levels: known levels, colours, and what a dataset's stretch is."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from gz2_dataset import UserError
from gz2_dataset.levels import choose_stretch
from gz2_dataset.pixel_values import PixelValues
from gz2_dataset.stretch import STRETCHES, Stretch, as_stored, parse_bands, pixels_of

from .fits_files import GRI, NOISE, SKY, fits_bytes, galaxy
from .test_images import GREY, JPEG, PNG, encoded

FLUXES = np.geomspace(50, 5000, 20)


@pytest.fixture(scope="module")
def survey() -> list[bytes]:
    return [fits_bytes(galaxy(flux, seed=i)) for i, flux in enumerate(FLUXES)]


def ramp(*levels: float) -> PixelValues:
    return PixelValues(np.array([[levels]], np.float32))


def test_linear_asinh_and_lupton_have_their_analytic_values():
    softening, x = 0.05, np.linspace(0, 1, 9)
    curve = np.arcsinh(x / softening) / np.arcsinh(1 / softening)
    for name, expected in (("linear", x), ("asinh", curve), ("lupton", curve)):
        stretch = Stretch(name, ("0",), 1, (100.0,), (300.0,), softening)
        found = stretch.picture(ramp(*(100 + 200 * x)))[0, :, 0]
        np.testing.assert_allclose(found, 255 * expected, atol=1, err_msg=name)


@pytest.mark.parametrize("name", STRETCHES)
def test_the_brightest_is_white_and_what_was_not_measured_is_black(name):
    stretch = Stretch(name, ("0",), 1, (0.0,), (100.0,), 0.1)
    picture = stretch.picture(ramp(0, 30, 60, 100, np.nan, np.inf))[0]
    assert picture[4].max() == 0
    assert picture[5].min() == 255
    assert (np.diff(picture[:4, 0].astype(int)) > 0).all()


def test_a_nan_that_signals_is_as_dark_as_any():
    values = PixelValues(np.array([[[0x7F800001, 0x3F800000]]], np.uint32).view(np.float32))  # as a damaged file has
    assert Stretch("linear", ("0",), 1, (0.0,), (1.0,)).picture(values)[0, :, 0].tolist() == [0, 255]


def test_the_last_band_is_red_and_a_single_one_grey():
    planes = np.array([10, 20, 30], np.float32).reshape(3, 1, 1)
    stretch = Stretch("linear", ("g", "r", "i"), 3, (0.0,) * 3, (255.0,) * 3)
    assert stretch.picture(PixelValues(planes, 3)).ravel().tolist() == [30, 20, 10]
    assert Stretch("linear", ("0",), 1, (0.0,), (255.0,)).picture(ramp(10)).ravel().tolist() == [10] * 3
    with pytest.raises(OSError, match="images of 1 planes, where most have 3"):
        stretch.picture(ramp(10))


def test_lupton_keeps_the_colour_of_a_bright_pixel_where_asinh_bleaches_it():
    planes = np.array([0.1, 0.3, 0.9], np.float32).reshape(3, 1, 1) * 0.9
    ratio = {}
    for name in ("lupton", "asinh"):
        red, _, blue = (
            Stretch(name, ("0", "1", "2"), 3, (0.0,) * 3, (1.0,) * 3, 0.01).picture(PixelValues(planes, 3)).ravel()
        )
        ratio[name] = red / blue
    assert ratio["lupton"] == pytest.approx(9, rel=0.1)
    assert ratio["asinh"] < 2


@pytest.mark.parametrize("name", [None, "lupton"])
def test_a_survey_has_its_sky_a_little_above_black_and_its_bright_galaxies_white(survey, name):
    stretch = choose_stretch(survey, name)
    assert (stretch.name, stretch.bands) == (name or "asinh", ("0", "1", "2"))
    np.testing.assert_allclose(np.array(stretch.low), SKY - 2 * NOISE, rtol=0.1)
    faint, bright = (pixels_of(content, stretch) for content in (survey[0], survey[-1]))
    assert 5 < faint[:8, :8].mean() < 60
    assert faint[:8, :8].std() > 1, "the noise of the sky is not cut off"
    assert bright.max() == 255 > faint.max(), "a stretch that is the same for all keeps who is brighter"


def test_white_is_so_bright_in_each_band_as_the_galaxies_are(survey):
    stretch = choose_stretch(survey)
    heights = np.array(stretch.high) - SKY
    np.testing.assert_allclose(heights / heights[-1], GRI, rtol=0.1)


def test_a_stretch_survives_its_record(survey):
    stretch = choose_stretch(survey)
    assert Stretch.from_record(json.loads(json.dumps(asdict(stretch)))) == stretch
    assert Stretch.from_record(None) is None


def test_pictures_of_16_bits_are_scaled_to_the_bits_that_they_use():
    for bits, factor in ((16, 257), (12, 16)):
        deep = encoded(Image.fromarray(GREY.astype(np.uint16) * factor), "PNG")
        stretch = choose_stretch([deep])
        assert (stretch.name, stretch.low, stretch.high) == ("linear", (0.0,), (2.0**bits - 1,))
        np.testing.assert_allclose(pixels_of(deep, stretch)[..., 0], GREY, atol=1)


def test_finished_pictures_need_none_and_are_stored_as_they_came():
    assert choose_stretch([JPEG, PNG, b""]) is None
    assert as_stored(JPEG, None) is JPEG
    tiff = encoded(Image.fromarray(GREY), "TIFF")
    np.testing.assert_array_equal(pixels_of(as_stored(tiff, None), None)[..., 0], GREY)
    with pytest.raises(OSError, match="need a stretch"):
        pixels_of(fits_bytes(galaxy(1)), None)


def test_a_stored_picture_has_the_pixels_that_a_survey_file_gets(survey):
    stretch = choose_stretch(survey)
    np.testing.assert_array_equal(pixels_of(as_stored(survey[3], stretch), None), pixels_of(survey[3], stretch))


def test_a_survey_of_other_cubes_is_refused_with_what_they_are():
    with pytest.raises(UserError, match="5 planes of 8 x 8, where 1 or 3"):
        choose_stretch([fits_bytes(np.zeros((5, 8, 8)))])
    with pytest.raises(UserError, match="all are empty"):
        choose_stretch([fits_bytes(np.full((8, 8), np.nan))])


@pytest.mark.parametrize("text", ["g,r", "0,g,1", "g,,i", "0,1,2,3"])
def test_bands_are_one_or_three(text):
    with pytest.raises(UserError, match="give one or three, from blue to red"):
        parse_bands(text)
