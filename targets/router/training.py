"""Fit the router on pooled embeddings: logistic head, temperature, centroids, covariance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.covariance import ledoit_wolf
from sklearn.linear_model import LogisticRegression

from targets.router.settings import Settings

Matrix = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class FittedRouter:
    """What the runtime computes with; features are (hidden,), float64 here.

    weight (capabilities, hidden) and bias (capabilities,) of the head; its temperature; centroids
    (capabilities, hidden); whitening (hidden, hidden) with whitening @ whitening.T the inverse of
    the shrunk covariance; the distance at which it abstains.
    """

    weight: Matrix
    bias: Matrix
    temperature: float
    centroids: Matrix
    whitening: Matrix
    abstain_distance: float


def fitted_router(
    train: Matrix, labels: Labels, validation: Matrix, truth: Labels, settings: Settings
) -> FittedRouter:
    """Fit on `train` (rows, hidden); calibrate temperature and abstention on `validation`."""
    classes = int(labels.max()) + 1
    centroids = np.stack([train[labels == index].mean(axis=0) for index in range(classes)])
    # One covariance for all classes, shrunk (Ledoit & Wolf 2004): within-class offsets only.
    covariance, _ = ledoit_wolf(train - centroids[labels], assume_centered=True)
    whitening = np.linalg.cholesky(np.linalg.inv(covariance))
    weight, bias = _logistic_head(train, labels, classes, settings)
    nearest = nearest_distances(validation, centroids, whitening)
    return FittedRouter(
        weight,
        bias,
        _temperature(validation @ weight.T + bias, truth),
        centroids,
        whitening,
        float(np.quantile(nearest, settings.abstain_quantile) * settings.abstain_margin),
    )


def nearest_distances(features: Matrix, centroids: Matrix, whitening: Matrix) -> Matrix:
    """Mahalanobis distance of each row to its nearest centroid, (rows,)."""
    offsets = (features[:, None, :] - centroids) @ whitening  # (rows, capabilities, hidden)
    nearest: Matrix = np.sqrt(np.square(offsets).sum(axis=2).min(axis=1))
    return nearest


def _logistic_head(
    train: Matrix, labels: Labels, classes: int, settings: Settings
) -> tuple[Matrix, Matrix]:
    """Multinomial logistic regression on standardised features, folded back onto raw ones."""
    if classes == 1:
        return np.zeros((1, train.shape[1])), np.zeros(1)
    mean, deviation = train.mean(axis=0), train.std(axis=0) + 1e-6
    head = LogisticRegression(C=settings.inverse_penalty, max_iter=1000)
    head.fit((train - mean) / deviation, labels)
    coefficients, intercept = head.coef_, head.intercept_
    if classes == 2:
        # Two classes are fitted as one log-odds; half of it to each side is the same softmax.
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    weight = coefficients / deviation
    return weight, intercept - weight @ mean


def _temperature(logits: Matrix, truth: Labels) -> float:
    """The divisor of the logits that makes the truth likeliest (Guo et al. 2017)."""
    if logits.shape[1] == 1:
        return 1.0

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(scaled[np.arange(len(truth)), truth].mean())

    # Without one mistake on validation the best temperature is 0; certainty is kept within reason.
    found = minimize_scalar(loss, bounds=(np.log(0.5), np.log(20.0)), method="bounded")
    return float(np.exp(found.x))
