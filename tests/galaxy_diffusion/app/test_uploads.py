"""What a visitor uploads: refused in one line if it is no picture, otherwise shown with the part that a net sees."""

from io import BytesIO

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from galaxy_diffusion.app.uploads import FRAME, MAX_BYTES, SHOWN, picture_of, read_upload, with_crop_drawn
from gz2_dataset import UserError
from gz2_dataset.stretch import Stretch


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "cannot be read"), (b"MZ\x90\x00 not a picture", "cannot be read")]
)
def test_what_is_no_picture_is_refused_in_one_line(content, message):
    with pytest.raises(UserError, match=message) as error:
        picture_of(content)
    assert "\n" not in str(error.value)


def test_what_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "galaxy.jpg"
    path.write_bytes(b"\0" * (MAX_BYTES + 1))
    with pytest.raises(UserError, match="larger than 16 MB") as error:
        read_upload(str(path))
    assert str(tmp_path) not in str(error.value), "a visitor learns nothing about the server"


def test_a_fits_file_becomes_a_picture_by_the_stretch_of_the_data():
    planes = np.random.default_rng(0).normal(0, 1, (3, 20, 20)).astype(np.float32)
    planes[:, 8:12, 8:12] += 50
    file = BytesIO()
    fits.PrimaryHDU(planes).writeto(file)
    stretch = Stretch("linear", ("0", "1", "2"), 3, (0.0,) * 3, (50.0,) * 3)
    picture = picture_of(file.getvalue(), stretch)
    assert picture.shape == (20, 20, 3)
    assert picture[10, 10].min() > picture[0, 0].max()
    with pytest.raises(UserError, match="need a stretch"):
        picture_of(file.getvalue())


def test_a_missing_picture_is_asked_for():
    with pytest.raises(UserError, match="upload a JPEG, PNG"):
        read_upload(None)


def test_the_frame_is_around_the_central_square_and_the_rest_is_dimmed(tmp_path):
    pixels = np.full((424, 424, 3), 200, np.uint8)
    picture = np.asarray(with_crop_drawn(pixels, 212))
    assert picture.shape == (SHOWN, SHOWN, 3)
    quarter, half = SHOWN // 4, SHOWN // 2
    assert (picture[half, half], picture[4, half]) == (pytest.approx(200), pytest.approx(100))
    rows = np.flatnonzero((picture[:, half] == FRAME).all(axis=1))
    assert (rows.min(), rows.max()) == (quarter, 3 * quarter - 1)


def test_a_picture_that_is_not_square_keeps_its_shape(tmp_path):
    assert with_crop_drawn(np.zeros((100, 50, 3), np.uint8), 0).size == (SHOWN // 2, SHOWN)


def test_a_whole_picture_is_read(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "galaxy.png")
    assert read_upload(str(tmp_path / "galaxy.png")) == ("galaxy.png", (tmp_path / "galaxy.png").read_bytes())
