"""What a prediction becomes: columns of the survey's catalogue, and a table of embeddings."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import MaskedColumn, Table

from galaxy_diffusion.prediction.parts import Parts
from galaxy_diffusion.prediction.probabilities import Prediction
from galaxy_diffusion.prediction.survey import Survey, shown
from gz2_dataset import UserError
from gz2_dataset.aside import written_aside


def with_predictions(
    table: Table, prediction: Prediction, rows: np.ndarray, class_names: Sequence[str], members: int
) -> Table:
    """A catalogue with its own columns and those of the prediction, which are empty where an image could not be read.

    Parameters
    ----------
    table : Table
    prediction : Prediction
    rows : ndarray of int, shape (N,)
        The rows that it is of.
    class_names : sequence of str
    members : int
        Number of classifiers; several add the columns ``probability_CLASS_std`` and ``agreement``.

    Raises
    ------
    UserError
        If the catalogue has a column of one of the names already.
    """
    columns = {"predicted_class": np.array(class_names)[prediction.label]}
    columns |= {f"probability_{name}": prediction.mean[:, i] for i, name in enumerate(class_names)}
    columns["entropy"] = prediction.entropy
    if members > 1:
        columns |= {f"probability_{name}_std": prediction.std[:, i] for i, name in enumerate(class_names)}
        columns["agreement"] = prediction.agreement
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


def write_embeddings(path: Path, survey: Survey, parts: Parts, image_column: str, members: int) -> None:
    """Write the penultimate features of each image, one part in memory at a time.

    Parameters
    ----------
    path : Path
        Parquet with a row for each image of the survey, in its order: the file's name and ``embedding``, a list of
        float32 that is null where the image could not be read; of several classifiers ``embedding_0``, ``embedding_1``.
    survey : Survey
    parts : Parts
        With features.
    image_column : str
        Name of the column of file names.
    members : int
        Number of classifiers.
    """
    with written_aside(path) as aside:
        fields = [f"embedding_{i}" if members > 1 else "embedding" for i in range(members)]
        of_floats = pa.list_(pa.float32())
        schema = pa.schema({image_column: pa.string(), **dict.fromkeys(fields, of_floats)})
        with pq.ParquetWriter(aside, schema) as writer:
            for rows, part in parts:
                columns = [pa.array(shown(survey.names[rows.start : rows.stop]), pa.string())]
                for features in part.features:
                    values: list[np.ndarray | None] = [None] * len(rows)
                    for place, vector in zip(np.flatnonzero(part.readable), features, strict=True):
                        values[place] = vector
                    columns.append(pa.array(values, of_floats))
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))
