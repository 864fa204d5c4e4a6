"""Several classifiers of the same classes, which see each image as their own trainings did."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from galaxy_diffusion.shared.class_prior import log_class_shares
from galaxy_diffusion.shared.classifier_folder import (
    class_names_of,
    predicts_votes,
    read_classifier,
    read_quality,
    read_results,
)
from gz2_dataset import UserError
from gz2_dataset.arrays import jpeg_round_trip
from gz2_dataset.crop import prepare_image, recorded_crop
from gz2_dataset.stretch import Stretch, pixels_of

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class View(NamedTuple):
    """What a net sees of an image: its resolution, the side in pixels of the crop, 0 for the whole, and the stretch.

    And the JPEG quality of its training's images, which was another in earlier versions; None for that of this one.
    """

    resolution: int
    center_crop: int
    stretch: Stretch | None = None
    quality: int | None = None

    def prepare(self, content: bytes, resolution: int) -> np.ndarray:
        """An image file in this view, uint8 (resolution, resolution, 3); OSError if it is not a whole image."""
        return prepare_image(pixels_of(content, self.stretch), resolution, self.center_crop)


@dataclass(frozen=True)
class Member:
    """One classifier.

    Attributes
    ----------
    folder : Path
    net : torch.nn.Module
        Of timm: takes float32 (B, 3, R, R), gives logits (B, classes).
    view : View
    mean, std : Tensor, shape (3, 1, 1)
        In units of 0 to 255.
    log_shares : ndarray, shape (classes,), or None
        Logarithm of each class's share of the training; None where its record does not say.
    """

    folder: Path
    net: Any
    view: View
    mean: torch.Tensor
    std: torch.Tensor
    log_shares: np.ndarray | None


@dataclass(frozen=True)
class Ensemble:
    """Classifiers of the same classes.

    Attributes
    ----------
    members : sequence of Member
    class_names : tuple of str
    device : torch.device
    precision : {"no", "bf16", "fp16"}
        Of the nets.
    votes : bool
        Whether the logits are of the answers of volunteers, not of classes.
    """

    members: Sequence[Member]
    class_names: tuple[str, ...]
    device: torch.device
    precision: str
    votes: bool = False

    @property
    def files_side_by_side(self) -> tuple[str, ...]:
        """The bands of which each image has one file.

        Raises
        ------
        UserError
            If not all classifiers want the same.
        """
        wanted = {member.view.stretch.files_side_by_side if member.view.stretch else () for member in self.members}
        if len(wanted) > 1:
            raise UserError("the classifiers learned from different bands; apply them one by one")
        return wanted.pop()

    def prepare(self, content: bytes) -> dict[View, np.ndarray]:
        """An image file as each of the members' trainings saw its images: cropped, resized and compressed.

        Raises
        ------
        OSError
            If it is not a whole image.
        """
        pixels = {stretch: pixels_of(content, stretch) for stretch in {m.view.stretch for m in self.members}}
        return {
            view: jpeg_round_trip(prepare_image(pixels[view.stretch], view.resolution, view.center_crop), view.quality)
            for view in {m.view for m in self.members}
        }

    @torch.inference_mode()
    def __call__(self, images: Sequence[dict[View, np.ndarray]]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Logits, float32 (members, B, classes), and each member's penultimate features, float32 (B, D)."""
        if not images:
            features = [np.zeros((0, member.net.head_hidden_size), np.float32) for member in self.members]
            return np.zeros((len(self.members), 0, len(self.class_names)), np.float32), features
        logits, features = [], []
        for member in self.members:
            pixels = torch.from_numpy(np.stack([image[member.view] for image in images])).to(self.device)
            pixels = pixels.permute(0, 3, 1, 2).float().sub_(member.mean).div_(member.std)
            with torch.autocast(self.device.type, DTYPES.get(self.precision), enabled=self.precision in DTYPES):
                maps = member.net.forward_features(pixels)
                logits.append(member.net.forward_head(maps).float().cpu().numpy())
                features.append(member.net.forward_head(maps, pre_logits=True).float().cpu().numpy())
        return np.stack(logits), features


def load_ensemble(folders: Sequence[str], device: torch.device, precision: str = "no", votes: bool = False) -> Ensemble:
    """Load the classifiers of some folders of train_classifier.py.

    Parameters
    ----------
    folders : sequence of str
    device : torch.device
    precision : {"no", "bf16", "fp16"}
    votes : bool
        Whether a single one that predicts votes will do.

    Raises
    ------
    UserError
        If there is none, one is not finished, or they have different classes.
    """
    if not folders:
        raise UserError("--model: no folder is given; name one or more of train_classifier.py")
    members, class_names, of_votes = [], (), False
    for folder in map(Path, folders):
        model = read_classifier(folder, votes)
        of_votes = predicts_votes(model)
        if of_votes and len(folders) > 1:
            raise UserError(f"{folder}: predicts votes, which are of one model at a time; give one --model")
        names, results, config = class_names_of(model), read_results(folder), model.config.pretrained_cfg
        if class_names and names != class_names:
            raise UserError(
                f"{folder}: has the classes {', '.join(names)}, but {folders[0]} has {', '.join(class_names)}; "
                "give models of the same classes"
            )
        class_names = names
        mean, std = (255 * torch.tensor(config[key], device=device).view(3, 1, 1) for key in ("mean", "std"))
        stretch = Stretch.from_record(results.get("stretch"))
        view = View(config["input_size"][-1], recorded_crop(results), stretch, read_quality(folder))  # pyright: ignore[reportArgumentType]
        net = model.timm_model.to(device, memory_format=torch.channels_last)  # twice as fast on a CPU
        members.append(Member(folder, net, view, mean, std, log_class_shares(results, class_names)))
    return Ensemble(members, class_names, device, precision, of_votes)
