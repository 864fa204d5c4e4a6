"""An autoregressive model of codes of images (van den Oord et al. 2017, arXiv:1711.00937) as a pipeline.

It needs nothing but torch, diffusers and transformers.
`save_pretrained` writes this file beside the weights, so that stock diffusers loads them without this package:
``DiffusionPipeline.from_pretrained(DIR, trust_remote_code=True)``. That runs the file in DIR: read it first if the
model is from elsewhere. The class in this package loads only the weights and runs no code from DIR.
"""

import json
import shutil
from pathlib import Path

import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput, VQModel
from diffusers.image_processor import VaeImageProcessor
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.utils.torch_utils import randn_tensor
from torch.nn.functional import pixel_shuffle
from transformers import GPT2LMHeadModel


class ConditionalAutoregressivePipeline(DiffusionPipeline):
    """Generates images of given classes code by code, from left to right and top to bottom.

    Parameters
    ----------
    vqvae : VQModel
        Codes of patches of p x p standardised pixels. Its decoder gives the mean and log variance of each pixel:
        2 x 3 p^2 channels.
    transformer : GPT2LMHeadModel
        Its tokens are the codes and, after them, the classes; a sequence begins with its class.
    id2label : dict of int to str
        Names of the classes.
    image_mean : sequence of float
        Mean of each channel of the training images in [-1, 1].
    image_std : float
        Standard deviation of the pixels around it.
    patch_size : int
        p.

    Examples
    --------
    >>> pipe = ConditionalAutoregressivePipeline.from_pretrained("runs/autoregressive")  # doctest: +SKIP
    >>> pipe(class_labels=["spiral", "edge_on"]).images[0]  # doctest: +SKIP
    """

    sampler = "autoregressive"
    """What folders of its images record instead of a scheduler."""

    def __init__(
        self,
        vqvae: VQModel,
        transformer: GPT2LMHeadModel,
        id2label: dict | None = None,
        image_mean: tuple | list = (0.0, 0.0, 0.0),
        image_std: float = 1.0,
        patch_size: int = 1,
    ):
        super().__init__()
        self.register_modules(vqvae=vqvae, transformer=transformer)
        self.register_to_config(
            id2label=id2label, image_mean=tuple(image_mean), image_std=image_std, patch_size=patch_size
        )
        self.image_processor = VaeImageProcessor(vae_scale_factor=1)

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in the order of the labels."""
        names = {int(label): name for label, name in self.config.id2label.items()}  # JSON makes the keys strings
        return [names[label] for label in range(len(names))]

    @torch.no_grad()
    def __call__(
        self,
        class_labels: list[int | str],
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        *,
        pixel_noise: bool = True,
    ) -> ImagePipelineOutput | tuple:
        """Generate one image per label.

        Parameters
        ----------
        class_labels : list of int or str, length B
            Class of each image, by index or name.
        generator : torch.Generator or list of them, optional
            With one generator per image, an image does not depend on the others in its batch.
        output_type : {"pil", "np", "pt"}
            ``np`` and ``pt`` give values in [0, 1], shape (B, H, W, 3) and (B, 3, H, W).
        return_dict : bool
            Whether to return an ImagePipelineOutput; otherwise a tuple.
        pixel_noise : bool
            Add noise to all pixels, as much as the decoder finds in the faint quarter of them: the sky. Within the
            galaxy its uncertainty is more than noise.

        Raises
        ------
        ValueError
            If a class is unknown.
        """
        labels = torch.tensor([self.label_of(label) for label in class_labels], device=self.device)
        codes = self.draw_codes(labels, self._noise((len(labels), self.transformer.config.n_positions), generator))
        side = round(codes.shape[1] ** 0.5)
        shape = (len(codes), side, side, self.vqvae.quantize.vq_embed_dim)
        latents = self.vqvae.quantize.get_codebook_entry(codes, shape)
        pixels = DiagonalGaussianDistribution(self.vqvae.decode(latents, force_not_quantize=True).sample.float())
        images = pixels.mean
        if pixel_noise:
            sky = pixels.std.flatten(1).quantile(0.25, dim=1).view(-1, 1, 1, 1)
            images = images + pixels.std.minimum(sky) * self._noise(images.shape, generator)
        images = pixel_shuffle(images, self.config.patch_size)
        images = images * self.config.image_std + images.new_tensor(self.config.image_mean).view(-1, 1, 1)
        images = self.image_processor.postprocess(images, output_type=output_type)
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def draw_codes(self, labels: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Codes of images, each at the quantile of the model's distribution that its noise value has in the normal one.

        Parameters
        ----------
        labels : Tensor of int64, shape (B,)
        noise : Tensor, shape (B, T)
            Standard normal.

        Returns
        -------
        Tensor of int64, shape (B, T)
        """
        quantiles = torch.special.ndtr(noise.double())
        num_codes = self.vqvae.config.num_vq_embeddings
        tokens, cache, codes = num_codes + labels[:, None], None, []
        for position in range(noise.shape[1]):
            output = self.transformer(tokens, past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            cumulative = output.logits[:, -1, :num_codes].double().softmax(dim=1).cumsum(dim=1)
            tokens = (cumulative < quantiles[:, position, None]).sum(dim=1, keepdim=True).clamp(max=num_codes - 1)
            codes.append(tokens)
        return torch.cat(codes, dim=1)

    def save_pretrained(self, save_directory: str | Path, *args, **kwargs) -> None:
        """Save as diffusers does, and this file beside it, so that others load the folder without this package."""
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(__file__, Path(save_directory) / "pipeline.py")
        super().save_pretrained(save_directory, *args, **kwargs)

    def to_json_string(self) -> str:
        """The index, which names the class with its file: stock diffusers finds it there."""
        index = json.loads(super().to_json_string()) | {"_class_name": ["pipeline", type(self).__name__]}
        return json.dumps(index, indent=2, sort_keys=True) + "\n"

    @classmethod
    def _dict_from_json_file(cls, json_file: str | Path) -> dict:
        """The index without the file beside the class, so that this class runs no code of a folder."""
        index = super()._dict_from_json_file(json_file)
        return index | ({"_class_name": cls.__name__} if index.get("_class_name") == ["pipeline", cls.__name__] else {})

    def label_of(self, label: int | str) -> int:
        """Index of a class given by name or index."""
        if label in self.class_names:
            return self.class_names.index(label)
        if isinstance(label, int) and 0 <= label < len(self.class_names):
            return label
        raise ValueError(f"unknown class {label!r}; this model knows {', '.join(self.class_names)}")

    def _noise(self, shape: tuple[int, ...], generator: torch.Generator | list[torch.Generator] | None) -> torch.Tensor:
        return randn_tensor(shape, generator=generator, device=self.device, dtype=torch.float32)
