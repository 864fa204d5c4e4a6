"""What a prediction becomes: columns of the survey's catalogue, and a table of embeddings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import MaskedColumn, Table

from galaxy_diffusion.prediction.known import Known
from galaxy_diffusion.prediction.parts import Parts
from galaxy_diffusion.prediction.probabilities import Prediction
from galaxy_diffusion.prediction.survey import Survey, shown
from galaxy_diffusion.shared.vote_fractions import intervals
from gz2_dataset import UserError
from gz2_dataset.aside import written_aside


def class_columns(prediction: Prediction, class_names: Sequence[str], members: int) -> dict[str, np.ndarray]:
    """What a catalogue says of the classes of some images.

    Parameters
    ----------
    prediction : Prediction
    class_names : sequence of str
    members : int
        Number of classifiers; several add the columns ``probability_CLASS_std`` and ``agreement``.
    """
    columns = {"predicted_class": np.array(class_names)[prediction.label]}
    columns |= {f"probability_{name}": prediction.mean[:, i] for i, name in enumerate(class_names)}
    columns["entropy"] = prediction.entropy
    if members > 1:
        columns |= {f"probability_{name}_std": prediction.std[:, i] for i, name in enumerate(class_names)}
        columns["agreement"] = prediction.agreement
    return columns


def vote_columns(logits: np.ndarray, answers: Sequence[str]) -> dict[str, np.ndarray]:
    """What a catalogue says of the votes on some images: of each answer its fraction, and the ends of its interval.

    Parameters
    ----------
    logits : ndarray, shape (N, 37)
    answers : sequence of str
        Their names; a fraction is that of the volunteers who are asked the question.
    """
    of_end = dict(zip(("", "_low", "_high"), intervals(logits), strict=True))
    return {f"{name}{end}": values[:, i] for i, name in enumerate(answers) for end, values in of_end.items()}


def with_columns(table: Table, columns: dict[str, np.ndarray], rows: np.ndarray) -> Table:
    """A catalogue with its own columns and others, which are empty where an image could not be read.

    Parameters
    ----------
    table : Table
    columns : dict of ndarray, shape (N,)
    rows : ndarray of int, shape (N,)
        The rows that they are of.

    Raises
    ------
    UserError
        If the catalogue has a column of one of the names already.
    """
    taken = {name.lower() for name in table.colnames}
    if conflict := next((name for name in columns if name.lower() in taken), None):
        raise UserError(f"--images: the catalogue has a column {conflict!r} already; rename it there")
    whole = Table(table, copy=False)
    for name, values in columns.items():
        dtype = values.dtype if values.dtype.kind == "U" else np.float32
        mask = np.ones(len(table), bool)
        mask[rows] = False
        filled = np.zeros(len(table), dtype)
        filled[rows] = values
        whole[name] = MaskedColumn(filled, mask=mask) if mask.any() else filled
    return whole


def write_embeddings(
    path: Path, survey: Survey, parts: Parts, image_column: str, members: int, known: Known | None
) -> None:
    """Write the penultimate features of each image and its nearest known galaxies, one part in memory at a time.

    Parameters
    ----------
    path : Path
        Parquet with a row for each image of the survey, in its order: the file's name and ``embedding``, a list of
        float32 that is null where the image could not be read; of several classifiers ``embedding_0``, ``embedding_1``.
        With ``known`` also lists, the nearest first: ``nearest_image_id``, ``nearest_class`` (empty where it has none)
        and ``nearest_distance``.
    survey : Survey
    parts : Parts
        With features.
    image_column : str
        Name of the column of file names.
    members : int
        Number of classifiers.
    known : Known, optional
    """
    with written_aside(path) as aside:
        fields = [f"embedding_{i}" if members > 1 else "embedding" for i in range(members)]
        of_texts, of_floats = pa.list_(pa.string()), pa.list_(pa.float32())
        types = {image_column: pa.string(), **dict.fromkeys(fields, of_floats)}
        if known:
            types |= {"nearest_image_id": of_texts, "nearest_class": of_texts, "nearest_distance": of_floats}
        schema = pa.schema(types)
        with pq.ParquetWriter(aside, schema) as writer:
            for rows, part in parts:
                found = [*part.features, *(known.nearest(part.features) if known else ())]
                columns = [pa.array(shown(survey.names[rows.start : rows.stop]), pa.string())]
                for values, kind in zip(found, list(types.values())[1:], strict=True):
                    cells: list[Any] = [None] * len(rows)
                    for place, cell in zip(np.flatnonzero(part.readable), values, strict=True):
                        cells[place] = cell
                    columns.append(pa.array(cells, kind))
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))
