"""The class-conditional diffusion pipeline; needs nothing but diffusers."""

import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput, SchedulerMixin, UNet2DModel
from diffusers.utils.torch_utils import randn_tensor


class ClassConditionalDDPMPipeline(DiffusionPipeline):
    """Generates images of given classes with classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598).

    Parameters
    ----------
    unet : UNet2DModel
        Has ``num_class_embeds`` equal to the number of classes + 1; the last is the null class.
    scheduler : SchedulerMixin
        Any of diffusers' schedulers that takes the prediction of the UNet.
    id2label : dict of int to str
        Names of the classes.

    Examples
    --------
    >>> pipe = ClassConditionalDDPMPipeline.from_pretrained("runs/ddpm")  # doctest: +SKIP
    >>> pipe(class_labels=["spiral", "edge_on"], guidance_scale=2.0).images[0]  # doctest: +SKIP
    """

    def __init__(self, unet: UNet2DModel, scheduler: SchedulerMixin, id2label: dict | None = None):
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)
        self.register_to_config(id2label=id2label)

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in the order of the labels."""
        names = {int(label): name for label, name in self.config.id2label.items()}  # JSON makes the keys strings
        return [names[label] for label in range(len(names))]

    @torch.no_grad()
    def __call__(
        self,
        class_labels: list[int | str],
        guidance_scale: float = 1.0,
        num_inference_steps: int = 50,
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str = "pil",
        callback_on_step_end=None,
        return_dict: bool = True,
    ) -> ImagePipelineOutput | tuple:
        """Generate one image a label.

        Parameters
        ----------
        class_labels : list of int or str
            Class of each image, by index or name.
        guidance_scale : float
            Weight w of the class in ``eps_null + w (eps_class - eps_null)``; 1 is the plain conditional model.
        num_inference_steps : int
            Number of denoising steps.
        generator : torch.Generator or list of them, optional
            With one generator an image, an image does not depend on the others of its batch.
        output_type : {"pil", "np", "pt"}
            ``np`` and ``pt`` give values in [0, 1], shape (B, H, W, 3) and (B, 3, H, W).
        callback_on_step_end : callable, optional
            Called as ``callback(pipeline, step, timestep, {"latents": images})`` after each step, images in [-1, 1].
        return_dict : bool
            Return an ImagePipelineOutput, or a tuple.

        Raises
        ------
        ValueError
            If a class is unknown.
        """
        labels = torch.tensor([self.label_of(label) for label in class_labels], device=self.device)
        null = torch.full_like(labels, len(self.class_names))
        size = self.unet.config.sample_size
        shape = (len(labels), self.unet.config.in_channels, size, size)
        images = randn_tensor(shape, generator=generator, device=self.device, dtype=self.unet.dtype)
        self.scheduler.set_timesteps(num_inference_steps, device=self.device)
        images = images * self.scheduler.init_noise_sigma
        step_options = {"generator": generator} if self.takes_generator() else {}
        for step, timestep in enumerate(self.progress_bar(self.scheduler.timesteps)):
            inputs = self.scheduler.scale_model_input(images, timestep)
            if guidance_scale == 1.0:
                prediction = self.unet(inputs, timestep, labels).sample
            else:
                both = self.unet(torch.cat([inputs, inputs]), timestep, torch.cat([labels, null])).sample
                conditional, unconditional = both.chunk(2)
                prediction = unconditional + guidance_scale * (conditional - unconditional)
            images = self.scheduler.step(prediction, timestep, images, **step_options).prev_sample
            if callback_on_step_end is not None:
                callback_on_step_end(self, step, timestep, {"latents": images})
        images = (images.float() / 2 + 0.5).clamp(0, 1)
        if output_type != "pt":
            images = images.permute(0, 2, 3, 1).cpu().numpy()
        if output_type == "pil":
            images = self.numpy_to_pil(images)
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def label_of(self, label: int | str) -> int:
        """Index of a class given by name or index."""
        if label in self.class_names:
            return self.class_names.index(label)
        if isinstance(label, int) and 0 <= label < len(self.class_names):
            return label
        raise ValueError(f"unknown class {label!r}; this model knows {', '.join(self.class_names)}")

    def takes_generator(self) -> bool:
        """Whether the scheduler's step is random and takes a generator."""
        return "generator" in self.scheduler.step.__code__.co_varnames[: self.scheduler.step.__code__.co_argcount]
