"""The arms of a study: which runs a preset plans, with which options, how arms are named, and what may be a name."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from galaxy_diffusion.shared.shipped import find_model
from gz2_dataset import UserError
from gz2_dataset.kinds import is_of
from gz2_dataset.reading import read_yaml

BASELINE, QUESTION = "original", "diffusion"
"""What every arm is compared with, and the arm that the study asks about."""


CEILING = "reserve"
"""The option of train_classifier.py that adds new real galaxies: what generated images are not asked to outdo."""
TAUGHT = frozenset({"pseudo_labels", "retrieval"})
"""Its options for which the classifier of the baseline chooses galaxies."""


class Run(NamedTuple):
    """One training of a classifier."""

    backbone: str
    arm: str
    seed: int
    draw: int = 0
    """Which of several studies it belongs to that are draws of one: the same test galaxies, other training galaxies."""

    @property
    def path(self) -> str:
        """Its folder within ``STUDY/classifiers``."""
        return f"{self.backbone}/{self.arm}/seed{self.seed}"


def check_names(preset: dict[str, Any]) -> None:
    """Refuse a preset in which a name is more than a name: they become folders, options and files of snakemake.

    Parameters
    ----------
    preset : dict
        All keys, at any depth, must be plain words, as must be the ``model`` of each of its folders of images.

    Raises
    ------
    UserError
        If one is not, if the ``output_dir`` has a brace or a line break, which snakemake would take for its own, or if
        a section is of another kind than it has to be.
    """
    check_sections(preset)

    def names(value: Any) -> list[str]:
        if isinstance(value, list):
            return [name for entry in value for name in names(entry)]
        return [str(key) for key in value] + names([*value.values()]) if isinstance(value, dict) else []

    models = [str(images["model"]) for images in preset.get("generated", {}).values()]
    for name in names(preset) + models:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", name):
            raise UserError(f"study preset: {name!r} is no name; take letters, digits and _ . + -")
    if re.search(r"[{}\x00-\x1f]", folder := str(preset.get("output_dir", ""))):
        raise UserError(f"study preset: output_dir {folder!r} has a brace or a line break; rename it")


def check_sections(preset: Any) -> None:
    """Refuse a preset whose sections are not mappings, lists and numbers where they have to be."""

    def check(holds: bool, what: str) -> None:
        if not holds:
            raise UserError(f"study preset: {what}; see configs/study_demo.yaml")

    check(isinstance(preset, dict), "it is no mapping of sections")
    for section in ("classifiers", "generated", "arms", "evaluate"):
        check(isinstance(preset.get(section, {}), dict), f"{section} is no mapping of names")
    for section in ("generated", "arms"):
        for name, settings in preset.get(section, {}).items():
            check(isinstance(settings, dict), f"{section}, {name} is no mapping of settings")
            check(section == "arms" or "model" in settings, f"{section}, {name} names no model")
            check(isinstance(settings.get("options", {}), dict), f"{section}, {name}: options is no mapping")
            check(is_of(settings.get("images"), str | list[str] | None), f"{section}, {name}: images is no name")
    for section in {"data", *generators(preset)}:
        check(isinstance(preset.get(section, {}), dict), f"{section} is no mapping of settings")
    for name in ("look_alike", "shortcut"):
        check(isinstance(preset.get(name), str | None), f"{name} is no name")
    check(is_of(preset.get("margin", 0.0), float), "margin is no number")
    for holder in (preset, *preset.get("arms", {}).values()):
        seeds = holder.get("seeds", [])
        check(isinstance(seeds, list) and all(isinstance(seed, int) for seed in seeds), "seeds is no list of numbers")


def planned_runs(preset: dict[str, Any]) -> list[Run]:
    """The trainings that a study preset asks for, in the preset's order.

    Parameters
    ----------
    preset : dict
        With ``classifiers`` (name to config), ``arms`` (name to images, options and seeds) and ``seeds``; the
        seeds of an arm replace the latter.

    Raises
    ------
    UserError
        If an arm has an unknown setting, or needs images that the preset does not generate.

    Examples
    --------
    >>> arms = {"original": {}, "smote": {"seeds": [0]}}
    >>> [run.path for run in planned_runs({"classifiers": {"net": "net.yaml"}, "arms": arms, "seeds": [0, 1]})]
    ['net/original/seed0', 'net/original/seed1', 'net/smote/seed0']
    """
    arms = preset.get("arms", {})
    for name, arm in arms.items():
        if unknown := arm.keys() - {"images", "options", "seeds"}:
            raise UserError(f"arm {name}: unknown setting {min(unknown)!r}; an arm has images, options and seeds")
        if preset.get("shortcut") not in {None, *preset.get("generated", {})}:
            raise UserError(f"shortcut: no {preset['shortcut']!r} in the preset's section 'generated'; add it there")
        if unknown := set(folders_of(arm)) - preset.get("generated", {}).keys():
            raise UserError(f"arm {name}: no {min(unknown)!r} in the preset's section 'generated'; add it there")
    return [
        Run(backbone, name, seed)
        for backbone in preset.get("classifiers", {})
        for name, arm in arms.items()
        for seed in arm.get("seeds", preset.get("seeds", ()))
    ]


def folders_of(arm: dict[str, Any]) -> list[str]:
    """The folders of generated images of an arm: its ``images``, a name or a list of names, one for each generator."""
    images = arm.get("images")
    return [images] if isinstance(images, str) else images or []


def folder_of(arm: dict[str, Any], seed: int) -> str | None:
    """The folder that a seed of an arm trains on, None without any.

    Of n folders seed k takes number k mod n, so that generators are replicated as seeds are.

    Examples
    --------
    >>> [folder_of({"images": ["generated", "generated_2"]}, seed) for seed in range(3)]
    ['generated', 'generated_2', 'generated']
    """
    folders = folders_of(arm)
    return folders[seed % len(folders)] if folders else None


def kind_of(generator: str) -> str:
    """What a generator is: ``ddpm-2`` is a ddpm that is trained once more, by another seed.

    Examples
    --------
    >>> kind_of("ddpm-2"), kind_of("sagan")
    ('ddpm', 'sagan')
    """
    return generator.partition("-")[0]


def seeds_of(preset: dict[str, Any], images: str) -> list[int]:
    """The seeds of the classifiers that train on a folder of images; each takes its own block of them.

    So a classifier's seed replicates the generated images too, and the intervals hold how much depends on their draw.
    """
    planned = planned_runs(preset)
    return sorted({run.seed for run in planned if folder_of(preset["arms"][run.arm], run.seed) == images})


def drawn_in_all(preset: dict[str, Any], images: str) -> int | str:
    """How many images a folder of ``generated`` has, as generate.py takes it: ``num_images`` in each block.

    Examples
    --------
    >>> preset = {"generated": {"more": {"model": "ddpm", "num_images": "ring=5,spiral=2"}}, "seeds": [0, 1, 2]}
    >>> preset |= {"classifiers": {"net": "net.yaml"}, "arms": {"diffusion": {"images": "more"}}}
    >>> drawn_in_all(preset, "more")
    'ring=15,spiral=6'
    """
    blocks, wanted = max(1, len(seeds_of(preset, images))), str(preset["generated"][images]["num_images"])
    return re.sub(r"(?<![A-Za-z0-9_.+-])\d[\d_]*(?=\s*(,|$))", lambda count: str(blocks * int(count[0])), wanted)


def generators(preset: dict[str, Any]) -> list[str]:
    """Names of a study's generators: the paper's two, and what makes its images."""
    makers = (str(images["model"]) for images in preset.get("generated", {}).values())
    return [*dict.fromkeys(["ddpm", "sagan", *makers])]


def ready_model(preset: dict[str, Any], generator: str) -> str | None:
    """The folder of a generator that a study takes as it is, its ``model``; None where the study trains it.

    Raises
    ------
    UserError
        If the folder does not exist, or the preset also says how to train the generator.

    Examples
    --------
    >>> ready_model({"ddpm": {"config": "configs/ddpm_64.yaml"}}, "ddpm") is None
    True
    """
    settings = preset.get(generator, {})
    if (model := settings.get("model")) is None:
        return None
    if unused := settings.keys() - {"model"}:
        raise UserError(f"study preset: {generator} has a model, so {min(unused)!r} says nothing; give one of them")
    if not Path(folder := find_model(str(model))).is_dir():
        raise UserError(f"study preset: {generator} has no model {model}; give a folder or a name in pretrained/")
    return folder


def options_of(preset: dict[str, Any], arm: str) -> dict[str, Any]:
    """The options of train_classifier.py that an arm has.

    An option that names a section of ``generated`` means as many images of each class as that section has.

    Examples
    --------
    >>> arms = {"duplicates": {"options": {"duplicates": "more"}}}
    >>> options_of({"generated": {"more": {"model": "ddpm", "num_images": "ring=5"}}, "arms": arms}, "duplicates")
    {'duplicates': 'ring=5'}
    """
    sets, given = preset.get("generated", {}), preset["arms"][arm].get("options", {})
    return {
        key: sets[value]["num_images"] if isinstance(value, str) and value in sets else value
        for key, value in given.items()
    }


def read_preset(path: Path, names: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A study preset; sections that it lacks are those of the preset beside it that its key ``config`` names.

    Raises
    ------
    UserError
        If it is none, or starts from itself by way of ``names``, which have led to it.
    """
    preset = read_yaml(path, "name a study's preset")
    check_sections(preset)
    base = preset.pop("config", None)
    if not base:
        return preset
    if not isinstance(base, str) or path in names:
        raise UserError(f"{path}: config {base!r} is no other preset to start from; correct it")
    return {**read_preset(path.parent / base, (*names, path)), **preset}
