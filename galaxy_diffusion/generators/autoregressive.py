"""How the autoregressive model is trained: first the codes of images, then their order, code by code."""

from dataclasses import asdict, dataclass, field

import torch
from accelerate import Accelerator
from diffusers import VQModel
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel

from galaxy_diffusion.generators.vae import check_autoencoder, pixel_losses
from galaxy_diffusion.sampling.autoregressive_pipeline import ConditionalAutoregressivePipeline
from galaxy_diffusion.sampling.ddpm_pipeline import ImageFormat
from gz2_dataset import UserError
from gz2_dataset.ranges import Checked, at_least, between


@dataclass
class AutoregressiveConfig(Checked):
    """Settings of the nets."""

    patch_size: int = field(default=2, metadata=between(1, 64))
    """Side in pixels of the patches that the autoencoder works on; 1 is the pixels themselves."""
    block_out_channels: list[int] = field(default_factory=lambda: [64, 128], metadata=between(1, 8192))
    """Channels of each level of the autoencoder, from the patches down; each level but the last halves the side, and
    the last has one code at each position."""
    layers_per_block: int = field(default=1, metadata=between(1, 64))
    """Residual blocks per level of the encoder; the decoder has one more."""
    norm_num_groups: int = field(default=8, metadata=at_least(1))
    """Groups of the group normalisation; divides all block_out_channels."""
    num_codes: int = field(default=256, metadata=between(2, 1_000_000))
    """Codes to choose from."""
    code_dim: int = field(default=4, metadata=between(1, 8192))
    """Length of the vector of a code; few dimensions keep more codes in use."""
    hidden_size: int = field(default=128, metadata=between(1, 65_536))
    """Channels of the transformer."""
    num_layers: int = field(default=4, metadata=between(1, 1024))
    """Blocks of the transformer."""
    num_heads: int = field(default=4, metadata=at_least(1))
    """Attention heads of the transformer; divides hidden_size."""
    dropout: float = field(default=0.1, metadata=between(0, 1))
    """Dropout in the transformer."""


def make_nets(settings: AutoregressiveConfig, resolution: int, num_rows: int) -> tuple[VQModel, GPT2LMHeadModel]:
    """Autoencoder and transformer of a training.

    Parameters
    ----------
    settings : AutoregressiveConfig
    resolution : int
        Side of the images in pixels.
    num_rows : int
        Classes and null class.

    Raises
    ------
    UserError
        If the resolution cannot be halved that often, or channels do not divide into groups or heads.
    """
    channels, side = check_autoencoder(settings, resolution)
    if settings.hidden_size % settings.num_heads:
        raise UserError(f"num_heads {settings.num_heads} does not divide hidden_size {settings.hidden_size}")
    values = 3 * settings.patch_size**2
    vqvae = VQModel(
        in_channels=values,
        out_channels=2 * values,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        block_out_channels=channels,
        layers_per_block=settings.layers_per_block,
        latent_channels=channels[-1],
        num_vq_embeddings=settings.num_codes,
        vq_embed_dim=settings.code_dim,
        norm_num_groups=settings.norm_num_groups,
        mid_block_add_attention=False,
        sample_size=resolution // settings.patch_size,
        scaling_factor=1.0,
    )
    transformer = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=settings.num_codes + num_rows,
            n_positions=side**2,  # the class takes the place of the last code, which is never read
            n_embd=settings.hidden_size,
            n_layer=settings.num_layers,
            n_head=settings.num_heads,
            **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), settings.dropout),
            bos_token_id=None,
            eos_token_id=None,
        )
    )
    return vqvae.to(memory_format=torch.channels_last), transformer


def autoencoder_loss(vqvae: torch.nn.Module, patches: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of a step that learns codes, and its parts.

    Parameters
    ----------
    vqvae : Module
        A VQModel, as the accelerator has prepared it.
    patches : Tensor, shape (B, 3 p^2, R / p, R / p)
        Of standardised pixels.

    Returns
    -------
    loss : Tensor
    figures : dict
        ``error`` and ``misfit``, see `vae.pixel_losses`; ``commitment``, how far the encoder's output is from the
        codes.
    """
    decoded, commitment = vqvae(patches, return_dict=False)
    error, misfit = (values.mean() for values in pixel_losses(decoded, patches))
    return error + misfit + commitment, {"error": error, "misfit": misfit, "commitment": commitment}


@torch.no_grad()
def encode(vqvae: VQModel, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The encoder's output at each position, shape (B, T, D), and the nearest codes, shape (B, T), row by row."""
    encoded = vqvae.encode(patches).latents
    codes = vqvae.quantize(encoded)[2][2].view(len(patches), -1)
    return encoded.flatten(2).transpose(1, 2), codes


def code_loss(
    transformer: torch.nn.Module, codes: torch.Tensor, labels: torch.Tensor, num_codes: int
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of a step that learns the order of codes, and figures beside it.

    Parameters
    ----------
    transformer : Module
        A GPT2LMHeadModel, as the accelerator has prepared it.
    codes : Tensor of int64, shape (B, T)
    labels : Tensor of int64, shape (B,)
    num_codes : int
        Tokens from this number on are classes, which are not predicted.

    Returns
    -------
    loss : Tensor
        Mean of -log p(code | class, codes before it), in nats.
    figures : dict
        The same as ``code_loss``, and the `perplexity` of the codes.
    """
    tokens = torch.cat([num_codes + labels[:, None], codes[:, :-1]], dim=1)
    logits = transformer(tokens, use_cache=False).logits[:, :, :num_codes].float()
    loss = cross_entropy(logits.flatten(0, 1), codes.flatten())
    return loss, {"code_loss": loss, "perplexity": perplexity(codes, num_codes)}


def perplexity(codes: torch.Tensor, num_codes: int) -> torch.Tensor:
    """How many codes are in use: the exponential of the entropy of their frequencies, 1 to ``num_codes``.

    Examples
    --------
    >>> round(float(perplexity(torch.tensor([0, 0, 5, 5, 9, 9]), 10)), 4)
    3.0
    """
    shares = torch.bincount(codes.flatten(), minlength=num_codes) / codes.numel()
    return torch.special.entr(shares).sum().exp()


@torch.no_grad()
def revive_codes(accelerator: Accelerator, vqvae: VQModel, patches: torch.Tensor, seed: int) -> None:
    """Move each code that no position of the batch uses to where the encoder's outputs are, so that it comes into use.

    Parameters
    ----------
    accelerator : Accelerator
    vqvae : VQModel
    patches : Tensor, shape (B, 3 p^2, R / p, R / p)
        A process's share of a batch; all processes call this.
    seed : int
        Of the choice of positions.
    """
    encoded, codes = (accelerator.gather(part.flatten(0, 1)) for part in encode(vqvae, patches))
    table = vqvae.quantize.embedding.weight
    unused = torch.bincount(codes, minlength=len(table)) == 0
    chosen = torch.randint(len(encoded), (int(unused.sum()),), generator=torch.Generator().manual_seed(seed))
    table[unused] = encoded[chosen.to(encoded.device)].to(table)


def finished_pipeline(
    vqvae: VQModel, transformer: GPT2LMHeadModel, class_names: tuple[str, ...], image_format: ImageFormat
) -> ConditionalAutoregressivePipeline:
    """A pipeline around the nets."""
    names = dict(enumerate(class_names))
    return ConditionalAutoregressivePipeline(vqvae.eval(), transformer.eval(), names, **asdict(image_format))
