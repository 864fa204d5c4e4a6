"""Prepares image files for a classifier as its training did: crop, Lanczos resampling, JPEG compression, normalisation.

This file lies beside the weights of each classifier, so it imports nothing of the project that trained it.
"""

from io import BytesIO

import numpy as np
import torch
from PIL import Image
from transformers import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor
from transformers.image_transforms import to_pil_image
from transformers.image_utils import make_flat_list_of_images


class GalaxyImageProcessor(BaseImageProcessor):
    """From images of any size to the input of a classifier.

    Parameters
    ----------
    resolution : int
        Side of the net's input in pixels.
    center_crop : int
        Side in pixels of the central square that is taken of each image; 0 is the largest one.
    image_mean, image_std : list of float
        Of each channel, in [0, 1].
    jpeg : dict
        Quality and chroma subsampling, as Pillow calls them, with which the training's images were compressed.

    Examples
    --------
    >>> prepare = GalaxyImageProcessor(64, 224, [0.5] * 3, [0.5] * 3, {"quality": 95, "subsampling": 0})
    >>> prepare(Image.new("RGB", (424, 424)))["pixel_values"].shape
    torch.Size([1, 3, 64, 64])
    """

    model_input_names = ["pixel_values"]  # noqa: RUF012, as transformers has it

    def __init__(
        self,
        resolution: int,
        center_crop: int,
        image_mean: list[float],
        image_std: list[float],
        jpeg: dict[str, int],
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.resolution, self.center_crop, self.jpeg = resolution, center_crop, jpeg  # pyright: ignore[reportAttributeAccessIssue]
        self.image_mean, self.image_std = image_mean, image_std

    def preprocess(self, images, return_tensors: str = "pt") -> BatchFeature:
        """The input of the net for one or several images; those that are files have been turned upright."""
        pixels = [self.prepared(to_pil_image(image)) for image in make_flat_list_of_images(images)]  # pyright: ignore
        values = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float()
        mean, std = (255 * torch.tensor(value).view(3, 1, 1) for value in (self.image_mean, self.image_std))
        return BatchFeature({"pixel_values": (values - mean) / std}, tensor_type=return_tensors)

    def prepared(self, image: Image.Image) -> np.ndarray:
        """uint8, shape (resolution, resolution, 3); ValueError for an image of more than 8 bits."""
        if image.mode == "F" or image.mode.startswith("I"):
            raise ValueError("the image has more than 8 bits: give a picture in the stretch of the training's images")
        image = image.convert("RGB")
        side = min(self.center_crop or image.height, *image.size)  # pyright: ignore[reportArgumentType]
        left, top = (image.width - side) // 2, (image.height - side) // 2
        size, box = (self.resolution, self.resolution), (left, top, left + side, top + side)
        file = BytesIO()
        image.resize(size, Image.Resampling.LANCZOS, box).save(file, "JPEG", **self.jpeg)
        return np.array(Image.open(file))
