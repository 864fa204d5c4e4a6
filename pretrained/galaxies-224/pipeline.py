"""The class-conditional diffusion pipeline; needs nothing but torch and diffusers.

`save_pretrained` writes this file beside the weights, so that stock diffusers loads them without this package:
``DiffusionPipeline.from_pretrained(DIR, trust_remote_code=True)``. That runs the file in DIR: read it first if the
model is from elsewhere. The class in this package loads only the weights and runs no code from DIR.
"""

import inspect
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput, SchedulerMixin, UNet2DModel
from diffusers.image_processor import PipelineImageInput, VaeImageProcessor
from diffusers.utils.torch_utils import randn_tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

DEFAULT_GUIDANCE = 1.0


@dataclass(frozen=True)
class ImageFormat:
    """How the net sees an image: with standardised pixels and in patches.

    Galaxies are faint: their pixels have a standard deviation of about 0.24 around -0.85 in [-1, 1]. A net that sees
    them unscaled learns too little at the noise levels that decide the sky and the spiral arms. With a patch size p the
    net works on (R / p)^2 positions of 3 p^2 values, which costs about as much as an image of R / p pixels.

    Attributes
    ----------
    image_mean : tuple of float
        Mean of each channel in [-1, 1].
    image_std : float
        Standard deviation around it, of all channels together.
    patch_size : int
        p; 1 is the image itself.
    """

    image_mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    image_std: float = 1.0
    patch_size: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_mean", tuple(self.image_mean))  # JSON knows only lists

    def standardize(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, 3, R, R) in [-1, 1], standardised as noise is added to them."""
        return (images - self._mean(images)) / self.image_std

    def restore(self, standardized: torch.Tensor) -> torch.Tensor:
        """The inverse of `standardize`."""
        return standardized * self.image_std + self._mean(standardized)

    def predict(self, unet: torch.nn.Module, noisy: torch.Tensor, timestep: torch.Tensor, *labels) -> torch.Tensor:
        """The net's prediction for standardised noisy images, both of shape (B, 3, R, R)."""
        prediction = unet(pixel_unshuffle(noisy, self.patch_size), timestep, *labels, return_dict=False)[0]
        return pixel_shuffle(prediction, self.patch_size)

    def _mean(self, images: torch.Tensor) -> torch.Tensor:
        channels = [torch.full((1, 1, 1), mean, device=images.device) for mean in self.image_mean]
        return torch.cat(channels)  # not copied from the host, for which a GPU would have to wait


class ClassTable(torch.nn.Embedding):
    """The class table of a UNet, which also takes embeddings that lie between its rows."""

    def forward(self, labels: torch.Tensor) -> torch.Tensor:
        """The rows of integer labels (B,); embeddings (B, D) as they are."""
        return labels if labels.is_floating_point() else super().forward(labels)


