"""A Gaussian process over few, mostly categorical parameters, its settings averaged over draws.

Its kernel is a sum of one kernel for each parameter, and of their product, in which they interact:

    k(x, z) = c + (1 - p) sum_j w_j s_j(x_j, z_j) + p prod_j (1 - a_j (1 - s_j(x_j, z_j)))

with the weights w_j (they sum to 1), a_j = w_j / max w: what matters alone also matters together. The similarity s_j of
two values is 1 where they match; else it is 0 for categories, and for numbers the Matern kernel of smoothness 3/2
(Rasmussen and Williams 2006, equation 4.17). The scale of the scores has an inverse gamma prior and is integrated out
(Shah, Wilson and Ghahramani 2014, Student-t processes).
"""

from __future__ import annotations

from copy import copy
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CONSTANT = 1.0
"""The prior variance of the mean of all scores, which are standardised."""
PRIOR = CONSTANT + 1.0
"""The prior variance of each score, without noise."""
SHAPE = RATE = 1.0
"""Of the inverse gamma prior of the variance of standardised scores: its mode is 1/2."""

SPREAD_OF_WEIGHTS = 2.0
"""The deviation of a weight's logarithm: one parameter is often worth more than all others together."""
LENGTH, SPREAD_OF_LENGTH = 1.0, 0.8
"""The median length, where the range of a parameter is 1, and the deviation of its logarithm."""
INTERACTION, SPREAD_OF_INTERACTION = -1.5, 1.0
"""Mean and deviation of the logit of the product's share."""
NOISE, SPREAD_OF_NOISE = 0.003, 1.0
"""The median variance of the noise, where that of the scores is 1, and the deviation of its logarithm."""

FAR = 100.0
"""At so many lengths the similarity is 0 but for rounding."""

STEPS = 4
"""So often each draw is moved towards the posterior."""
STRIDE = 0.7
"""How far a proposal is from where it starts, from 0 to 1."""


class Settings(NamedTuple):
    """Draws of the settings of the kernel.

    Attributes:
        weights: Of each parameter; draws x parameters.
        lengths: Of each parameter; draws x parameters.
        interaction: The share of the product; draws.
        noise: The variance of the noise; draws.
    """

    weights: Floats
    lengths: Floats
    interaction: Floats
    noise: Floats


def settings(normal: Floats) -> Settings:
    """The settings behind draws from a standard normal distribution.

    Args:
        normal: Draws x (2 x parameters + 2).
    """
    parameters = (normal.shape[1] - 2) // 2
    weights = np.exp(SPREAD_OF_WEIGHTS * normal[:, :parameters])
    return Settings(
        weights / weights.sum(axis=1, keepdims=True),
        LENGTH * np.exp(SPREAD_OF_LENGTH * normal[:, parameters : 2 * parameters]),
        1 / (1 + np.exp(-INTERACTION - SPREAD_OF_INTERACTION * normal[:, -2])),
        NOISE * np.exp(SPREAD_OF_NOISE * normal[:, -1]),
    )


def kernel(own: Settings, x: Floats, z: Floats, ordered: NDArray[np.bool_]) -> Floats:
    """The covariances of points, without noise, for each draw.

    Args:
        own: The draws.
        x: Points x parameters; positions of numbers from 0 to 1, codes of categories, NaN where inactive.
        z: Other points.
        ordered: For each parameter whether it is a number.

    Returns:
        Draws x points x other points.
    """
    shape = len(own.noise), len(x), len(z)
    share = own.interaction[:, None, None]
    total = np.full((shape[0], shape[1] * shape[2]), CONSTANT)
    product = np.repeat(own.interaction[:, None], total.shape[1], axis=1)
    strength = own.weights / own.weights.max(axis=1, keepdims=True)
    for j in range(x.shape[1]):
        ours, row = np.unique(x[:, j], return_inverse=True)  # there are few, and work on all pairs of points is slow
        theirs, column = np.unique(z[:, j], return_inverse=True)
        similar = similarity(ours, theirs, own.lengths[:, j] if ordered[j] else None)
        pairs = (row[:, None] * len(theirs) + column).ravel()
        alone = (1 - share) * own.weights[:, j, None, None] * similar
        total += alone.reshape(shape[0], -1).take(pairs, axis=1)
        together = 1 - strength[:, j, None, None] * (1 - similar)
        product *= together.reshape(shape[0], -1).take(pairs, axis=1)
    total += product
    return total.reshape(shape)


def similarity(a: Floats, b: Floats, lengths: Floats | None) -> Floats:
    """How much alike values of one parameter are, from 0 to 1; inactive ones (NaN) are like each other only.

    Args:
        a: Values as coordinates.
        b: Other values.
        lengths: The lengths of the draws for a number; None for a category.

    Returns:
        Draws x values x other values; 1 x values x other values for a category.
    """
    inactive = np.isnan(a)[:, None] & np.isnan(b)
    distance = np.abs(a[:, None] - b)
    distance = np.where(inactive, 0.0, np.where(np.isnan(distance), np.inf, distance))
    if lengths is None:
        matching: Floats = (distance == 0)[None].astype(float)
        return matching
    far = np.minimum(np.sqrt(3) * distance / lengths[:, None, None], FAR)
    similar: Floats = (1 + far) * np.exp(-far)
    return similar


class Prediction(NamedTuple):
    """What each draw predicts: draws x points.

    Attributes:
        mean: The means.
        deviation: The deviations of the noiseless scores.
    """

    mean: Floats
    deviation: Floats


