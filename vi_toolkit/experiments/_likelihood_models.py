"""The models of the experiment on cross-entropy and likelihood, and its three losses, each computed in its own way.

``theta`` is flat; ``x`` is a design with a column of ones. A model is written twice: as a NumPyro distribution of every
observation, for the likelihood, and as a table of log probabilities of every outcome, for the other two losses.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.scipy.special import gammaln, rel_entr

from vi_toolkit import datasets
from vi_toolkit.experiments._data import load, standardised

FIXED_SD = 60.0  # points: not the best value, so that fixing it differs from learning it


class Model(NamedTuple):
    """A model, its data, and three points to start from."""

    name: str
    data: str
    x: np.ndarray  # (n, columns)
    y: np.ndarray  # (n,)
    distribution: Callable[..., Any]  # (theta, x) -> the NumPyro distribution of every y
    log_q: Callable[..., Any]  # (theta, x, outcomes) -> log probabilities of every outcome in every row
    starts: np.ndarray  # (3, parameters)


class Cells(NamedTuple):
    """The empirical distribution: p^(row) and p^(outcome | row), over the distinct rows of x and values of y."""

    x: np.ndarray  # (rows, columns)
    weights: np.ndarray  # (rows,)
    outcomes: np.ndarray  # (outcomes,)
    shares: np.ndarray  # (rows, outcomes)


def count_cells(x: np.ndarray, y: np.ndarray) -> Cells:
    rows, row = np.unique(x, axis=0, return_inverse=True)
    outcomes, outcome = np.unique(y, return_inverse=True)
    counts = np.zeros((len(rows), len(outcomes)))
    np.add.at(counts, (row, outcome), 1.0)
    total = counts.sum(axis=1, keepdims=True)
    return Cells(rows, total[:, 0] / len(y), outcomes, counts / total)


# The three losses, in nats for one observation.


@lru_cache(maxsize=16)
def negative_log_likelihood(distribution: Callable[..., Any]) -> Callable[..., Any]:
    """(theta, x, y) -> -(1/n) sum_i log q(y_i | x_i), by NumPyro, over the observations."""

    def loss(theta: Any, x: Any, y: Any) -> Any:
        return -jnp.mean(distribution(theta, x).log_prob(y))

    return loss


@lru_cache(maxsize=16)
def cross_entropy(log_q: Callable[..., Any]) -> Callable[..., Any]:
    """(theta, *cells) -> H(p^, q) = -sum_r p^(r) sum_k p^(k | r) log q(k | r), over the cells."""

    def loss(theta: Any, x: Any, weights: Any, outcomes: Any, shares: Any) -> Any:
        return -jnp.sum(weights * jnp.sum(shares * log_q(theta, x, outcomes), axis=1))

    return loss


@lru_cache(maxsize=16)
def divergence(log_q: Callable[..., Any]) -> Callable[..., Any]:
    """(theta, *cells) -> D(p^‖q) = sum_r p^(r) sum_k p^(k | r) log (p^(k | r) / q(k | r)), over the cells."""

    def loss(theta: Any, x: Any, weights: Any, outcomes: Any, shares: Any) -> Any:
        return jnp.sum(weights * jnp.sum(rel_entr(shares, jnp.exp(log_q(theta, x, outcomes))), axis=1))

    return loss


# The five models.


def classifier() -> Model:
    """softmax(0, x b_1, x b_2): a species of iris by the length of its sepals, which tells them apart only in part."""
    iris = load("iris")
    x, y = _with_ones(standardised(iris.data[:, :1])), iris.target
    return Model("classifier", "150 iris, 3 species by sepal length", x, y, _categorical, _log_categorical, _starts(4))


def _categorical(theta: Any, x: Any) -> Any:
    return dist.Categorical(logits=_logits(theta, x))


def _log_categorical(theta: Any, x: Any, outcomes: Any) -> Any:
    return jax.nn.log_softmax(_logits(theta, x), axis=1)


def _logits(theta: Any, x: Any) -> Any:
    others = x @ theta.reshape(x.shape[1], -1)
    return jnp.concatenate([jnp.zeros((len(x), 1), others.dtype), others], axis=1)


def soft_targets() -> Model:
    """P(dies) = 1 / (1 + exp(-x b)): the share of the beetles of a dose that died is the target of this dose."""
    dose, exposed, killed = datasets.BEETLES_LOG_DOSE, datasets.BEETLES_EXPOSED, datasets.BEETLES_KILLED
    x = np.repeat(_with_ones((dose - dose.mean())[:, None] / dose.std()), exposed, axis=0)
    y = np.concatenate([np.arange(n) < k for n, k in zip(exposed, killed, strict=True)]).astype(int)
    # No start at 0: the gradient of NumPyro's Bernoulli is wrong where a logit is exactly 0.
    return Model("soft targets", "481 beetles, deaths by dose", x, y, _bernoulli, log_bernoulli, _starts(2, 0.1))


def _bernoulli(theta: Any, x: Any) -> Any:
    return dist.Bernoulli(logits=x @ theta)


def log_bernoulli(theta: Any, x: Any, outcomes: Any) -> Any:
    """Log probabilities of 0 and 1 in every row."""
    return jnp.stack([jax.nn.log_sigmoid(-x @ theta), jax.nn.log_sigmoid(x @ theta)], axis=1)


def regression(*, learn_sd: bool) -> Model:
    """y ~ Normal(x b, sd): the progression of diabetes in points; cells of y are one point wide."""
    diabetes = load("diabetes")
    x, y = _with_ones(standardised(diabetes.data)), diabetes.target
    base = np.array([150.0, *np.zeros(10)])
    kind = "sd learned" if learn_sd else f"sd {FIXED_SD:.0f}"
    starts = np.c_[_starts(11, base), np.log([60.0, 90.0, 40.0])] if learn_sd else _starts(11, base)
    return Model(f"regression, {kind}", "442 diabetics, 10 predictors", x, y, _normal, log_normal, starts)


def _normal(theta: Any, x: Any) -> Any:
    return dist.Normal(*normal_parameters(theta, x))


def log_normal(theta: Any, x: Any, outcomes: Any) -> Any:
    """Log of density times a width of one point."""
    mean, sd = normal_parameters(theta, x)
    z = (outcomes[None, :] - mean[:, None]) / sd
    return -0.5 * z**2 - jnp.log(sd) - 0.5 * jnp.log(2 * jnp.pi)


def normal_parameters(theta: Any, x: Any) -> tuple[Any, Any]:
    """Means and the sd: the last entry of theta is the log of the sd where there is one more than columns."""
    columns = x.shape[1]
    sd = jnp.exp(theta[columns]) if len(theta) > columns else jnp.asarray(FIXED_SD, theta.dtype)
    return x @ theta[:columns], sd


def counts() -> Model:
    """y ~ Poisson(exp(x b)): explosions in coal mines in a year, by decade."""
    decade = datasets.COAL_MINING_YEARS // 10
    x = _with_ones(standardised(decade[:, None].astype(float)))
    y = datasets.COAL_MINING_DISASTERS
    return Model("counts", "112 years, explosions in mines by decade", x, y, _poisson, _log_poisson, _starts(2))


def _poisson(theta: Any, x: Any) -> Any:
    return dist.Poisson(jnp.exp(x @ theta))


def _log_poisson(theta: Any, x: Any, outcomes: Any) -> Any:
    log_rate = (x @ theta)[:, None]
    return outcomes * log_rate - jnp.exp(log_rate) - gammaln(outcomes + 1.0)


MODELS: tuple[Callable[[], Model], ...] = (
    classifier,
    soft_targets,
    partial(regression, learn_sd=False),
    partial(regression, learn_sd=True),
    counts,
)


def _with_ones(columns: np.ndarray) -> np.ndarray:
    return np.c_[np.ones(len(columns)), columns]


def _starts(count: int, base: np.ndarray | float = 0.0) -> np.ndarray:
    """Three points around a base, one of them the base itself."""
    wave = np.cos(np.arange(count))
    return base + np.stack([np.zeros(count), wave, -wave])
