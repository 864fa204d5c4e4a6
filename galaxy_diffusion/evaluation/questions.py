"""The questions of an evaluation: each takes what it needs, changes nothing, and returns its answer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd

from galaxy_diffusion.evaluation import distances, figures, morphology_figures, relation_figures
from galaxy_diffusion.evaluation.beside_floor import BesideFloor, Metrics, median_beside_floor, share_beside_floor
from galaxy_diffusion.evaluation.copies import Copies
from galaxy_diffusion.evaluation.features import features, load_net
from galaxy_diffusion.evaluation.floors import MIN_IMAGES, Sets, compare, compare_distance
from galaxy_diffusion.evaluation.label_agreement import Classifier
from galaxy_diffusion.evaluation.metrics import Metric
from galaxy_diffusion.evaluation.morphology_distances import compare_morphology, morphology_table
from galaxy_diffusion.evaluation.pair import Both, RealAndGenerated
from galaxy_diffusion.evaluation.probe import pixel_features, probe, spectrum_features
from galaxy_diffusion.evaluation.relations import compare_relations
from galaxy_diffusion.evaluation.saliency import mean_saliency, saliency_figure
from galaxy_diffusion.evaluation.spectrum import power_spectra
from galaxy_diffusion.shared.names import class_title
from gz2_dataset import GalaxyArrays

SHOWN = 12
"""Images per row of a picture."""

AllSets = dict[str, Sequence[Sets]]
"""What is compared with what, for ``all`` and each class: `RealAndGenerated.sets`."""


@dataclass(frozen=True)
class Answer:
    """What a question has found.

    Attributes
    ----------
    metrics : dict of str to dict of str to BesideFloor
        Figures by set (``all`` or a class) and metric.
    tables : dict of str to DataFrame
        By the name of their CSV file.
    pictures : dict of str to bytes
        PNG by the name of their file.
    """

    metrics: Metrics = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)


def merged(answers: Iterable[Answer]) -> Answer:
    """All answers in one; if two share a name, the later one counts."""
    whole = Answer()
    for answer in answers:
        for name, metrics in answer.metrics.items():
            whole.metrics.setdefault(name, {}).update(metrics)
        whole.tables.update(answer.tables)
        whole.pictures.update(answer.pictures)
    return whole


def first_images(pair: RealAndGenerated) -> Answer:
    """What do the images look like? The first by seed, not picked."""
    return Answer(pictures={"samples": figures.samples(pair, SHOWN // 2)})


def feature_distances(pair: RealAndGenerated, sets: AllSets, net: str, batch_size: int, seed: int) -> Answer:
    """How far are generated images from real ones in the features of a net? Only Inception's have all figures."""
    of_net, net_name = partial(features, net=net, batch_size=batch_size), load_net(net).name
    if net_name == "inception":
        real, generated = pair.both(lambda galaxies: of_net(galaxies.images))
        estimates, unbiased = (partial(f, seed=seed) for f in (distances.estimates, distances.unbiased_estimates))
        metrics = {
            name: compare(estimates, distances.values, real, generated, chosen, f"{net_name}, {name}", seed, unbiased)
            for name, chosen in sets.items()
        }
    else:
        frechet = Metric(lambda images: {f"frechet_{net_name}": of_net(images)}, distances.frechet_distance)
        metrics = of_images(frechet, pair, sets, seed).metrics
    for name in (name for name in sets if not metrics[name]):
        print(f"{name}: fewer than {MIN_IMAGES} images on one side, so no metrics of {net_name}")
    return Answer(metrics)


def of_images(metric: Metric, pair: RealAndGenerated, sets: AllSets, seed: int) -> Answer:
    """How do generated images compare with real ones in what a `Metric` measures of each image?"""
    real, generated = pair.both(lambda galaxies: metric.measure(galaxies.images))
    both = {figure: Both(real[figure], generated[figure]) for figure in real}
    if not metric.distance:
        return medians(pair, sets, both, seed)
    metrics: Metrics = {name: {} for name in sets}
    for figure in both:
        sides = real[figure], generated[figure]
        for name, chosen in sets.items():
            metrics[name] |= compare_distance(figure, metric.distance, *sides, chosen, f"{figure}, {name}", seed)
    return Answer(metrics)


def copied(pair: RealAndGenerated, sets: AllSets, copies: Copies) -> Answer:
    """Are generated images copies of what the generator has seen, or of each other?"""
    pictures = {f"nearest_{kind}": figures.nearest_pairs(*p, kind) for kind, p in copies.closest(SHOWN).items()}
    return Answer(
        {name: copies.rates(pair.rows(name)) for name in sets},
        {"copies": copies.table(), "copies_power": copies.power},
        {"copies": figures.relative_distances(copies), **pictures},
    )


def spectra(pair: RealAndGenerated) -> Answer:
    """Do the images have as much fine structure as real galaxies?"""
    both = pair.both(lambda galaxies: power_spectra(galaxies.images))
    by_class = {class_title(name): pair.of_class(name, both) for name in pair.class_names}
    return Answer(pictures={"power_spectra": morphology_figures.power_figure(by_class)})


