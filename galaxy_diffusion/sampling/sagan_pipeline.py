"""The SAGAN generator (Zhang et al. 2019, arXiv:1805.08318) and its pipeline; needs nothing but torch and diffusers.

`save_pretrained` writes this file beside the weights, so that stock diffusers loads them without this package:
``DiffusionPipeline.from_pretrained(DIR, trust_remote_code=True)``. That runs the file in DIR: read it first if the
model is from elsewhere. The class in this package loads only the weights and runs no code from DIR.
"""

import json
import shutil
from pathlib import Path

import torch
from diffusers import ConfigMixin, DiffusionPipeline, ImagePipelineOutput, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.image_processor import VaeImageProcessor
from diffusers.utils.torch_utils import randn_tensor
from torch import nn
from torch.nn.functional import interpolate, relu


class SelfAttention(nn.Module):
    """Adds to each position what it attends to in all others, weighted by a gain that starts at 0 (eq. 1 to 3).

    Parameters
    ----------
    channels : int
        Keys and queries have an eighth of them, values half.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.query, self.key = (nn.Conv2d(channels, max(1, channels // 8), 1, bias=False) for _ in range(2))
        self.value = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.output = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features of shape (B, C, H, W) to the same shape."""
        query, key, value = (layer(features).flatten(2).transpose(1, 2) for layer in (self.query, self.key, self.value))
        attended = ((query @ key.transpose(1, 2)).softmax(dim=2) @ value).transpose(1, 2)
        return features + self.gamma * self.output(attended.unflatten(2, features.shape[2:]))


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation with a gain and a bias for each class (Dumoulin et al. 2017, arXiv:1610.07629)."""

    def __init__(self, channels: int, num_classes: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain, self.bias = nn.Embedding(num_classes, channels), nn.Embedding(num_classes, channels)
        nn.init.ones_(self.gain.weight)
        nn.init.zeros_(self.bias.weight)

    def forward(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Features of shape (B, C, H, W) and labels of shape (B,) to the shape of the features."""
        gain, bias = (table(labels)[:, :, None, None] for table in (self.gain, self.bias))
        return torch.addcmul(bias, gain, self.norm(features))


class UpBlock(nn.Module):
    """A residual block that doubles the side; nearest-neighbour enlargement leaves no checkerboard."""

    def __init__(self, channels_in: int, channels_out: int, num_classes: int):
        super().__init__()
        self.first_norm = ConditionalBatchNorm(channels_in, num_classes)
        self.first = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.second_norm = ConditionalBatchNorm(channels_out, num_classes)
        self.second = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Features of shape (B, C, H, W) to (B, C', 2 H, 2 W)."""
        residual = self.first(interpolate(relu(self.first_norm(features, labels)), scale_factor=2))
        residual = self.second(relu(self.second_norm(residual, labels)))
        return residual + interpolate(self.shortcut(features), scale_factor=2)


class SAGANGenerator(ModelMixin, ConfigMixin):
    """Makes images from latents and classes.

    Parameters
    ----------
    sample_size : int
        Side of the images in pixels. The side of the first features follows: 7 for 224 pixels and six levels.
    num_classes : int
    latent_dim : int
        Length of the latents, which are standard normal.
    block_out_channels : tuple of int
        Channels of each level, from the full resolution down; each level but the last halves the side.
    attention_levels : tuple of int
        Levels with self-attention, 0 being the full resolution.

    Examples
    --------
    >>> generator = SAGANGenerator(sample_size=28, num_classes=5, block_out_channels=(8, 16, 32)).eval()
    >>> generator(torch.zeros(2, 128), torch.tensor([0, 4])).shape
    torch.Size([2, 3, 28, 28])
    """

    @register_to_config
    def __init__(
        self,
        sample_size: int = 32,
        num_classes: int = 5,
        latent_dim: int = 128,
        block_out_channels: tuple[int, ...] = (32, 64, 128, 128),
        attention_levels: tuple[int, ...] = (1,),
    ):
        super().__init__()
        channels, self.lowest = block_out_channels, len(block_out_channels) - 1
        self.start = sample_size // 2**self.lowest
        self.project = nn.Linear(latent_dim, channels[-1] * self.start**2)
        self.blocks = nn.ModuleDict(
            {str(i): UpBlock(channels[i + 1], channels[i], num_classes) for i in range(self.lowest)}
        )
        self.attention = nn.ModuleDict({str(i): SelfAttention(channels[i]) for i in attention_levels})
        self.norm = nn.BatchNorm2d(channels[0])
        self.output = nn.Conv2d(channels[0], 3, 3, padding=1)

    def forward(self, latents: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Images of shape (B, 3, H, W) in [-1, 1] from latents (B, latent_dim) and labels (B,)."""
        features = self.project(latents).unflatten(1, (-1, self.start, self.start))
        for level in map(str, range(self.lowest, -1, -1)):
            if level in self.blocks:
                features = self.blocks[level](features, labels)
            if level in self.attention:
                features = self.attention[level](features)
        return self.output(relu(self.norm(features))).tanh()


class ConditionalSAGANPipeline(DiffusionPipeline):
    """Generates images of given classes in one step.

    Parameters
    ----------
    generator_net : ModelMixin
        A `SAGANGenerator`.
    id2label : dict of int to str
        Names of the classes.

    Examples
    --------
    >>> pipe = ConditionalSAGANPipeline.from_pretrained("runs/sagan")  # doctest: +SKIP
    >>> pipe(class_labels=["spiral", "edge_on"]).images[0]  # doctest: +SKIP
    """

    sampler = "sagan"
    """What folders of its images record instead of a scheduler."""

    def __init__(self, generator_net: ModelMixin, id2label: dict | None = None):
        super().__init__()
        self.register_modules(generator_net=generator_net)
        self.register_to_config(generator_net=("pipeline", "SAGANGenerator"))  # in the file that save_pretrained adds
        self.register_to_config(id2label=id2label)
        self.image_processor = VaeImageProcessor(vae_scale_factor=1)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs) -> "ConditionalSAGANPipeline":
        """Load a folder or Hub id without running the code in it; takes the options of ModelMixin."""
        index = cls.load_config(pretrained_model_name_or_path)
        options = {"subfolder": "generator_net", "use_safetensors": True, **kwargs}
        return cls(SAGANGenerator.from_pretrained(pretrained_model_name_or_path, **options).eval(), index["id2label"])

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
        latents: torch.Tensor | None = None,
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
        latents : Tensor, shape (B, latent_dim), optional
            Standard normal latents to take instead of drawing them.

        Raises
        ------
        ValueError
            If a class is unknown.
        """
        net = self.generator_net.eval()  # batch normalisation with running statistics, not the batch's
        labels = torch.tensor([self.label_of(label) for label in class_labels], device=self.device)
        if latents is None:
            shape = (len(labels), net.config.latent_dim)
            latents = randn_tensor(shape, generator=generator, device=self.device, dtype=torch.float32)
        images = net(latents.to(self.device, net.dtype), labels).float()
        images = self.image_processor.postprocess(images, output_type=output_type)
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def save_pretrained(self, save_directory: str | Path, *args, **kwargs) -> None:
        """Save as diffusers does, and this file beside it, so that others load the folder without this package."""
        super().save_pretrained(save_directory, *args, **kwargs)
        for folder in (Path(save_directory), Path(save_directory) / "generator_net"):
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
