"""The class-conditional VAE (Kingma & Welling 2014, arXiv:1312.6114) as a pipeline.

It needs nothing but torch and diffusers.
`save_pretrained` writes this file beside the weights, so that stock diffusers loads them without this package:
``DiffusionPipeline.from_pretrained(DIR, trust_remote_code=True)``. That runs the file in DIR: read it first if the
model is from elsewhere. The class in this package loads only the weights and runs no code from DIR.
"""

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, ConfigMixin, DiffusionPipeline, ImagePipelineOutput, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.image_processor import VaeImageProcessor
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.utils.torch_utils import randn_tensor
from torch.nn.functional import pixel_shuffle


class ClassPrior(ModelMixin, ConfigMixin):
    """What a class is to the VAE: a normal distribution of the latents, and a vector that the decoder sees beside them.

    Parameters
    ----------
    num_classes : int
        Number of rows; the last is that of any galaxy.
    latent_channels, latent_size : int
        Channels and side of the latent grid; all its values are independent.
    class_channels : int
        Length of the vector.

    Examples
    --------
    >>> ClassPrior(6, latent_channels=16, latent_size=2)(torch.tensor([0, 5])).mean.shape
    torch.Size([2, 16, 2, 2])
    """

    @register_to_config
    def __init__(self, num_classes: int = 6, latent_channels: int = 16, latent_size: int = 2, class_channels: int = 8):
        super().__init__()
        shape = (num_classes, latent_channels, latent_size, latent_size)
        self.mean, self.log_variance = (torch.nn.Parameter(torch.zeros(shape)) for _ in range(2))
        self.vector = torch.nn.Parameter(torch.randn(num_classes, class_channels))

    def forward(self, labels: torch.Tensor) -> DiagonalGaussianDistribution:
        """The distributions of the latents, shape (B, C, S, S), for labels (B,)."""
        return DiagonalGaussianDistribution(torch.cat([self.mean[labels], self.log_variance[labels]], dim=1))

    def beside(self, latents: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """What the decoder sees: latents (B, C, S, S) and, at every position, the vectors of their classes."""
        vectors = self.vector[labels][:, :, None, None].expand(-1, -1, *latents.shape[2:])
        return torch.cat([latents, vectors], dim=1)


class ConditionalVAEPipeline(DiffusionPipeline):
    """Generates images of given classes in one step.

    Parameters
    ----------
    vae : AutoencoderKL
        Of patches of p x p standardised pixels. Its latents are those of the prior and the vector of the class. Its
        decoder gives mean and log variance of each pixel: 2 x 3 p^2 channels.
    prior : ModelMixin
        A `ClassPrior`.
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
    >>> pipe = ConditionalVAEPipeline.from_pretrained("runs/vae")  # doctest: +SKIP
    >>> pipe(class_labels=["spiral", "edge_on"]).images[0]  # doctest: +SKIP
    """

    sampler = "vae"
    """What folders of its images record instead of a scheduler."""

    def __init__(
        self,
        vae: AutoencoderKL,
        prior: ModelMixin,
        id2label: dict | None = None,
        image_mean: tuple | list = (0.0, 0.0, 0.0),
        image_std: float = 1.0,
        patch_size: int = 1,
    ):
        super().__init__()
        self.register_modules(vae=vae, prior=prior)
        self.register_to_config(prior=("pipeline", "ClassPrior"))  # in the file that save_pretrained adds
        self.register_to_config(
            id2label=id2label, image_mean=tuple(image_mean), image_std=image_std, patch_size=patch_size
        )
        self.image_processor = VaeImageProcessor(vae_scale_factor=1)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs) -> "ConditionalVAEPipeline":
        """Load a folder or Hub id without running the code in it; takes the options of ModelMixin."""
        index = cls.load_config(pretrained_model_name_or_path)
        options = {"use_safetensors": True, **kwargs}
        vae, prior = (
            kind.from_pretrained(pretrained_model_name_or_path, subfolder=name, **options)
            for kind, name in ((AutoencoderKL, "vae"), (ClassPrior, "prior"))
        )
        return cls(vae, prior, *(index[name] for name in ("id2label", "image_mean", "image_std", "patch_size")))

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
        prior = self.prior(labels)
        latents = prior.mean.float() + prior.std.float() * self._noise(prior.mean.shape, generator)
        inputs = self.prior.beside(latents, labels).to(self.vae.dtype)
        pixels = DiagonalGaussianDistribution(self.vae.decode(inputs).sample.float())
        images = pixels.mean
        if pixel_noise:
            sky = pixels.std.flatten(1).quantile(0.25, dim=1).view(-1, 1, 1, 1)
            images = images + pixels.std.minimum(sky) * self._noise(images.shape, generator)
        images = pixel_shuffle(images, self.config.patch_size)
        images = images * self.config.image_std + images.new_tensor(self.config.image_mean).view(-1, 1, 1)
        images = self.image_processor.postprocess(images, output_type=output_type)
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def save_pretrained(self, save_directory: str | Path, *args, **kwargs) -> None:
        """Save as diffusers does, and this file beside it, so that others load the folder without this package."""
        super().save_pretrained(save_directory, *args, **kwargs)
        for folder in (Path(save_directory), Path(save_directory) / "prior"):
            shutil.copyfile(__file__, folder / "pipeline.py")

    def to_json_string(self) -> str:
        """The index, which names the class with its file: stock diffusers finds it there."""
        index = json.loads(super().to_json_string()) | {"_class_name": ["pipeline", type(self).__name__]}
        return json.dumps(index, indent=2, sort_keys=True) + "\n"

    def label_of(self, label: int | str) -> int:
        """Index of a class given by name or index."""
        if label in self.class_names:
            return self.class_names.index(label)
        if isinstance(label, int) and 0 <= label < len(self.class_names):
            return label
        raise ValueError(f"unknown class {label!r}; this model knows {', '.join(self.class_names)}")

    def _noise(self, shape: tuple[int, ...], generator: torch.Generator | list[torch.Generator] | None) -> torch.Tensor:
        return randn_tensor(shape, generator=generator, device=self.device, dtype=torch.float32)
