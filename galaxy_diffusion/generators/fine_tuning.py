"""Start from a trained model: the class table is re-made by name, the rest of the UNet kept, or held with LoRA."""

from dataclasses import fields

import torch
from diffusers import DDPMScheduler, DiffusionPipeline, UNet2DModel

from galaxy_diffusion.generators.conditioning import known_rows, remade_table
from galaxy_diffusion.generators.unet import check_divisible
from galaxy_diffusion.sampling.ddpm_pipeline import ImageFormat
from gz2_dataset import UserError

ADAPTED = ["conv1", "conv2", "time_emb_proj", "to_q", "to_k", "to_v", "to_out.0"]
"""The layers that LoRA adapts: convolutions, modulation and attention of every block."""


def start_from(
    model: str, row_names: list[str], resolution: int, scheduler: DDPMScheduler, dropout: float = 0.0
) -> tuple[UNet2DModel, ImageFormat]:
    """The UNet of a saved pipeline with another class table, and how it sees images.

    Rows whose name the model knows are kept; others start as its null class, which is any galaxy. A model without
    classes gets a table of zeros, with which it generates what it did.

    Parameters
    ----------
    model : str
        Pipeline folder or Hub id.
    row_names : list of str
        Rows of the new table, as `Conditioning.row_names` gives them.
    resolution : int
        Side of the images in pixels; may differ from the model's.
    scheduler : DDPMScheduler
        What the training will use; the model has to have been trained with the same.
    dropout : float
        Replaces the model's.

    Raises
    ------
    UserError
        If there is no such model, or it was trained with another schedule or prediction type, or on classes where votes
        are to be learned.
    """
    try:
        index = DiffusionPipeline.load_config(model)
        old = UNet2DModel.from_pretrained(model, subfolder="unet", use_safetensors=True)
        trained_with = DDPMScheduler.from_pretrained(model, subfolder="scheduler").config
    except (OSError, ValueError) as error:
        raise UserError(
            f"init_from {model}: cannot be loaded as a pipeline ({str(error).splitlines()[0]}); "
            "give the output_dir of train_ddpm.py or a Hub id"
        ) from None
    options = {"rescale_betas_zero_snr": "zero_terminal_snr", "trained_betas": "noise_shift"}
    for name in ("prediction_type", "beta_schedule", "num_train_timesteps", *options):
        if trained_with[name] != scheduler.config[name]:
            option = options.get(name, name)
            raise UserError(
                f"init_from {model}: was trained with --{option} {str(trained_with[name]).lower()}; use it too"
            )
    known = {field.name: index[field.name] for field in fields(ImageFormat) if field.name in index}
    image_format = ImageFormat(**known)
    check_divisible(resolution, image_format.patch_size, len(old.config.block_out_channels))
    settings = {
        "sample_size": resolution // image_format.patch_size,
        "num_class_embeds": len(row_names),
        "dropout": dropout,
    }
    unet = UNet2DModel.from_config({**old.config, **settings})
    weights = old.state_dict()
    table = unet.class_embedding.weight.detach()
    remade = remade_table(weights.get("class_embedding.weight"), known_rows(index, old), row_names, model)
    weights["class_embedding.weight"] = torch.zeros_like(table) if remade is None else remade
    unet.load_state_dict(weights)
    return unet, image_format


def add_lora(unet: UNet2DModel, rank: int, init_from: str | None) -> None:
    """Hold the weights, and learn their change as products of two thin matrices (Hu et al. 2021, arXiv:2106.09685).

    The class table is learned as a whole. `merge_lora` gives a plain UNet back.

    Raises
    ------
    UserError
        If there is no trained net to hold, or peft is not installed.
    """
    if not init_from:
        raise UserError("lora_rank adapts a trained net; give it with --init_from")
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise UserError("lora_rank needs peft; pip install peft") from None
    lora = LoraConfig(r=rank, lora_alpha=rank, target_modules=ADAPTED)
    inject_adapter_in_model(lora, unet)
    unet.class_embedding.requires_grad_(True)


def merge_lora(unet: UNet2DModel) -> UNet2DModel:
    """Add what LoRA has learned to the weights; the same UNet as a plain one, with or without LoRA before."""
    for name, module in list(unet.named_modules()):
        if hasattr(module, "get_base_layer"):
            module.merge()
            unet.set_submodule(name, module.get_base_layer())
    return unet
