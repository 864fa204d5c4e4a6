"""Any timm backbone as a transformers model that `pipeline("image-classification")` can load."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import TimmWrapperConfig, TimmWrapperForImageClassification

from galaxy_diffusion.classifiers import image_processor
from galaxy_diffusion.shared.run_folder import write_json
from galaxy_diffusion.shared.timm_nets import create_net, find_net
from gz2_dataset import UserError
from gz2_dataset.arrays import jpeg_settings
from gz2_dataset.aside import as_umask_says
from gz2_dataset.stretch import Stretch


def make_model(
    backbone: str, model_args: dict[str, Any], pretrained: bool, resolution: int, class_names: tuple[str, ...]
) -> TimmWrapperForImageClassification:
    """A timm network in the format of transformers.

    Parameters
    ----------
    backbone : str
        As for `timm_nets.find_net`.
    model_args : dict
        Passed on to `timm.create_model`.
    pretrained : bool
        Start from timm's weights; only the last layer is new.
    resolution : int
        Side of the images in pixels, set as ``img_size`` where the backbone has a fixed one.
    class_names : tuple of str

    Returns
    -------
    TimmWrapperForImageClassification
        Its ``config.pretrained_cfg`` holds the backbone's own ``mean`` and ``std``.

    Raises
    ------
    UserError
        If timm has no such backbone, the backbone takes no such arguments, or its weights cannot be downloaded.

    Examples
    --------
    >>> make_model("tf_efficientnetv2_s", {}, False, 224, ("round", "spiral")).config.pretrained_cfg["mean"]
    [0.5, 0.5, 0.5]
    """
    source = find_net(backbone)
    if source.has_weights and not pretrained:
        raise UserError(f"backbone {backbone}: is the name of weights; give --pretrained true to start from them")
    own_size = {"img_size": resolution} if source.fixed_input_size else {}
    model_args = {**source.model_args, **own_size, **model_args}
    config = TimmWrapperConfig(
        architecture=source.architecture,
        model_args=model_args,
        id2label=dict(enumerate(class_names)),
        label2id={name: i for i, name in enumerate(class_names)},
        pretrained_cfg={  # pyright: ignore[reportCallIssue]
            "input_size": [3, resolution, resolution],
            "mean": source.mean,
            "std": source.std,
        },
    )
    try:
        model = TimmWrapperForImageClassification(config)
        # The wrapper has drawn every weight anew with std 0.02, too small for a convolutional net: restore timm's own.
        model.timm_model = create_net(backbone, pretrained, num_classes=len(class_names), **model_args)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"backbone {backbone} with model_args {model_args} at {resolution} px: {reason}") from None
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def save_model(
    model: TimmWrapperForImageClassification,
    folder: Path,
    center_crop: int,
    image_side: int,
    stretch: Stretch | None = None,
) -> None:
    """Write the model with two ways to prepare image files for it, which `AutoImageProcessor` chooses from.

    With ``trust_remote_code=True`` it takes `GalaxyImageProcessor`, a copy of whose file is in the folder: exactly what
    the training did. Otherwise it takes timm's transform, which cuts the same share of each image, to whole pixels, and
    does not compress.

    Parameters
    ----------
    model : TimmWrapperForImageClassification
    folder : Path
    center_crop : int
        As in `GalaxyArrays`.
    image_side : int
        Shorter side in pixels of the images that the crop is taken from.
    stretch : Stretch, optional
        Of the data's files that were not finished pictures, which neither way takes.
    """
    module = Path(image_processor.__file__)
    auto_map = {"AutoImageProcessor": f"{module.stem}.{image_processor.GalaxyImageProcessor.__name__}"}
    prepared = model.config.pretrained_cfg
    prepared.update(interpolation="lanczos", crop_pct=min(1.0, center_crop / image_side) if center_crop else 1.0)
    model.config.auto_map = auto_map  # read from here in a folder, from preprocessor_config.json on the Hub
    model.save_pretrained(folder)
    as_umask_says(folder)
    shutil.copyfile(module, folder / module.name)
    resolution = prepared["input_size"][-1]
    settings = {
        "image_processor_type": "TimmWrapperImageProcessor",
        "auto_map": auto_map,
        "resolution": resolution,
        "center_crop": center_crop,
        "image_mean": prepared["mean"],
        "image_std": prepared["std"],
        "jpeg": jpeg_settings(resolution),
        "stretch": stretch and asdict(stretch),
    }
    write_json(folder / "preprocessor_config.json", settings)
