"""The metric against scikit-learn, confusion matrices worked out by hand, and the paper's own tables."""

import json
import runpy
import shutil
import sys
import types
import warnings
from concurrent.futures import ThreadPoolExecutor

import evaluate
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import classification_report

from galaxy_diffusion.classifiers.metric import GalaxyClassification
from gz2_dataset import CLASS_NAMES
from tests.conftest import ROOT

# Table 3: EfficientNetV2-S's precision and recall, original data, 100 test galaxies per class; Table 4: its macro.
PAPER_PRECISION = {"round": 0.887, "in_between": 0.841, "cigar": 0.864, "edge_on": 0.707, "spiral": 0.938}
PAPER_RECALL = {"round": 0.95, "in_between": 0.90, "cigar": 0.51, "edge_on": 0.92, "spiral": 0.91}
PAPER_F1 = {"round": 0.917, "in_between": 0.869, "cigar": 0.641, "edge_on": 0.800, "spiral": 0.923}
PAPER_MACRO = {"precision": 0.847, "recall": 0.838, "f1": 0.830}


def compute(predictions, references, class_names):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metric = GalaxyClassification(keep_in_memory=True)
        return metric.compute(predictions=predictions, references=references, class_names=class_names)


def labels_of(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and references with a given confusion matrix (row: truth, column: prediction)."""
    truth, prediction = np.indices(confusion.shape)
    return np.repeat(prediction.ravel(), confusion.ravel()), np.repeat(truth.ravel(), confusion.ravel())


def test_a_confusion_matrix_worked_out_by_hand():
    results = compute(*labels_of(np.array([[8, 2, 0], [1, 3, 0], [1, 0, 5]])), ["a", "b", "c"])
    assert results["per_class"]["a"] == pytest.approx({"precision": 0.8, "recall": 0.8, "f1": 0.8, "n": 10})
    assert results["per_class"]["b"] == pytest.approx({"precision": 0.6, "recall": 0.75, "f1": 2 / 3, "n": 4})
    assert results["per_class"]["c"] == pytest.approx({"precision": 1.0, "recall": 5 / 6, "f1": 10 / 11, "n": 6})
    assert results["accuracy"] == pytest.approx(16 / 20)
    assert results["macro"]["recall"] == pytest.approx((0.8 + 0.75 + 5 / 6) / 3)


def test_an_empty_class_and_a_class_never_predicted_count_as_zero():
    # "empty" has no galaxies but is predicted once, "missed" has two galaxies and is never predicted.
    results = compute([0, 0, 1, 0], [0, 0, 0, 2], ["found", "empty", "missed"])
    assert results["per_class"]["empty"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "n": 0}
    assert results["per_class"]["missed"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "n": 1}
    assert results["macro"]["f1"] == pytest.approx(results["per_class"]["found"]["f1"] / 3)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_parity_with_scikit_learn(pairs):
    predictions, references = (list(column) for column in zip(*pairs, strict=True))
    results = compute(predictions, references, CLASS_NAMES)
    report = classification_report(
        references, predictions, labels=range(5), target_names=CLASS_NAMES, output_dict=True, zero_division=0
    )
    for class_name in CLASS_NAMES:
        expected = report[class_name]
        assert list(results["per_class"][class_name].values()) == pytest.approx(
            [expected["precision"], expected["recall"], expected["f1-score"], expected["support"]]
        )
    assert list(results["macro"].values()) == pytest.approx(
        [report["macro avg"][name] for name in ("precision", "recall", "f1-score")]
    )


def test_the_papers_tables_come_out():
    """Labels with the recalls and precisions of Table 3 give its F1 and the macro figures of Table 4.

    The paper truncates its third decimal as often as it rounds it (95 / 107 is printed as 0.887).
    """
    n = 100
    hits = np.array([round(n * recall) for recall in PAPER_RECALL.values()])
    predicted = np.array([round(hit / p) for hit, p in zip(hits, PAPER_PRECISION.values(), strict=True)])
    assert predicted.sum() == 5 * n
    results = compute(*labels_of(fill_confusion(hits, n - hits, predicted - hits)), list(PAPER_RECALL))
    for name, expected in PAPER_F1.items():
        assert results["per_class"][name]["precision"] == pytest.approx(PAPER_PRECISION[name], abs=1e-3)
        assert results["per_class"][name]["f1"] == pytest.approx(expected, abs=1e-3)
    assert results["macro"] == pytest.approx(PAPER_MACRO, abs=1e-3)


def fill_confusion(hits: np.ndarray, misses: np.ndarray, false_alarms: np.ndarray) -> np.ndarray:
    """A confusion matrix with the given diagonal and, off it, row sums ``misses`` and column sums ``false_alarms``."""
    rows, columns = misses.copy(), false_alarms.copy()
    confusion = np.diag(hits)
    while rows.sum():
        # The class whose row and column need most goes first: else only the forbidden diagonal would be left.
        i = int(np.argmax(rows + columns)) if rows[np.argmax(rows + columns)] else int(np.argmax(rows))
        j = int(np.argmax(np.where(np.arange(len(columns)) == i, -1, columns)))
        confusion[i, j] += 1
        rows[i] -= 1
        columns[j] -= 1
    assert columns.min() == 0
    return confusion


def test_results_are_plain_json():
    results = compute(np.array([0, 1]), np.array([0, 1]), CLASS_NAMES)
    assert json.loads(json.dumps(results)) == results


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_without_a_class_is_an_error(label):
    with pytest.raises(ValueError, match=f"label {label}"):
        compute([0, 1], [0, label], ["a", "b"])


def test_two_processes_compute_the_figures_of_all_galaxies(tmp_path):
    rng = np.random.default_rng(0)
    references = rng.integers(5, size=40)
    predictions = np.where(rng.random(40) < 0.6, references, rng.integers(5, size=40))
    together = {"num_process": 2, "experiment_id": "two", "cache_dir": str(tmp_path)}
    metrics = [GalaxyClassification(process_id=rank, **together) for rank in (0, 1)]

    def of_process(rank: int) -> dict | None:
        metrics[rank].add_batch(predictions=predictions[rank::2], references=references[rank::2])
        return metrics[rank].compute(class_names=CLASS_NAMES)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(of_process, (0, 1))
    assert second is None
    assert first == compute(predictions, references, CLASS_NAMES)


@pytest.fixture
def space(tmp_path):
    """The Space's folder as an upload sees it: links followed, nothing of this package beside it."""
    return shutil.copytree(ROOT / "spaces/galaxy_classification", tmp_path / "galaxy_classification")


def test_the_space_is_this_metric_and_loads_without_the_hub(space):
    labels = {"predictions": [0, 0, 1, 0], "references": [0, 1, 1, 2], "class_names": ["a", "b", "c"]}
    assert evaluate.load(str(space)).compute(**labels) == compute(**labels)
    assert "galaxy_diffusion" not in (space / "galaxy_classification.py").read_text()


def test_the_space_has_no_metric_of_its_own():
    """A link, which the upload follows: a copy would go its own way."""
    path = ROOT / "spaces/galaxy_classification/galaxy_classification.py"
    assert path.resolve() == ROOT / "galaxy_diffusion/classifiers/metric.py"


def test_the_spaces_page_computes_the_figures(space, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", types.ModuleType("gradio"))
    page = runpy.run_path(str(space / "app.py"))
    assert page["figures"]("0, 0, 1", "0, 1, 1", "round, spiral") == compute([0, 0, 1], [0, 1, 1], ["round", "spiral"])
