"""How classes, arms and metrics are printed."""

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


METRIC_TITLES = {
    "fid": "FID",
    "kid": "KID",
    "copy_rate": "Copies",
    "duplicate_rate": "Duplicates",
    "correlation_colour_concentration": "Colour–concentration correlation",
    "correlation_colour_ellipticity": "Colour–ellipticity correlation",
    "noise_correlation_red_green": "Noise correlation, red and green",
    "noise_correlation_red_blue": "Noise correlation, red and blue",
    "noise_correlation_green_blue": "Noise correlation, green and blue",
    "gini": "Gini",
    "m20": "M20",
}


def metric_title(metric: str) -> str:
    """A metric as figures and tables name it."""
    name, _, net = metric.partition("_")
    if name == "frechet":
        return f"Fréchet distance ({net})"
    if metric.startswith("probe_auc_"):
        return f"Probe AUC ({metric.removeprefix('probe_auc_').replace('_before_jpeg', ' before JPEG')})"
    return METRIC_TITLES.get(metric, metric.replace("_", " ").capitalize())
