"""How bright an image looks: its luminance after ITU-R BT.601, as JPEG computes it."""

import numpy as np

WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32) / 255


def luminance(images: np.ndarray) -> np.ndarray:
    """Luminance in [0, 1], float32 (..., H, W), of uint8 images (..., H, W, 3)."""
    return images @ WEIGHTS
