"""Contact sheets, strips and animations."""

import numpy as np
import pytest
from PIL import Image

from galaxy_diffusion.sampling.contact_sheets import contact_sheet, save_animation, save_picture, tile
from galaxy_diffusion.shared.image_folder import file_of, save_image


def flat(*grey: int, side: int = 8) -> np.ndarray:
    return np.array(grey, np.uint8)[:, None, None, None] * np.ones((1, side, side, 3), np.uint8)


def test_tiles_are_where_they_belong():
    sheet = tile(flat(10, 20, 30, 40, 50, 60).reshape(2, 3, 8, 8, 3))
    assert sheet.shape == (16, 24, 3)
    assert sheet[::8, ::8, 0].tolist() == [[10, 20, 30], [40, 50, 60]]


def test_a_contact_sheet_has_a_row_a_class_in_order_of_seeds(tmp_path):
    for name, seed, grey in [
        ("spiral", 12, 90),
        ("spiral", 3, 60),
        ("ring", 0, 200),
        ("ring", 1, 210),
        ("ring", 2, 220),
    ]:
        save_image(file_of(tmp_path, name, seed), flat(grey)[0])
    sheet = contact_sheet(tmp_path, ["ring", "edge_on", "spiral"], columns=2)
    assert sheet.shape == (16, 16, 3)
    assert sheet[4::8, 4::8, 0].tolist() == [pytest.approx([200, 210], abs=2), pytest.approx([60, 90], abs=2)]
    assert contact_sheet(tmp_path, ["spiral", "ring"], columns=3)[4, 20].max() == 0  # no third spiral


def test_pictures_and_animations_are_whole_files_that_pillow_reads(tmp_path):
    save_picture(tmp_path / "strip.png", tile(flat(0, 100)[None]))
    assert np.asarray(Image.open(tmp_path / "strip.png"))[4, [4, 12], 0].tolist() == [0, 100]
    frames = np.stack([flat(*range(0, 250, 50)), flat(*range(250, 0, -50))])
    save_animation(tmp_path / "way.webp", frames)
    with Image.open(tmp_path / "way.webp") as animation:
        assert animation.n_frames == 5
        assert animation.size == (256, 128)
        assert animation.info["loop"] == 0
        for i in range(5):
            animation.seek(i)
            shown = np.asarray(animation.convert("RGB"))[64, [64, 192], 0]
            assert shown.tolist() == pytest.approx([50 * i, 250 - 50 * i], abs=4)
    assert not list(tmp_path.glob(".*"))
