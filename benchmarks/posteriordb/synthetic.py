"""Posteriors beside the database's: hierarchies whose generating values are known, a logistic regression, a Gaussian.

    SYNTHETIC["growth_curve_65"](seed).target

The data come from NumPy's generator and the seed. ``point`` is where a long run may start: the generating values on
R^dim.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from benchmarks.posteriordb.models._flat import flat
from benchmarks.posteriordb.models.glm import poisson_of_log_rate
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.targets import Target, from_numpyro


@dataclass(frozen=True, eq=False)
class Synthetic:
    """A posterior with what is known of it.

    Attributes:
        name: as in `SYNTHETIC`.
        model: the NumPyro model.
        arguments: its arguments.
        target: the posterior of ``model(**arguments)``.
        truth: {site: value} that the data were generated with; empty where the data are real or there are none.
        point: of shape (dim,), the truth on R^dim; without a truth, the mode.
        exact: the posterior in closed form, or None.
    """

    name: str
    model: Callable[..., Any]
    arguments: Mapping[str, Any]
    target: Target
    point: np.ndarray
    truth: Mapping[str, Any] = field(default_factory=dict)
    exact: ExactPosterior | None = None


def growth_curve_model(times: Any, y: Any) -> None:
    """y_ij ~ N(a_i + b_i t_j, sigma),   a_i ~ N(mu_a, tau_a),   b_i ~ N(mu_b, tau_b): centred.

    ``times`` (measurements,) and ``y`` (subjects, measurements).
    """
    mean = numpyro.sample("mean", dist.Normal(0.0, 10.0).expand([2]).to_event(1))
    spread = numpyro.sample("spread", dist.HalfNormal(5.0).expand([2]).to_event(1))
    sigma = numpyro.sample("sigma", dist.HalfNormal(5.0))
    intercept = numpyro.sample("intercept", dist.Normal(mean[0], spread[0]).expand([len(y)]).to_event(1))
    slope = numpyro.sample("slope", dist.Normal(mean[1], spread[1]).expand([len(y)]).to_event(1))
    numpyro.sample("y", dist.Normal(intercept[:, None] + slope[:, None] * times, sigma), obs=y)


def growth_curve(seed: int = 0, *, num_subjects: int = 30, num_measurements: int = 5) -> Synthetic:
    """Intercepts and slopes of 30 subjects, measured five times each, and 5 hyperparameters: dim 65."""
    generator = np.random.default_rng(seed)
    truth: dict[str, Any] = {"mean": np.array([10.0, 1.5]), "spread": np.array([2.0, 0.5]), "sigma": 1.0}
    truth["intercept"] = generator.normal(10.0, 2.0, num_subjects)
    truth["slope"] = generator.normal(1.5, 0.5, num_subjects)
    times = np.arange(num_measurements, dtype=np.float64)
    means = truth["intercept"][:, None] + truth["slope"][:, None] * times
    y = means + generator.normal(0.0, 1.0, means.shape)
    return _with_truth("growth_curve_65", growth_curve_model, {"times": times, "y": y}, truth)


def item_response_model(correct: Any) -> None:
    """P(person p solves item i) = logit^-1(a_i (theta_p - b_i)): two parameters for each item, centred.

    theta_p ~ N(0, 1),   b_i ~ N(mu_b, tau_b),   a_i ~ LogNormal(mu_a, tau_a);   ``correct`` (persons, items).
    """
    num_persons, num_items = correct.shape
    mean_difficulty = numpyro.sample("mean_difficulty", dist.Normal(0.0, 2.0))
    spread_difficulty = numpyro.sample("spread_difficulty", dist.HalfNormal(2.0))
    mean_log_slope = numpyro.sample("mean_log_slope", dist.Normal(0.0, 1.0))
    spread_log_slope = numpyro.sample("spread_log_slope", dist.HalfNormal(1.0))
    ability = numpyro.sample("ability", dist.Normal(0.0, 1.0).expand([num_persons]).to_event(1))
    difficulties = dist.Normal(mean_difficulty, spread_difficulty).expand([num_items]).to_event(1)
    difficulty = numpyro.sample("difficulty", difficulties)
    slopes = dist.LogNormal(mean_log_slope, spread_log_slope).expand([num_items]).to_event(1)
    slope = numpyro.sample("slope", slopes)
    numpyro.sample("correct", dist.Bernoulli(logits=slope * (ability[:, None] - difficulty)), obs=correct)


def item_response(seed: int = 0, *, num_persons: int = 100, num_items: int = 20) -> Synthetic:
    """Abilities of 100 persons, difficulties and slopes of 20 items, and 4 hyperparameters: dim 144."""
    generator = np.random.default_rng(seed)
    truth: dict[str, Any] = {
        "mean_difficulty": 0.0,
        "spread_difficulty": 1.0,
        "mean_log_slope": 0.2,
        "spread_log_slope": 0.3,
        "ability": generator.normal(size=num_persons),
        "difficulty": generator.normal(0.0, 1.0, num_items),
        "slope": np.exp(generator.normal(0.2, 0.3, num_items)),
    }
    logits = truth["slope"] * (truth["ability"][:, None] - truth["difficulty"])
    correct = (generator.uniform(size=logits.shape) < _logistic(logits)).astype(np.int64)
    return _with_truth("item_response_144", item_response_model, {"correct": correct}, truth)


def poisson_groups_model(x: Any, counts: Any) -> None:
    """counts_gj ~ Poisson(exp(intercept + slope x_gj + scale raw_g)), raw_g ~ N(0, 1): non-centred.

    ``x`` and ``counts`` (groups, observations).
    """
    intercept = numpyro.sample("intercept", dist.Normal(0.0, 2.0))
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    raw = numpyro.sample("raw", dist.Normal(0.0, 1.0).expand([len(counts)]).to_event(1))
    log_rate = intercept + slope * x + scale * raw[:, None]
    numpyro.sample("counts", poisson_of_log_rate(log_rate), obs=counts)


def poisson_groups(seed: int = 0, *, num_groups: int = 100, num_observations: int = 5) -> Synthetic:
    """Effects of 100 groups on counts, five counts each, an intercept, a slope and a scale: dim 103."""
    generator = np.random.default_rng(seed)
    truth = {"intercept": 1.0, "slope": 0.5, "scale": 0.5, "raw": generator.normal(size=num_groups)}
    x = generator.normal(size=(num_groups, num_observations))
    log_rate = 1.0 + 0.5 * x + 0.5 * np.asarray(truth["raw"])[:, None]
    counts = generator.poisson(np.exp(log_rate))
    return _with_truth("poisson_groups_103", poisson_groups_model, {"x": x, "counts": counts}, truth)


def logistic_model(design: Any, response: Any) -> None:
    """response_i ~ Bernoulli(logit^-1(design_i' beta)), beta_j ~ N(0, 1), the intercept among them."""
    beta = numpyro.sample("beta", dist.Normal(0.0, 1.0).expand([design.shape[1]]).to_event(1))
    numpyro.sample("response", dist.Bernoulli(logits=design @ beta), obs=response)


def breast_cancer(seed: int = 0) -> Synthetic:
    """Benign (1) or malignant (0) by 30 standardised measurements and an intercept, n = 569, dim 31; real data."""
    from sklearn.datasets import load_breast_cancer  # only this needs it

    del seed  # one data set
    columns, response = load_breast_cancer(return_X_y=True)
    standardised = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    design = np.column_stack([np.ones(len(columns)), standardised])
    arguments = {"design": design, "response": response}
    target = from_numpyro(logistic_model, **arguments)
    return Synthetic("breast_cancer_31", logistic_model, arguments, target, _logistic_mode(design, response))


def gaussian_model(mean: Any, factor: Any) -> None:
    """z ~ N(mean, L L'), L = ``factor``; as a density over a flat site, so that no prior gives it away."""
    z = numpyro.sample("z", flat(len(mean)))
    numpyro.factor("density", dist.MultivariateNormal(mean, scale_tril=factor).log_prob(z))


def correlated_gaussian(seed: int = 0, *, dim: int = 100) -> Synthetic:
    """N(m, A A'), the entries of A and m standard normal: condition numbers around dim^2 and more."""
    generator = np.random.default_rng(seed)
    root, mean = generator.normal(size=(dim, dim)), generator.normal(size=dim)
    covariance = root @ root.T
    # A = (Q R)' has A A' = R' R: the factor without squaring the condition number
    upper = np.linalg.qr(root.T, mode="r")
    factor = (upper * np.sign(np.diag(upper))[:, None]).T
    arguments = {"mean": mean, "factor": factor}
    target = replace(from_numpyro(gaussian_model, **arguments), log_evidence=0.0)
    exact = ExactPosterior(
        name=f"correlated Gaussian, {dim} dims",
        target=target,
        how="closed form",
        sampler=partial(_gaussian_draws, mean, factor),
        log_evidence=0.0,
        mean=mean,
        covariance=covariance,
    )
    return Synthetic(f"correlated_gaussian_{dim}", gaussian_model, arguments, target, mean, {"z": mean}, exact)


SYNTHETIC: dict[str, Callable[..., Synthetic]] = {
    "growth_curve_65": growth_curve,
    "item_response_144": item_response,
    "poisson_groups_103": poisson_groups,
    "breast_cancer_31": breast_cancer,
    "correlated_gaussian_100": correlated_gaussian,
}


def _with_truth(
    name: str, model: Callable[..., Any], arguments: Mapping[str, Any], truth: Mapping[str, Any]
) -> Synthetic:
    target = from_numpyro(model, **arguments)
    point = target.unconstrain({site: jnp.asarray(value) for site, value in truth.items()})[0]
    return Synthetic(name, model, arguments, target, np.asarray(point), truth)


def _logistic(logits: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-logits))


def _logistic_mode(design: np.ndarray, response: np.ndarray) -> np.ndarray:
    """By Newton's method: the log posterior is concave, and from 0 every step rises."""
    beta = np.zeros(design.shape[1])
    for _ in range(50):
        probability = _logistic(design @ beta)
        gradient = design.T @ (response - probability) - beta
        curvature = (design.T * (probability * (1.0 - probability))) @ design + np.eye(len(beta))
        step = np.linalg.solve(curvature, gradient)
        beta = beta + step
        if np.abs(step).max() < 1e-12:
            return beta
    raise ArithmeticError("Newton's method did not end at the mode of the logistic regression.")


def _gaussian_draws(mean: np.ndarray, factor: np.ndarray, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    return mean + generator.normal(size=(num_draws, len(mean))) @ factor.T
