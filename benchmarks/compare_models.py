"""Fidelity of two models per class, and their difference: same seeds, same real galaxies, same sampler.

    python benchmarks/compare_models.py --first A --second B --data DATA --output_dir OUT --num_images spiral=100

KID of Inception's features against all real galaxies of the class, training galaxies included: that flatters both
models equally, and a rare class has too few others. The interval of the difference is a jackknife over groups of
galaxies and of seeds, paired: image i of both models starts from the same noise. It does not include that a training
with another seed would give another model. To continue after an interruption, run the same command again.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.drawn_images import drawn_images
from galaxy_diffusion.evaluation.distances import kernel_discrepancy
from galaxy_diffusion.evaluation.features import inception_features
from galaxy_diffusion.evaluation.jackknife import jackknife, t_interval
from galaxy_diffusion.sampling.contact_sheets import save_picture, tile
from galaxy_diffusion.sampling.ddpm_pipeline import DEFAULT_GUIDANCE
from galaxy_diffusion.sampling.seeded_images import load_pipeline
from galaxy_diffusion.shared.machine import use_all_cores
from galaxy_diffusion.shared.run_folder import write_json
from galaxy_diffusion.shared.seen_images import refuse_other_crop
from gz2_dataset import load_arrays
from gz2_dataset.command_line import provenance, run
from gz2_dataset.markdown import markdown_table

SPLITS = ("train", "validation", "test")


@dataclass
class Config:
    """Settings of the comparison."""

    first: str
    """Output folders of train_ddpm.py."""
    second: str
    """Output folders of train_ddpm.py."""
    data: str
    """The data that both were trained with."""
    output_dir: Path
    """Gets table.md, results.json and samples.png (one row per class and model)."""
    num_images: str
    """Images of each class, such as cigar_shaped_smooth=300,spiral=100."""
    max_real: int = 500
    """At most this many galaxies of each class are compared with."""
    scheduler: str = "sde-dpmsolver++"
    """As in generate.py."""
    num_inference_steps: int = 25
    """Denoising steps."""
    guidance_scale: float = DEFAULT_GUIDANCE
    """Weight of the class."""
    batch_size: int = 50
    """Images at a time."""


def main(config: Config) -> None:
    use_all_cores()
    config.output_dir.mkdir(parents=True, exist_ok=True)
    device = PartialState().device
    models = {
        "first": load_pipeline(config.first, config.scheduler, device),
        "second": load_pipeline(config.second, config.scheduler, device),
    }
    size = models["first"].image_shape[-1]
    parts = [load_arrays(config.data, split, size, jpeg=True) for split in SPLITS]
    for model in (config.first, config.second):
        refuse_other_crop(model, parts[0].center_crop)
    wanted = dict(pair.split("=") for pair in config.num_images.split(","))
    rows, shown = [], []
    for name, count in wanted.items():
        label = parts[0].class_names.index(name)
        real = np.concatenate([part.images[part.of_class(name)] for part in parts])[: config.max_real]
        images = [
            drawn_images(
                config.output_dir / f".{which}-{label}-{count}.npz",
                pipeline,
                name,
                range(int(count)),
                config.guidance_scale,
                config.num_inference_steps,
                config.batch_size,
            ).images
            for which, pipeline in models.items()
        ]
        shown += [part[:10] for part in images]
        rows.append({"class": name, "n_real": len(real), "n_generated": int(count), **compare(real, *images)})
    table = markdown_table(list(rows[0]), [[str(value) for value in row.values()] for row in rows])
    (config.output_dir / "table.md").write_text(table + "\n")
    save_picture(config.output_dir / "samples.png", tile(np.stack(shown)))
    write_json(config.output_dir / "results.json", {**provenance(config), "rows": rows})
    print(table)


def compare(real: np.ndarray, first: np.ndarray, second: np.ndarray) -> dict[str, str]:
    """1000 KID of both and of first - second, with 95 % intervals."""
    features = inception_features(real)
    of_first, of_second = (kernel_discrepancy(features, inception_features(images)) for images in (first, second))

    def figures(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        return 1e3 * np.array([of_first(i, j), of_second(i, j), of_first(i, j) - of_second(i, j)])

    values, errors, freedom = jackknife(figures, len(real), len(first))
    found = [t_interval(value, error, freedom) for value, error in zip(values, errors, strict=True)]
    texts = [f"{e.value:+.2f} [{e.low:+.2f}, {e.high:+.2f}]" for e in found]
    return dict(zip(("1000 KID, first", "1000 KID, second", "first - second"), texts, strict=True))


if __name__ == "__main__":
    with torch.inference_mode():
        run(main, Config, __doc__.partition("\n")[0])
