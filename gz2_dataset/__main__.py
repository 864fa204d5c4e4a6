"""Commands: ``python -m gz2_dataset mock | build | audit``."""

from pathlib import Path

from . import audit as auditing
from . import builder
from .arrays import load_arrays
from .command_line import UserError, run_functions
from .mock_galaxies import write_mock_survey


def mock(*, output: Path, num_images: int = 2000, seed: int = 0) -> None:
    """Draw galaxies with simulated volunteers' votes in the Kaggle layout.

    Args:
        output: folder to write
        num_images: number of galaxies
        seed: galaxy i depends on the seed and i alone
    """
    write_mock_survey(output, num_images, seed)


def build(
    *,
    data_dir: Path,
    output: Path,
    config_name: str = "five_class",
    test_per_class: int = 100,
    validation_per_class: int = 50,
    image_size: int | None = None,
) -> None:
    """Write Parquet shards a split and a dataset card.

    Args:
        data_dir: Kaggle layout, class list (labels.csv and images/), or a folder a class
        output: folder to write; the split file of an earlier build there keeps every galaxy where it was
        config_name: five_class, the paper's clean sample
        test_per_class: test galaxies of each class, at most 30 % of a small class
        validation_per_class: validation galaxies of each class, at most 10 % of a small class
        image_size: also prepare the training arrays of this resolution
    """
    summary = builder.build(data_dir, output, config_name, test_per_class, validation_per_class)
    print(builder.count_table(summary).to_string())
    for note in summary["notes"]:
        print(f"note: {note}")
    for split in summary["counts"] if image_size else ():
        load_arrays(str(output), split, image_size)


def audit(folder: Path) -> None:
    """Count against the paper's table, find unreadable and duplicate images; a non-zero exit where there are any.

    Args:
        folder: a folder that build wrote
    """
    found = auditing.audit(folder)
    for problem in found[:20]:
        print(f"problem: {problem}")
    if found:
        raise UserError(
            f"{folder}: {len(found)} problems, not fit for use; mend the images named above and build again"
        )
    print("verdict: fit for use")


if __name__ == "__main__":
    run_functions({"mock": mock, "build": build, "audit": audit}, "Galaxy Zoo 2 as a dataset: draw, build, audit.")
