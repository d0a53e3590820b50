"""Where minimising a cross-entropy is not maximum likelihood: on the beetles, whose targets are shares."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import rel_entr

from vi_toolkit.experiments._likelihood_models import cross_entropy, log_bernoulli, normal_parameters
from vi_toolkit.experiments._likelihood_routes import Route, Solved, as_arrays, hold_against
from vi_toolkit.experiments._minimise import Minimum, minimise
from vi_toolkit.targets import from_numpyro

SMOOTHING = 0.1  # the share of each target that is spread evenly over the outcomes
OWN_SHARE = 0.5  # the share of each target that is the model's own prediction
PRIOR_SD = 0.5
WIDTHS = (50.0, 20.0, 10.0, 5.0, 2.0, 1.0, 0.1, 0.01)  # of cells of the response, in points
NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(8)


class Limits(NamedTuple):
    """What happens where an assumption is dropped."""

    routes: tuple[Route, ...]
    smoothed_divergence: float  # how far the minimisers of smoothed CE and of smoothed KL are apart
    map_difference: float  # how far the penalised minimum is from the MAP of the NumPyro model
    stopped_gradient: float  # the gradient at the MLE where none flows through the target


def find_limits(beetles: Solved) -> Limits:
    model, cells, best = beetles.model, beetles.cells, beetles.best
    arrays, start = as_arrays(cells), best.theta
    smoothed = cells._replace(shares=(1 - SMOOTHING) * cells.shares + SMOOTHING / len(cells.outcomes))
    losses = {
        f"CE, targets smoothed by {SMOOTHING:g}": (cross_entropy(model.log_q), *as_arrays(smoothed)),
        f"CE, penalty of a Normal(0, {PRIOR_SD:g}) prior": (penalised, jnp.asarray(float(len(model.y))), *arrays),
        "CE, targets half the model's own": (own_cross_entropy, *arrays),
        "D(p‖q), targets half the model's own": (own_divergence, *arrays),
    }
    routes = [hold_against(model, best, name, loss, start, 0.0) for name, loss in losses.items()]
    divergence = minimise(smoothed_divergence, start, *as_arrays(smoothed))
    target = from_numpyro(prior_model, jnp.asarray(model.x, jnp.result_type(float)), model.y)
    at_map = minimise(negative_log_joint, start, target, jnp.asarray(float(len(model.y))))
    stopped = jax.grad(stopped_cross_entropy)(jnp.asarray(best.theta), *arrays)
    return Limits(
        tuple(routes),
        _apart(divergence, routes[0].minimum),
        _apart(at_map, routes[1].minimum),
        float(jnp.abs(stopped).max()),
    )


def _apart(one: Minimum, other: Minimum) -> float:
    return float(np.abs(one.theta - other.theta).max() / np.abs(one.theta).max())


def smoothed_divergence(theta: Any, x: Any, weights: Any, outcomes: Any, shares: Any) -> Any:
    q = jnp.exp(log_bernoulli(theta, x, outcomes))
    return jnp.sum(weights * jnp.sum(rel_entr(shares, q), axis=1))


def penalised(theta: Any, n: Any, *cells: Any) -> Any:
    """H(p^, q) + |theta|^2 / (2 n s^2), with s the sd of the prior."""
    return cross_entropy(log_bernoulli)(theta, *cells) + jnp.sum(theta**2) / (2 * n * PRIOR_SD**2)


def prior_model(x: Any, y: Any = None) -> None:
    """theta_j ~ Normal(0, s);  y_i ~ Bernoulli(logits = x_i theta)."""
    theta = numpyro.sample("theta", dist.Normal(0.0, PRIOR_SD).expand([x.shape[1]]).to_event(1))
    numpyro.sample("y", dist.Bernoulli(logits=x @ theta), obs=y)


def negative_log_joint(theta: Any, target: Any, n: Any) -> Any:
    return -target.log_density(theta) / n


def _own(theta: Any, x: Any, outcomes: Any, shares: Any) -> tuple[Any, Any]:
    """(p, log q): targets that are in part the model's own predictions."""
    log_q = log_bernoulli(theta, x, outcomes)
    return (1 - OWN_SHARE) * shares + OWN_SHARE * jnp.exp(log_q), log_q


def own_cross_entropy(theta: Any, x: Any, weights: Any, outcomes: Any, shares: Any) -> Any:
    p, log_q = _own(theta, x, outcomes, shares)
    return -jnp.sum(weights * jnp.sum(p * log_q, axis=1))


def own_divergence(theta: Any, x: Any, weights: Any, outcomes: Any, shares: Any) -> Any:
    p, log_q = _own(theta, x, outcomes, shares)
    return jnp.sum(weights * jnp.sum(rel_entr(p, jnp.exp(log_q)), axis=1))


def stopped_cross_entropy(theta: Any, x: Any, weights: Any, outcomes: Any, shares: Any) -> Any:
    p, log_q = _own(theta, x, outcomes, shares)
    return -jnp.sum(weights * jnp.sum(jax.lax.stop_gradient(p) * log_q, axis=1))


# A continuous response: the empirical distribution has a divergence only once the line is cut into cells.


class Widths(NamedTuple):
    """D(p^‖q) of the regression over cells of each width, at the parameters that make it smallest."""

    divergence: np.ndarray  # (widths,)
    minimiser: np.ndarray  # (widths,): how far these parameters are from maximum likelihood, over the largest of them


def cut_into_cells(regression: Solved) -> Widths:
    model, best = regression.model, regression.best
    x = jnp.asarray(model.x, jnp.result_type(float))
    found = []
    for width in WIDTHS:
        middles = width * np.round(model.y / width)
        found.append(minimise(cell_cross_entropy, best.theta, x, jnp.asarray(middles), jnp.asarray(width)))
    return Widths(np.array([each.value for each in found]), np.array([_apart(best, each) for each in found]))


def cell_cross_entropy(theta: Any, x: Any, middles: Any, width: Any) -> Any:
    """-(1/n) sum_i log q(cell of y_i | x_i), each by Gauss-Legendre quadrature: D(p^‖q), as each x has one y."""
    mean, sd = normal_parameters(theta, x)
    z = (middles[:, None] + 0.5 * width * jnp.asarray(NODES, x.dtype) - mean[:, None]) / sd
    log_density = -0.5 * z**2 - jnp.log(sd) - 0.5 * jnp.log(2 * jnp.pi)
    log_mass = jax.nn.logsumexp(log_density, axis=1, b=jnp.asarray(NODE_WEIGHTS / 2, x.dtype)) + jnp.log(width)
    return -jnp.mean(log_mass)