class ClassConditionalDDPMPipeline(DiffusionPipeline):
    """Generates images of given classes with classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598).

    Parameters
    ----------
    unet : UNet2DModel
        The rows of its class embedding are the classes, the answers where it was trained on votes, and the null class.
    scheduler : SchedulerMixin
        Any of diffusers' schedulers that takes the prediction of the UNet.
    id2label : dict of int to str
        Names of the classes.
    image_mean, image_std, patch_size
        How the UNet sees images; see `ImageFormat`.

    Examples
    --------
    >>> pipe = ClassConditionalDDPMPipeline.from_pretrained("runs/ddpm")  # doctest: +SKIP
    >>> pipe(class_labels=["spiral", "edge_on"], guidance_scale=2.0).images[0]  # doctest: +SKIP
    >>> pipe(["spiral"], image=galaxy, strength=0.6).images[0]  # a variation of it  # doctest: +SKIP
    """

    def __init__(
        self,
        unet: UNet2DModel,
        scheduler: SchedulerMixin,
        id2label: dict | None = None,
        image_mean: tuple | list = (0.0, 0.0, 0.0),
        image_std: float = 1.0,
        patch_size: int = 1,
    ):
        super().__init__()
        self.image_format = ImageFormat(image_mean, image_std, patch_size)
        if unet.class_embedding is not None:
            table = unet.class_embedding.weight
            unet.class_embedding = ClassTable.from_pretrained(table.detach(), freeze=not table.requires_grad)
        self.register_modules(unet=unet, scheduler=scheduler)
        self.register_to_config(id2label=id2label, **asdict(self.image_format))
        self.image_processor = VaeImageProcessor(vae_scale_factor=1)

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in the order of the labels."""
        names = {int(label): name for label, name in self.config.id2label.items()}  # JSON makes the keys strings
        return [names[label] for label in range(len(names))]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images."""
        patch, config = self.image_format.patch_size, self.unet.config
        return config.in_channels // patch**2, config.sample_size * patch, config.sample_size * patch

    @torch.no_grad()
    def __call__(
        self,
        class_labels: list[int | str] | None = None,
        guidance_scale: float = DEFAULT_GUIDANCE,
        num_inference_steps: int = 50,
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str = "pil",
        callback_on_step_end: Callable | None = None,
        return_dict: bool = True,
        *,
        guidance_interval: tuple[float, float] = (0.0, float("inf")),
        image: PipelineImageInput | None = None,
        strength: float = 0.6,
        latents: torch.Tensor | None = None,
        class_embeddings: torch.Tensor | None = None,
        vote_fractions: torch.Tensor | None = None,
    ) -> ImagePipelineOutput | tuple:
        """Generate one image per label.

        Parameters
        ----------
        class_labels : list of int or str, length B
            Class of each image, by index or name.
        guidance_scale : float
            Weight w of the class in ``eps_null + w (eps_class - eps_null)``; 1 is the plain conditional model.
        num_inference_steps : int
            Number of denoising steps.
        generator : torch.Generator or list of them, optional
            With one generator per image, an image does not depend on the others in its batch.
        output_type : {"pil", "np", "pt"}
            ``np`` and ``pt`` give values in [0, 1], shape (B, H, W, 3) and (B, 3, H, W).
        callback_on_step_end : callable, optional
            Called as ``callback(pipeline, step, timestep, {"latents": images})`` after each step, with images as the
            scheduler holds them, standardised.
        return_dict : bool
            Whether to return an ImagePipelineOutput; otherwise a tuple.
        guidance_interval : tuple of float
            Guide only where the noise level sigma = sqrt(1 / alpha_bar - 1), in units of the standardised pixels, is
            above the first and at most the second (Kynkäänniemi et al. 2024, arXiv:2404.07724). Elsewhere the null
            class is not computed.
        image : PIL images, or an array or tensor in [0, 1], B of them, optional
            Start from these images with noise instead of from noise (SDEdit, Meng et al. 2022, arXiv:2108.01073).
        strength : float in (0, 1]
            Share of the steps that ``image`` goes back through: 1 leaves almost nothing of it.
        latents : Tensor, shape (B, 3, H, W), optional
            Standard normal noise to take instead of drawing it.
        class_embeddings : Tensor, shape (B, D), optional
            Takes the place of ``class_labels``: what `embed_classes` gives, or anything in between.
        vote_fractions : Tensor, shape (B, 37), optional
            Takes the place of ``class_labels`` where the model was trained on votes: the share of volunteers that gave
            each answer, in the order of the data's columns.

        Raises
        ------
        ValueError
            If a class is unknown, sizes do not fit, or the scheduler cannot make that many steps.
        """
        if sum(given is not None for given in (class_labels, class_embeddings, vote_fractions)) != 1:
            raise ValueError("give one of class_labels, class_embeddings and vote_fractions")
        if class_labels is not None:
            class_embeddings = self.embed_classes(class_labels)
        elif vote_fractions is not None:
            class_embeddings = self.embed_votes(vote_fractions)
        null = self.unet.class_embedding.weight[-1:].expand_as(class_embeddings)
        both = torch.cat([class_embeddings, null])

        first = self.set_timesteps(num_inference_steps, 1.0 if image is None else strength)
        timesteps = self.scheduler.timesteps[first:]
        shape = (len(class_embeddings), *self.image_shape)
        if latents is None:
            latents = randn_tensor(shape, generator=generator, device=self.device, dtype=torch.float32)
        images = latents.to(self.device, memory_format=torch.channels_last)
        if image is None:
            images = images * self.scheduler.init_noise_sigma
        else:
            clean = self.image_processor.preprocess(image).to(self.device)
            if clean.shape != shape:
                raise ValueError(f"image: shape {tuple(clean.shape)} instead of {shape}")
            clean = self.image_format.standardize(clean)
            images = self.scheduler.add_noise(clean, images, timesteps[:1].expand(len(clean)))

        sigmas = (1 / self.scheduler.alphas_cumprod.cpu()[timesteps.round().long()] - 1).sqrt()
        low, high = guidance_interval
        guided = ((guidance_scale != 1.0) & (low < sigmas) & (sigmas <= high)).tolist()
        step_options = {"generator": generator} if self.takes_generator() else {}
        dtype, predict = self.unet.dtype, self.image_format.predict  # finding dtype walks over all parameters
        for step, timestep in enumerate(self.progress_bar(timesteps)):
            inputs = self.scheduler.scale_model_input(images, timestep).to(dtype)
            if guided[step]:
                predictions = predict(self.unet, torch.cat([inputs, inputs]), timestep, both).float()
                conditional, unconditional = predictions.chunk(2)
                prediction = torch.lerp(unconditional, conditional, guidance_scale)
            else:
                prediction = predict(self.unet, inputs, timestep, class_embeddings).float()
            images = self.scheduler.step(prediction, timestep, images, **step_options).prev_sample
            if callback_on_step_end is not None:
                callback_on_step_end(self, step, timestep, {"latents": images})
        images = self.image_format.restore(images)
        images = self.image_processor.postprocess(images, output_type=output_type)
        return ImagePipelineOutput(images=images) if return_dict else (images,)

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

    def embed_classes(self, class_labels: list[int | str]) -> torch.Tensor:
        """What the UNet has learned for classes, as ``class_embeddings`` of shape (B, D)."""
        return self.unet.class_embedding.weight[[self.label_of(label) for label in class_labels]]

    def embed_votes(self, vote_fractions: torch.Tensor) -> torch.Tensor:
        """The same for vote fractions: the sum of the answers' rows, weighted by them."""
        answers = self.unet.class_embedding.weight[len(self.class_names) : -1]
        if vote_fractions.shape[1] != len(answers):
            raise ValueError(f"{vote_fractions.shape[1]} vote fractions; this model was trained on {len(answers)}")
        return vote_fractions.to(answers) @ answers

    def set_timesteps(self, num_inference_steps: int, strength: float) -> int:
        """Prepare the scheduler; returns the index of the first timestep to take: ``strength`` of them remain."""
        if not 0 < strength <= 1:
            raise ValueError(f"strength {strength} is not greater than 0 and at most 1")
        if not 1 <= num_inference_steps <= self.scheduler.config.num_train_timesteps:
            raise ValueError(f"{num_inference_steps} steps is not between 1 and the number of training timesteps")
        self.scheduler.set_timesteps(num_inference_steps)  # on the host: schedulers read their values every step
        if self.scheduler.timesteps[-1] < 0:  # rounding in diffusers, at 61 for example
            raise ValueError(f"{num_inference_steps} steps do not divide the schedule; take one more or less")
        skipped = num_inference_steps - max(1, round(num_inference_steps * strength))
        first = skipped * self.scheduler.order
        if hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(first)
        return first

    def takes_generator(self) -> bool:
        """Whether the scheduler's step is random and takes a generator."""
        return "generator" in inspect.signature(self.scheduler.step).parameters
