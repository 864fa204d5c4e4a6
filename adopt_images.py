"""Take another generator's images into a folder that every command reads, with what that generator has seen."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from galaxy_diffusion.sampling.generated_card import write_card
from galaxy_diffusion.shared.image_folder import USE, file_of, save_image, write_metadata
from galaxy_diffusion.shared.run_folder import same_run, write_json
from galaxy_diffusion.shared.seen_images import SAW_NOTHING, digest_of_list, read_rows, write_rows, write_seen_images
from gz2_dataset import UserError, load_arrays
from gz2_dataset.command_line import provenance, run
from gz2_dataset.crop import WHOLE, prepare_image
from gz2_dataset.images import decode, problem_of
from gz2_dataset.ranges import Checked, between
from gz2_dataset.sources.sources import read_source

SPLITS = {"train": ("train",), "train+unlabelled": ("train", "unlabelled")}


@dataclass
class Config(Checked):
    """Where the images come from."""

    images: str
    """Folder (or zip) with one subfolder of JPEG or PNG images per class, named as the classes of the data."""
    data: str
    """The data that the images are to be added to or compared with, as in train_ddpm.py."""
    seen: str
    """What their generator has learned from: train, train+unlabelled (these splits of the data), none, or a CSV file
    with the columns image_id and sha256. What is given here is believed; where a galaxy to be tested is on the list,
    classifiers and evaluations refuse the images."""
    output_dir: Path
    """Becomes an image folder with metadata.jsonl, as of generate.py."""
    resolution: int = field(metadata=between(1, 4096))
    """Side in pixels to which the central square of each image is resized, as real images are. An image that is smaller
    is refused."""
    generator: str = "another generator"
    """Its name, for tables and records."""


def main(config: Config) -> None:
    load = partial(load_arrays, config.data, resolution=config.resolution)
    train = load(split="train")
    source = read_source(config.images, "image_folder")
    if unknown := set(source.class_names) - set(train.class_names):
        raise UserError(
            f"{config.images}/{min(unknown)}: is no class of the data; rename the folder to one of "
            f"{', '.join(train.class_names)}"
        )
    listed = None if config.seen in (*SPLITS, SAW_NOTHING) else read_rows(Path(config.seen))
    same_run(config.output_dir / "settings.json", provenance(config)["config"] | {"images_stamp": source.stamp})
    names = {}
    for label, galaxies in source.table.groupby("galaxy_class"):
        for number, name in enumerate(tqdm(galaxies["file"], desc=label, unit="image")):
            pixels = pixels_of(source.read(name), f"{config.images}/{name}", config.resolution)
            save_image(file_of(config.output_dir, label, number), prepare_image(pixels, config.resolution, WHOLE))
            names[label, number] = name
    if config.seen in SPLITS:
        write_seen_images(config.output_dir, *(load(split=split) for split in SPLITS[config.seen]))
    else:
        write_rows(config.output_dir, listed or [(SAW_NOTHING, SAW_NOTHING)])
    record = {"scheduler": config.generator, "steps": 0, "guidance_scale": 1.0}
    write_metadata(config.output_dir, lambda label, number: {**record, "source_file": names[label, number]})
    write_card(config.output_dir, config.generator)
    described = {"center_crop": train.center_crop, "use": USE, **digest_of_list(config.output_dir)}
    write_json(config.output_dir / "run.json", {**provenance(config), **described})
    print(f"images: {config.output_dir}: {len(names)} of {config.generator}, which has seen {config.seen}")


def pixels_of(content: bytes, path: str, resolution: int) -> np.ndarray:
    """The pixels of an image file, uint8 (H, W, 3), both sides at least ``resolution``."""
    if reason := problem_of(content):
        raise UserError(f"{path}: is one of {reason}; mend or remove it")
    pixels = decode(content)
    height, width, _ = pixels.shape
    if min(height, width) < resolution:
        raise UserError(f"{path}: {width} x {height} pixels; give --resolution {min(height, width)} or less")
    return pixels


if __name__ == "__main__":
    run(main, Config, __doc__)
