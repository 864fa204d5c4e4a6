"""Start from a trained model: the class table is rebuilt by name, the rest of the UNet kept, or frozen with LoRA."""

import copy
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from diffusers import DDPMScheduler, DiffusionPipeline, UNet2DModel
from diffusers.training_utils import EMAModel
from safetensors.torch import save_file

from galaxy_diffusion.generators.conditioning import known_rows, remade_table
from galaxy_diffusion.generators.unet import check_divisible
from galaxy_diffusion.sampling.ddpm_pipeline import ImageFormat
from galaxy_diffusion.shared.foreign_config import check_sizes
from galaxy_diffusion.shared.shipped import find_model
from gz2_dataset import UserError
from gz2_dataset.aside import written_aside
from gz2_dataset.user_error import in_short

ADAPTED = ["conv1", "conv2", "time_emb_proj", "to_q", "to_k", "to_v", "to_out.0"]
"""The layers that LoRA adapts: convolutions, modulation and attention of every block."""
ADAPTER = "lora"
"""Subfolder of a model in which LoRA's matrices are saved alone."""
TABLE = "class_embedding.weight"


@dataclass(frozen=True)
class Parent:
    """A trained model to start from.

    Attributes
    ----------
    model : str
        Pipeline folder or Hub id.
    unet : UNet2DModel
    noise_scheduler : DDPMScheduler
        Of its training, and of any training that continues from it: a net knows only the noise levels that it has seen.
    image_format : ImageFormat
    index : dict
        Its model_index.json.
    """

    model: str
    unet: UNet2DModel
    noise_scheduler: DDPMScheduler
    image_format: ImageFormat
    index: dict

    @property
    def resolution(self) -> int:
        """Side in pixels of the images that it generates."""
        return self.unet.config.sample_size * self.image_format.patch_size

    def net_for(self, row_names: list[str], resolution: int, dropout: float = 0.0) -> UNet2DModel:
        """Its UNet with another class table.

        Rows whose name the model knows are kept; others are drawn with the spread of those. A model without classes
        gets a table of zeros, with which it generates the same images as before.

        Parameters
        ----------
        row_names : list of str
            Rows of the new table, as `Conditioning.row_names` gives them.
        resolution : int
            Side of the images in pixels; may differ from the model's.
        dropout : float
            Replaces the model's.

        Raises
        ------
        UserError
            If the resolution does not divide into its patches, or votes are to be learned but the model was trained on
            classes.
        """
        patch = self.image_format.patch_size
        check_divisible(resolution, patch, len(self.unet.config.block_out_channels))
        settings = {"sample_size": resolution // patch, "num_class_embeds": len(row_names), "dropout": dropout}
        unet = UNet2DModel.from_config({**self.unet.config, **settings})
        weights = self.unet.state_dict()
        table = unet.class_embedding.weight.detach()
        old_names = known_rows(self.index, self.unet)
        remade = remade_table(weights.get("class_embedding.weight"), old_names, row_names, self.model)
        weights["class_embedding.weight"] = torch.zeros_like(table) if remade is None else remade
        unet.load_state_dict(weights)
        return unet


def load_parent(model: str) -> Parent:
    """Open a trained pipeline to start from.

    Parameters
    ----------
    model : str
        Pipeline folder, Hub id, or the name of a shipped model.

    Raises
    ------
    UserError
        If there is no such model.
    """
    model = find_model(model)
    if Path(model).is_dir():
        check_sizes(Path(model))
    try:
        index = DiffusionPipeline.load_config(model)
        unet = UNet2DModel.from_pretrained(model, subfolder="unet", use_safetensors=True)
        noise_scheduler = DDPMScheduler.from_pretrained(model, subfolder="scheduler")
    except Exception as error:  # a folder may hold anything
        raise UserError(
            f"init_from {model}: cannot be loaded as a pipeline ({in_short(error)}); "
            "give the output_dir of train_ddpm.py or a Hub id"
        ) from None
    known = {field.name: index[field.name] for field in fields(ImageFormat) if field.name in index}
    return Parent(model, unet, noise_scheduler, ImageFormat(**known), index)


def add_lora(unet: UNet2DModel, rank: int, init_from: str | None) -> None:
    """Freeze the weights, and learn their change as products of two thin matrices (Hu et al. 2021, arXiv:2106.09685).

    The class table is learned as a whole. `merge_lora` gives a plain UNet back.

    Raises
    ------
    UserError
        If there is no trained net to freeze, or peft is not installed.
    """
    if not init_from:
        raise UserError("lora_rank adapts a trained net; give it with --init_from")
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise UserError("lora_rank needs peft; pip install peft") from None
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=ADAPTED), unet)
    unet.class_embedding.requires_grad_(True)


def save_adapter(unet: UNet2DModel, ema: EMAModel, rank: int, init_from: str, folder: Path) -> None:
    """Save what LoRA has learned, averaged, and the class table, as `peft.PeftModel` loads them around the net.

    That net is `Parent.net_for` with the same classes, or a net that has been trained on them.

    Parameters
    ----------
    unet : UNet2DModel
        Of `add_lora`.
    ema : EMAModel
        Of its weights.
    rank : int
    init_from : str
        The model that it started from.
    folder : Path
        Becomes a folder of some MB.
    """
    from peft import LoraConfig

    unet = copy.deepcopy(unet)
    ema.copy_to(unet.parameters())
    learned = {name: weight for name, weight in unet.state_dict().items() if ".lora_" in name or name == TABLE}
    weights = {f"base_model.model.{name.replace('.default.', '.')}": weight for name, weight in learned.items()}
    folder.mkdir(parents=True, exist_ok=True)
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=ADAPTED, modules_to_save=[TABLE.partition(".")[0]])
    config.base_model_name_or_path = init_from
    config.inference_mode = True
    config.save_pretrained(str(folder))
    with written_aside(folder / "adapter_model.safetensors") as aside:
        save_file({name: weight.contiguous().cpu() for name, weight in weights.items()}, aside)


def merge_lora(unet: UNet2DModel) -> UNet2DModel:
    """Add what LoRA has learned to the weights, which gives a plain UNet; one without LoRA stays as it is."""
    for name, module in list(unet.named_modules()):
        if hasattr(module, "get_base_layer"):
            module.merge()
            unet.set_submodule(name, module.get_base_layer())
    return unet