def shapes(pair: RealAndGenerated, sets: AllSets, measured: Both[pd.DataFrame], seed: int) -> Answer:
    """Are the measures of statmorph distributed as they are in real galaxies?"""
    return Answer(
        {name: compare_morphology(*measured, chosen, f"morphology, {name}", seed) for name, chosen in sets.items()},
        {"morphology": morphology_table(pair, *measured)},
        {
            f"morphology_{name}": morphology_figures.histograms(*pair.of_class(name, measured), class_title(name))
            for name in pair.class_names
        },
    )


def shapes_at_equal_noise(sets: AllSets, measured: Both[pd.DataFrame], seed: int) -> Answer:
    """Do shapes still differ once noise has been added to the quieter side? ``measured`` is of `at_equal_noise`."""
    found = {
        name: compare_morphology(*measured, chosen, f"at equal noise, {name}", seed) for name, chosen in sets.items()
    }
    return Answer(
        {
            name: {f"{figures.EQUAL_NOISE}{metric}": figure for metric, figure in of.items()}
            for name, of in found.items()
        }
    )


def relations(
    pair: RealAndGenerated, sets: AllSets, measured: Both[pd.DataFrame], within: Both[pd.DataFrame], seed: int
) -> Answer:
    """Do measures belong together as in real galaxies: colours, shapes, sizes; and how wide is a point source?

    Parameters
    ----------
    pair, sets
    measured : Both of DataFrame
        Of `morphology.morphology`.
    within : Both of DataFrame
        Of `apertures.apertures`.
    seed : int
    """
    metrics = {name: compare_relations(*measured, chosen, name, seed) for name, chosen in sets.items()}
    typical = {name: Both(*(side[name].to_numpy() for side in within)) for name in within.real}
    panels = Both(*(table.join(aside) for table, aside in zip(measured, within, strict=True)))
    return merged(
        [
            Answer(metrics),
            medians(pair, sets, typical, seed),
            Answer(
                pictures={
                    f"relations_{name}": relation_figures.scatters(*pair.of_class(name, panels), class_title(name))
                    for name in pair.class_names
                }
            ),
        ]
    )


def medians(pair: RealAndGenerated, sets: AllSets, measures: dict[str, Both[np.ndarray]], seed: int) -> Answer:
    """Medians over generated images beside those over real ones that the generator has not seen."""
    metrics: Metrics = {name: {} for name in sets}
    for name in sets:
        for measure, both in measures.items():
            found = median_beside_floor(both.generated[pair.rows(name)], both.real[pair.unseen_rows(name)], seed)
            metrics[name] |= {measure: found} if found else {}
    return Answer(metrics)


def shares(pair: RealAndGenerated, sets: AllSets, true_of: dict[str, Both[np.ndarray]]) -> Answer:
    """How often is something true of generated images, and of real ones that the generator has not seen?

    Parameters
    ----------
    pair, sets
    true_of : dict of str to Both of ndarray of bool
        Whether it is true of each image, by metric.
    """
    return Answer(
        {
            name: {
                metric: share_beside_floor(both.generated[pair.rows(name)], both.real[pair.unseen_rows(name)])
                for metric, both in true_of.items()
            }
            for name in sets
        }
    )


def attention(pair: RealAndGenerated, classifier: Classifier) -> Answer:
    """Where does the classifier look?"""
    images = pair.both(lambda galaxies: galaxies.images)
    maps = {
        name: Both(
            *(
                mean_saliency(classifier.net, side, pair.real.class_names.index(name))
                for side in pair.of_class(name, images)
            )
        )
        for name in pair.class_names
    }
    return Answer(pictures={"saliency": saliency_figure(maps)})


def shortcuts(
    pair: RealAndGenerated, sets: AllSets, before_jpeg: GalaxyArrays, net: str, batch_size: int, seed: int
) -> Answer:
    """Can a probe tell the generated galaxies of a class from the real ones?

    Parameters
    ----------
    pair, sets
    before_jpeg : GalaxyArrays
        ``pair.real`` before the JPEG that generated images went through.
    net : str
        Net whose features a probe looks at, beside pixels and spectrum.
    batch_size, seed : int
    """
    of_net = partial(features, net=net, batch_size=batch_size)
    spaces = {load_net(net).name: of_net, "pixels": pixel_features, "spectrum": spectrum_features}
    metrics: dict[str, dict[str, BesideFloor]] = {name: {} for name in pair.class_names}
    for space, describe in spaces.items():
        generated = describe(pair.generated.images)
        for suffix, galaxies in (("", pair.real), ("_before_jpeg", before_jpeg)):
            real = describe(galaxies.images)
            for name in pair.class_names:
                metrics[name] |= probe(real, generated, sets[name][0], space + suffix, seed)
    return Answer(metrics, pictures={"probe": figures.beside_floor(metrics, figures.PROBES)})
