"""Mutual information: how much two variables tell of each other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpyro.distributions import Distribution
from scipy.spatial import cKDTree
from scipy.special import digamma

from vi_toolkit._checks import check_positive_int
from vi_toolkit._types import Key
from vi_toolkit.information import _gaussian
from vi_toolkit.information._functionals import KL
from vi_toolkit.information._measure import check_needed_key
from vi_toolkit.information._neighbours import NUM_NEIGHBOURS, in_common_units, with_error
from vi_toolkit.information._operands import as_probabilities, is_density
from vi_toolkit.information.measurement import Measurement, in_unit, plain
from vi_toolkit.information.sample import Sample


def mutual_information(
    p: Any, q: Any = None, *, split: int = 1, unit: str = "nats", key: Key | None = None, num_draws: int = 10_000
) -> Measurement:
    r"""I(x; y) = D(p(x, y) ‖ p(x) p(y)) = H(x) - H(x | y): zero where x and y are independent.

    Args:
        p: the joint distribution: a table of probabilities, rows x and columns y (or several, in the last two axes); or
            a NumPyro distribution of a vector, exactly where it is Gaussian, else by draws; or, with ``q``, draws of x
            wrapped by `from_draws`.
        q: draws of y, paired with those of x.
        split: how many coordinates of the vector are x; the others are y.
        unit: "nats", "bits" or "bans".
        key: a JAX random key, needed for a distribution that is not Gaussian.
        num_draws: how many draws are then taken.

    Returns:
        The information, its standard error, and the route to it.

    Raises:
        TypeError: if p is none of these.
        ValueError: if the table is none of probabilities, the draws are not paired, or ``split`` leaves no coordinates.

    Example:
        >>> from vi_toolkit import information
        >>> information.mutual_information([[0.5, 0.0], [0.0, 0.5]], unit="bits").value
        1.0

    Source: Cover and Thomas (2006), Elements of Information Theory, section 2.3, doi:10.1002/047174882X; from draws,
    Kraskov, Stoegbauer and Grassberger (2004), Estimating mutual information, arXiv:cond-mat/0305641, algorithm 1.
    """
    if isinstance(p, Sample):
        if not isinstance(q, Sample) or len(q.draws) != len(p.draws):
            raise ValueError(f"q: expected as many draws of y as of x, paired with them, got {q!r} for {p!r}.")
        return in_unit(_from_pairs(p.draws, q.draws), unit)
    if q is not None:
        raise TypeError("q: expected only together with draws; a joint distribution is given as p alone.")
    if is_density(p):
        raise TypeError("p: expected a table, a distribution, or draws; a target has no marginals to compare with.")
    if isinstance(p, Distribution):
        return in_unit(_of_distribution(p, check_positive_int(split, "split"), key, num_draws), unit)
    return in_unit(_of_table(as_probabilities(p, "p", num_axes=2)), unit)


def _of_table(joint: np.ndarray) -> Measurement:
    independent = joint.sum(axis=-1, keepdims=True) * joint.sum(axis=-2, keepdims=True)
    with np.errstate(divide="ignore"):
        terms = KL.times(0.0, np.log(joint), np.log(independent))[..., 0]
    value = plain(terms.sum(axis=(-2, -1)))
    return Measurement(value, plain(np.zeros(np.shape(value))), "exact sum")


def _of_distribution(p: Distribution, split: int, key: Any, num_draws: int) -> Measurement:
    dim = p.event_shape[0] if len(p.event_shape) == 1 else 0
    if p.batch_shape or dim <= split:
        raise ValueError(
            f"split: expected fewer coordinates than the vector has, got {split} of a distribution with event shape "
            f"{p.event_shape} and batch shape {p.batch_shape}."
        )
    gaussian = _gaussian.as_gaussian(p)
    if gaussian is not None:
        return Measurement(_gaussian.mutual_information(gaussian, split), 0.0, "closed form")
    check_needed_key("mutual information", key)
    draws = np.asarray(p.sample(key, (check_positive_int(num_draws, "num_draws"),)), np.float64)
    return _from_pairs(draws[:, :split], draws[:, split:])


def _from_pairs(x: np.ndarray, y: np.ndarray) -> Measurement:
    (x,), (y,) = (in_common_units(each)[0] for each in (x, y))  # which does not change the information
    return with_error(_information, x, y)


def _information(x: np.ndarray, y: np.ndarray) -> float:
    """psi(k) + psi(n) - E[psi(n_x + 1) + psi(n_y + 1)], n_x the draws of x nearer than the pair's k-th neighbour."""
    n, k, pairs = len(x), NUM_NEIGHBOURS, np.hstack([x, y])
    distance = cKDTree(pairs).query(pairs, k=[k + 1], p=np.inf)[0][:, 0]
    if (distance == 0.0).any():
        raise ValueError(f"draws: a pair has {k} others at distance 0. Nearest neighbours need draws without repeats.")
    radius = np.nextafter(distance, 0.0)
    closer = [cKDTree(part).query_ball_point(part, radius, p=np.inf, return_length=True) - 1 for part in (x, y)]
    return float(digamma(k) + digamma(n) - (digamma(closer[0] + 1) + digamma(closer[1] + 1)).mean())
