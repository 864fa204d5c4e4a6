"""Folders of generated images: those of an earlier version are read, and it is said what is wrong with them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from galaxy_diffusion.shared.image_folder import file_of, load_generated, save_image, write_metadata
from gz2_dataset.arrays import encode_jpeg

PIXELS = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("earlier", [False, True])
def test_an_earlier_folder_is_read_with_a_note(tmp_path: Path, capsys, earlier):
    file = file_of(tmp_path, "ring", 0)
    file.parent.mkdir()
    if earlier:
        file.write_bytes(encode_jpeg(Image.fromarray(PIXELS), quality=95))
    else:
        save_image(file, PIXELS)
    write_metadata(tmp_path, lambda *_: {})
    (tmp_path / "run.json").write_text(json.dumps({"center_crop": 0}))
    assert len(load_generated(str(tmp_path), ("ring",), 32, 0)) == 1
    assert ("stored with loss" in capsys.readouterr().out) == earlier
