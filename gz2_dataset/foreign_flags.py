"""Flags of the Hugging Face example scripts that have another name here or need none."""

import re
from collections.abc import Collection

from .user_error import UserError

LENGTH = "give --total_images, the length of the training in images seen"
DATA = "give --data, a folder or Hub id; python -m gz2_dataset build makes one of a folder, --data_dir, or Hub dataset"
HUB = "run hf auth login once, or set HF_TOKEN"
FOREIGN = {
    "train_batch_size": "give --batch_size, images per step over all processes",
    "per_device_train_batch_size": "give --batch_size, images per step over all processes",
    "num_train_epochs": LENGTH,
    "num_epochs": LENGTH,
    "max_train_steps": LENGTH,
    "max_steps": LENGTH,
    "resume_from_checkpoint": "nothing to give: the same command goes on from its newest checkpoint",
    "resume": "nothing to give: the same command goes on from its newest checkpoint",
    "use_ema": "nothing to give: the moving average of the weights is what is saved; its decay is --ema_decay",
    "checkpointing_steps": "give --checkpoint_images, images between two checkpoints",
    "save_steps": "give --checkpoint_images, images between two checkpoints",
    "checkpoints_total_limit": "nothing to give: the newest checkpoints are kept until the training has ended",
    "validation_steps": "give --validation_images, images between two looks at the validation split",
    "eval_steps": "give --validation_images, images between two looks at the validation split",
    "validation_epochs": "give --sample_images, images between two grids of samples",
    "save_images_epochs": "give --sample_images, images between two grids of samples",
    "logging_steps": "give --log_images, images between two lines of metrics.jsonl",
    "logger": "give --report_to",
    "log_with": "give --report_to",
    "lr": "give --learning_rate",
    "lr_warmup_steps": "give --warmup_images, images over which the learning rate rises",
    "warmup_steps": "give --warmup_images, images over which the learning rate rises",
    "snr_gamma": "give --min_snr_gamma",
    "ddpm_num_steps": "give --num_train_timesteps",
    "ddpm_beta_schedule": "give --beta_schedule",
    "ddpm_num_inference_steps": "give --num_inference_steps",
    "rank": "give --lora_rank",
    "random_flip": "nothing to give: every training sees flips and quarter turns",
    "train_data_dir": DATA,
    "dataset_name": DATA,
    "instance_data_dir": DATA,
    "model_name_or_path": "give --backbone, or --model of generate.py and predict.py",
    "pretrained_model_name_or_path": "give --init_from, --backbone, or --model of generate.py and predict.py",
    "hub_token": HUB,
    "hub_private_repo": "give --private",
    "hub_repo_id": "give --hub_model_id",
    "num_images_per_prompt": "give --num_images",
    "dataloader_num_workers": "give --num_workers",
}
"""What to do instead of giving a flag."""


def refuse_foreign(argument: str, options: Collection[str]) -> None:
    """Raise a `UserError` that names ours, if an argument is a flag that other tools have and this command has not."""
    flag = argument.partition("=")[0]
    remedy = FOREIGN.get(flag.removeprefix("--"), "")
    named = re.findall(r"--(\w+)", remedy)
    if flag.startswith("--") and remedy and flag[2:] not in options and (not named or set(named) & set(options)):
        raise UserError(f"{flag}: no option here; {remedy}")
