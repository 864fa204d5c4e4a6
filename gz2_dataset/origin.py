"""What a card may say about where galaxies come from."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Origin:
    """What a card may say about where the galaxies come from."""

    title: str
    tag: str
    description: str
    citation: str
    licence: dict[str, str] = field(default_factory=dict)


ADD_LICENCE = "Add the licence, below and as `license:` at the top of this card."
GALAXY_ZOO = Origin(
    "Galaxy Zoo 2, {}",
    "galaxy-zoo",
    "Galaxy images of the Sloan Digital Sky Survey (SDSS) with the morphological class that the votes of the "
    "volunteers of Galaxy Zoo 2 give them.",
    """- Galaxy Zoo 2: Willett et al. 2013, MNRAS 435, 2835; Hart et al. 2016, MNRAS 461, 3663.
- Votes and images as a challenge: Galaxy Zoo - The Galaxy Challenge, Kaggle 2013.
- Images: Sloan Digital Sky Survey, https://www.sdss.org.

The images are subject to the image use policy of the SDSS (credit: Sloan Digital Sky Survey), the votes to the terms of
Galaxy Zoo, and files of the Kaggle challenge to its rules.""",
    {
        "license": "other",
        "license_name": "sdss-image-use-policy",
        "license_link": "https://www.sdss.org/collaboration/image-use-policy/",
    },
)
MOCK = Origin(
    "Drawn galaxies, {}",
    "synthetic",
    "These galaxies are drawn by a program, not observed: Sersic profiles, inclined discs and spiral arms with the "
    "blur and the noise of a survey, and the votes of simulated volunteers. They are for trying software out.",
    f"There is no observation behind these images, so there is none to cite.\n\n{ADD_LICENCE}",
)
OWN = Origin(
    "Galaxy images by morphology",
    "morphology",
    "Galaxy images with a morphological class.\n\n"
    "Add which telescope or archive the images come from, and who gave them their classes.",
    f"Add how to cite the images and their classes.\n\n{ADD_LICENCE}",
)
