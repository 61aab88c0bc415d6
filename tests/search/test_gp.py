"""The Gaussian process against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from raytuner.search.gp import CONSTANT, RATE, SHAPE, Process, Settings, fit, kernel, posterior, settings, spread

CATEGORY, NUMBER = np.array([False]), np.array([True])


def one(weights: list[float], interaction: float, noise: float = 0.0, length: float = 1.0) -> Settings:
    """A single draw."""
    return Settings(np.array([weights]), np.full((1, len(weights)), length), np.array([interaction]), np.array([noise]))


def test_categories_match_or_do_not() -> None:
    x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    found = kernel(one([0.75, 0.25], 0.2), x, x, np.array([False, False]))[0]
    # Together: 1 where both match, else the factors 1 - w / max w of what differs: 0 for the first, 2/3 for the second.
    assert found[0] == pytest.approx([CONSTANT + 1, CONSTANT + 0.8 * 0.75 + 0.2 * 2 / 3, CONSTANT])
    assert found[1, 2] == pytest.approx(CONSTANT + 0.8 * 0.25)


def test_numbers_are_the_more_alike_the_nearer_they_are() -> None:
    x = np.array([[0.0], [0.5], [1.0]])
    found = kernel(one([1.0], 0.0, length=0.5), x, x, NUMBER)[0, 0] - CONSTANT
    far = math.sqrt(3) * 0.5 / 0.5
    assert found == pytest.approx([1, (1 + far) * math.exp(-far), (1 + 2 * far) * math.exp(-2 * far)])


@pytest.mark.parametrize("ordered", [CATEGORY, NUMBER])
def test_inactive_values_are_like_each_other_only(ordered: np.ndarray) -> None:
    x = np.array([[math.nan], [0.0]])
    assert kernel(one([1.0], 0.3), x, x, ordered)[0] - CONSTANT == pytest.approx(np.eye(2))


def test_the_posterior_of_two_points() -> None:
    # Prior variance 2, covariances 1 between the two and 1.5, 0.5 with the third; no noise.
    covariance, across, y = np.array([[[2.0, 1.0], [1.0, 2.0]]]), np.array([[[1.5], [0.5]]]), np.array([1.0, -1.0])
    fitted = fit(covariance, np.zeros(1) + 1e-12, y)
    found = posterior(fitted, across)
    # The inverse is [[2, -1], [-1, 2]] / 3: mean (1.5 - 0.5) (2 + 1) / 3 = 1, variance 2 - (3 * 1.5 - 0.5 / 2) / 3 ...
    inverse = np.linalg.inv(covariance[0])
    assert found.mean[0, 0] == pytest.approx(1.0)
    explained = float(across[0, :, 0] @ inverse @ across[0, :, 0])
    assert explained == pytest.approx(7 / 6)
    scale = (RATE + 2 / 2) / (SHAPE + 1)  # y' K^-1 y = 2
    assert fitted.scale[0] == pytest.approx(scale)
    assert found.deviation[0, 0] == pytest.approx(math.sqrt((2 - 7 / 6) * scale))
    assert fitted.likelihood[0] == pytest.approx(-0.5 * math.log(3) - (SHAPE + 1) * math.log(RATE + 1))


def test_an_evaluated_point_is_what_it_was_but_for_noise() -> None:
    covariance = np.array([[[2.0, 1.0], [1.0, 2.0]]])
    exact = posterior(fit(covariance, np.array([1e-9]), np.array([0.7, -0.2])), covariance)
    assert exact.mean[0] == pytest.approx([0.7, -0.2], abs=1e-6)
    assert exact.deviation[0].max() < 1e-3
    noisy = posterior(fit(covariance, np.array([1.0]), np.array([0.7, -0.2])), covariance)
    assert 0 < noisy.mean[0, 0] < 0.5


def test_draws_of_settings_are_centred_where_they_say() -> None:
    found = settings(np.zeros((1, 8)))
    assert found.weights[0] == pytest.approx([1 / 3] * 3)
    assert len(found.lengths[0]) == 3
    assert settings(np.random.default_rng(0).normal(size=(50, 8))).weights.sum(axis=1) == pytest.approx(np.ones(50))


def test_what_matters_gets_the_weight() -> None:
    rng = np.random.default_rng(3)
    x = rng.integers(0, 3, size=(24, 4)).astype(float)
    y = np.array([-1.0, 0.0, 1.0])[x[:, 2].astype(int)] + 0.05 * rng.normal(size=24)
    process = Process(x, y, np.zeros(4, dtype=bool), 32, np.random.default_rng(0))
    assert process.settings.weights.mean(axis=0).argmax() == 2
    predicted = process.predict(np.array([[9.0, 9.0, 2.0, 9.0], [9.0, 9.0, 0.0, 9.0]])).mean.mean(axis=0)
    assert predicted[0] - predicted[1] > 1


def test_believed_points_are_certain_and_change_no_mean() -> None:
    x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    process = Process(x, np.array([0.0, 1.0, -1.0]), np.zeros(2, dtype=bool), 1, np.random.default_rng(0))
    z = np.array([[1.0, 1.0]])
    believing = process.believing(z)
    assert believing.predict(z).deviation[0, 0] < process.predict(z).deviation[0, 0] / 2
    assert believing.predict(z).mean == pytest.approx(process.predict(z).mean, abs=0.02)
    assert believing.best == pytest.approx(process.best, abs=0.02)


@pytest.mark.parametrize("y", [[0.0, 0.0, 0.0], [1.0, -1.0, 1.0]], ids=["constant", "contradictory"])
def test_points_that_repeat_are_no_trouble(y: list[float]) -> None:
    process = Process(np.zeros((3, 2)), np.array(y), np.zeros(2, dtype=bool), 8, np.random.default_rng(0))
    found = process.predict(np.array([[0.0, 0.0], [1.0, 1.0]]))
    assert np.isfinite(found.mean).all() and np.isfinite(found.deviation).all()


def test_spreading_out_takes_what_has_nothing_in_common() -> None:
    x, z = np.array([[0.0, 0.0, 0.0]]), np.array([[0.0, 0.0, 1.0], [1.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    assert spread(x, z, np.zeros(3, dtype=bool)).argsort().tolist() == [0, 2, 1]
