"""How classes and arms are printed."""

CLASS_TITLES = {
    "cigar_shaped_smooth": "Cigar-shaped smooth",
    "in_between_smooth": "In-between smooth",
    "edge_on": "Edge-on",
}


def class_title(class_name: str) -> str:
    """A class name as the paper's tables print it; SBc and AGN keep their capitals."""
    words = class_name.replace("_", " ")
    return CLASS_TITLES.get(class_name, words[:1].upper() + words[1:])


GENERATOR_TITLES = {
    "ddpm": "the diffusion model",
    "sagan": "SAGAN",
    "vae": "the VAE",
    "autoregressive": "the autoregressive model",
}

ARM_TITLES = {
    "sagan": "SAGAN",
    "vae": "VAE",
    "smote": "SMOTE",
    "mixup": "MixUp",
    "cutmix": "CutMix",
    "sample_pairing": "SamplePairing",
    "pseudo_labels": "Pseudo-labels",
    "synthetic_only": "Generated images only",
}


def arm_title(arm: str) -> str:
    """An arm's name as tables and figures print it.

    Examples
    --------
    >>> arm_title("class_weights"), arm_title("diffusion_x0.5")
    ('Class weights', 'Diffusion × 0.5')
    """
    return ARM_TITLES.get(arm, arm.replace("_x", "_× ").replace("_", " ").capitalize())
