"""Scores against scikit-learn, scipy and torch as oracles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import r2_score, roc_auc_score

from astrogate.measure.scores import Estimate, auc, bootstrap, halves, mean, psnr, r2, retrieval, spearman

RNG = np.random.default_rng(0)


def test_auc_agrees_with_scikit_learn() -> None:
    for _ in range(10):
        scores, positive = RNG.integers(0, 9, 60), RNG.random(60) < 0.4
        assert auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
    assert np.isnan(auc([1.0, 2.0], [True, True]))


def test_spearman_agrees_with_scipy_and_gives_nothing_for_a_constant() -> None:
    x, y = RNG.random(9), RNG.random(9)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert spearman([1, 2, 3], [5, 5, 5]) == 0


def test_r2_agrees_with_scikit_learn() -> None:
    truth = RNG.random(50)
    read = truth + 0.1 * RNG.random(50)
    assert r2(truth, read) == pytest.approx(r2_score(truth, read))


def test_psnr_by_definition() -> None:
    a = np.zeros((2, 3, 4, 4))
    assert psnr(a, a + 0.1) == pytest.approx([20, 20])


def test_retrieval_counts_own_texts() -> None:
    unit = np.eye(200)
    assert retrieval(unit, unit).mean() == 1
    assert retrieval(unit, np.roll(unit, 1, 0)).mean() == 0
    assert len(retrieval(unit[:50], unit[:50])) == 0


def test_halves_of_a_mean_tell_its_standard_error() -> None:
    items = np.random.default_rng(1).normal(3.0, 2.0, 400)
    found = halves(mean, items, draws=2000)
    assert found.value == pytest.approx(items.mean())
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * items.std() / 20, rel=0.06)
    assert halves(lambda a, b: mean(a) - mean(b), items, items + 1).low == pytest.approx(-1)
    assert f"{Estimate(1.26, 0.9, 2.0, 5):.1f}" == "1.3 [0.9, 2.0]"


def test_bootstrap_covers_the_mean() -> None:
    hits = 0
    for _ in range(100):
        e = bootstrap(mean, RNG.normal(size=80), resamples=300)
        hits += e.low <= 0 <= e.high
        assert e.low <= e.value <= e.high
        assert e.n == 80
    assert hits >= 85
    assert np.isnan(bootstrap(mean, []).value)