class Process:
    """The posterior, as draws of the settings of equal weight.

    Args:
        x: Evaluated points; see `kernel`.
        y: Their scores, standardised.
        ordered: For each parameter whether it is a number.
        draws: How many draws of the settings there are.
        rng: Where they are drawn from.
    """

    def __init__(self, x: Floats, y: Floats, ordered: NDArray[np.bool_], draws: int, rng: np.random.Generator) -> None:
        self._x, self._y, self._ordered, self._evaluated = x, y, ordered, len(y)
        normal = rng.standard_normal((draws, 2 * x.shape[1] + 2))
        found = self._fit_to(settings(normal))
        for _ in range(STEPS):
            # Preconditioned Crank-Nicolson proposals keep the prior, so that the likelihoods alone decide (Cotter,
            # Roberts, Stuart and White 2013, MCMC methods for functions).
            proposed = np.sqrt(1 - STRIDE**2) * normal + STRIDE * rng.standard_normal(normal.shape)
            other = self._fit_to(settings(proposed))
            better = np.log(rng.random(draws)) < other.likelihood - found.likelihood
            normal[better] = proposed[better]
            for old, new in zip(found, other, strict=True):
                old[better] = new[better]
        self.settings = settings(normal)
        self._fit = found
        self._root: Floats = np.asarray(np.linalg.inv(found.lower), dtype=np.float64)

    def _fit_to(self, own: Settings) -> Fit:
        return fit(kernel(own, self._x, self._x, self._ordered), own.noise, self._y)

    @property
    def best(self) -> Floats:
        """The greatest mean at an evaluated point; draws."""
        at = kernel(self.settings, self._x, self._x[: self._evaluated], self._ordered)
        greatest: Floats = posterior(self._fit, at, self._root).mean.max(axis=1)
        return greatest

    def predict(self, z: Floats) -> Prediction:
        """Predict the noiseless scores of points."""
        return posterior(self._fit, kernel(self.settings, self._x, z, self._ordered), self._root)

    def believing(self, z: Floats) -> Process:
        """The same process as if further points had been evaluated, with the scores that it expects of them."""
        other = copy(self)
        other._x = np.concatenate([self._x, z])
        other._y = np.concatenate([self._y, self.predict(z).mean.mean(axis=0)])
        other._fit = other._fit_to(self.settings)
        other._root = np.asarray(np.linalg.inv(other._fit.lower), dtype=np.float64)
        return other


class Fit(NamedTuple):
    """Draws fitted to scores.

    Attributes:
        lower: The lower Cholesky factor of the covariances; draws x points x points.
        solved: Its inverse times the scores; draws x points.
        likelihood: The logarithm of the marginal likelihood but for a constant; draws.
        scale: The posterior mean of the variance of the scores, about; draws.
    """

    lower: Floats
    solved: Floats
    likelihood: Floats
    scale: Floats


def fit(covariance: Floats, noise: Floats, y: Floats) -> Fit:
    """Fit draws to scores (Rasmussen and Williams 2006, algorithm 2.1; Shah et al. 2014, Student-t processes).

    Args:
        covariance: Of the points, without noise; draws x points x points.
        noise: Variances of the noise; draws.
        y: The scores.
    """
    count = len(y)
    # With the scores as a further row, the factor holds its inverse times the scores in that row.
    extended = np.empty((len(noise), count + 1, count + 1))
    extended[:, :count, :count] = covariance + noise[:, None, None] * np.eye(count)
    extended[:, count, :count] = extended[:, :count, count] = y
    extended[:, count, count] = 2 * (y @ y) / noise + 1  # enough to stay positive definite
    factor: Floats = np.asarray(np.linalg.cholesky(extended), dtype=np.float64)
    lower, solved = factor[:, :count, :count], factor[:, count, :count]
    misfit = RATE + (solved**2).sum(axis=1) / 2
    determinant = np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
    freedom = SHAPE + count / 2
    return Fit(lower, solved, -determinant - freedom * np.log(misfit), misfit / freedom)


def posterior(fitted: Fit, across: Floats, root: Floats | None = None) -> Prediction:
    """Predict noiseless scores.

    Args:
        fitted: The fitted draws.
        across: Covariances of evaluated and other points; draws x points x other points.
        root: The inverse of the fit's lower factor, where it is known.
    """
    projected = (np.linalg.inv(fitted.lower) if root is None else root) @ across
    mean = (fitted.solved[:, None, :] @ projected)[:, 0]
    variance = np.maximum(PRIOR - np.einsum("dij,dij->dj", projected, projected), 1e-10)
    return Prediction(mean, np.sqrt(variance * fitted.scale[:, None]))


def spread(x: Floats, z: Floats, ordered: NDArray[np.bool_]) -> Floats:
    """How little is known of points before there are scores: their variances given other points, all weights equal.

    Taking the greatest again and again maximises the determinant of the covariances greedily, so that the design is
    nearly D-optimal.

    Args:
        x: Points that are or will be evaluated.
        z: The points asked about.
        ordered: For each parameter whether it is a number.
    """
    equal = settings(np.zeros((1, 2 * x.shape[1] + 2)))
    fitted = fit(kernel(equal, x, x, ordered), equal.noise, np.zeros(len(x)))
    variance: Floats = posterior(fitted, kernel(equal, x, z, ordered)).deviation[0] ** 2
    return np.round(variance, 9)
