"""Plain words on generated images that are not good enough to train on."""

from galaxy_diffusion.evaluation.beside_floor import Metrics
from galaxy_diffusion.shared.names import class_title

TOLD_APART = 0.8
"""A probe that ranks a generated galaxy below a real one more often than this sees it at a glance."""


def not_good_enough(results: Metrics) -> list[str]:
    """A sentence on each class whose images lack its looks, or give themselves away.

    That is so where an independent classifier takes fewer of them for their class than of the real ones, or where a
    probe tells them from real ones: with 95 % confidence, beyond the interval of the real ones.

    Parameters
    ----------
    results : dict
        Figures by set and metric.

    Examples
    --------
    >>> from galaxy_diffusion.evaluation.beside_floor import BesideFloor
    >>> agreement = BesideFloor(0.08, 0.03, 0.17, 60, 60, 0.9, 0.8, 0.96)
    >>> not_good_enough({"ring": {"label_agreement": agreement}})
    ['Ring: not good enough to train on: a classifier takes 8 % of them for their class, of real ones 90 %']
    """
    sentences = []
    for name, figures in results.items():
        reasons = []
        agreement = figures.get("label_agreement")
        if agreement and agreement.high < (agreement.floor_low or 0):
            share, of_real = (f"{100 * value:.0f} %" for value in (agreement.value, agreement.floor or 0))
            reasons.append(f"a classifier takes {share} of them for their class, of real ones {of_real}")
        probes = (f for metric, f in figures.items() if metric.startswith("probe_auc_") and f.floor_high is not None)
        probe = max(probes, key=lambda f: f.low, default=None)
        if probe and probe.low > max(TOLD_APART, probe.floor_high or 0):
            reasons.append(
                f"a probe tells them from real ones (AUC {probe.value:.2f}, of real ones among themselves "
                f"{probe.floor:.2f})"
            )
        if reasons and name != "all":
            sentences.append(f"{class_title(name)}: not good enough to train on: {'; '.join(reasons)}")
    return sentences
