"""Evidence that needs no normaliser: a Stein test whether draws are from p, and the Fisher divergence."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit._checks import check_key, check_positive_int, describe
from vi_toolkit._types import Key, numpy_generator
from vi_toolkit.algorithms import Method
from vi_toolkit.diagnostics.weights.evidence import Estimate, mean_and_error
from vi_toolkit.fit import Fit
from vi_toolkit.targets import Target

MAX_DRAWS = 1000  # the matrices of pairs then take 8 MB each
NUM_BOOTSTRAPS = 1000


class ScorePair(NamedTuple):
    """The scores of p and q, gradients with respect to z of their log densities, at draws of q.

    Attributes:
        p: grad log p~(z_i), of shape (draws, dim).
        q: grad log q(z_i), likewise.

    Example:
        >>> import jax, jax.numpy as jnp, numpy as np, vi_toolkit as vi
        >>> from vi_toolkit.diagnostics import scores_of
        >>> fit = vi.fit(jax.random.key(0), vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=1))
        >>> bool(np.allclose(scores_of(fit, [[2.0]]).p, -2.0))
        True
    """

    p: np.ndarray
    q: np.ndarray


class SteinTest(NamedTuple):
    """A test whether draws are from p, by the scores of p there.

    Attributes:
        ksd_squared: the squared kernelised Stein discrepancy and its standard error; without unit, in coordinates in
            which the draws have unit covariance.
        p_value: how often it would be this large or larger were the draws from p.
        num_draws: how many draws were looked at.

    Example:
        >>> import jax, numpy as np
        >>> from vi_toolkit import diagnostics
        >>> z = np.random.default_rng(0).standard_normal((500, 1))
        >>> diagnostics.stein_test(jax.random.key(0), z, -z).num_draws
        500
    """

    ksd_squared: Estimate
    p_value: float
    num_draws: int


def stein_test(key: Key, draws: Any, scores: Any, *, max_draws: int = MAX_DRAWS) -> SteinTest:
    """Tests whether independent draws z_i are from p, given the scores s(z) = grad log p~(z) at them.

        KSD^2 = (1 / (S (S - 1))) sum_{i != j} u(z_i, z_j)
        u(z, z') = s(z).s(z') k + s(z).grad_{z'} k + s(z').grad_z k + tr grad_z grad_{z'} k

    with the inverse multiquadric kernel k = (1 + |z - z'|^2 / h^2)^(-1/2) of the median distance h, in coordinates in
    which the draws have unit covariance. The expectation is zero if and only if the draws are from p. Under that
    hypothesis S KSD^2 has a limit that is bootstrapped: with multinomial counts n_i / S in place of the equal shares,

        sum_{i != j} (n_i / S - 1 / S) u(z_i, z_j) (n_j / S - 1 / S)

    and the p-value is the share of 1,000 of these that are as large. It takes neither Z nor the density of q. With 500
    draws a mean that is off by 0.3 sd is found in up to 20 dimensions; a spread of one coordinate that is off by 20 %
    in one or two, and hardly in five. Like all that rests on scores it is blind to the weights of modes that lie far
    apart, and to modes where there are no draws.

    Args:
        key: a JAX random key, for the bootstrap.
        draws: independent draws, of shape (draws, dim).
        scores: grad log p~ at them, of shape (draws, dim).
        max_draws: only the first so many are looked at; time and memory go with their square.

    Returns:
        The test. Where a score is not finite the draws cannot be from p: the discrepancy is inf and the p-value 0.

    Raises:
        TypeError: if ``key`` is no key.
        ValueError: if the shapes do not match, or there are fewer than 10 draws.

    Example:
        >>> import jax, numpy as np
        >>> from vi_toolkit import diagnostics
        >>> z = np.random.default_rng(0).standard_normal((500, 2))
        >>> key = jax.random.key(0)
        >>> diagnostics.stein_test(key, z, -z).p_value > 0.05, diagnostics.stein_test(key, z + 0.3, -z - 0.3).p_value
        (True, 0.000...)

    Source: Liu, Lee and Jordan (2016), A kernelized Stein discrepancy for goodness-of-fit tests, arXiv:1602.03253; the
    kernel is that of Gorham and Mackey (2017), Measuring sample quality with kernels, arXiv:1703.01717.
    """
    check_key(key)
    size = check_positive_int(max_draws, "max_draws")
    points, at = _matching(draws, scores, "scores")
    points, at = points[:size], at[:size]
    count = len(points)
    if count < 10:
        raise ValueError(f"draws: expected at least 10 for a test, got {count}.")
    if not (np.isfinite(points).all() and np.isfinite(at).all()):
        return SteinTest(Estimate(np.inf, np.inf), 0.0, count)
    pairs = _stein_kernel(*_whitened(points, at))
    np.fill_diagonal(pairs, 0.0)
    found = pairs.sum() / (count * (count - 1))
    generator = numpy_generator(key)
    shares = generator.multinomial(count, np.full(count, 1.0 / count), size=NUM_BOOTSTRAPS) / count - 1.0 / count
    null = np.sum((shares @ pairs) * shares, axis=1)
    p_value = (1 + (null >= found).sum()) / (1 + NUM_BOOTSTRAPS)
    return SteinTest(Estimate(float(found), _error(pairs)), float(p_value), count)


def fisher_divergence(scores_p: Any, scores_q: Any, *, scale: Any = 1.0) -> Estimate:
    """F(q||p) = E_q |R^T (grad log q - grad log p~)|^2 from scores at draws of q; no normaliser enters.

    Args:
        scores_p: grad log p~ at draws of q, of shape (draws, dim).
        scores_q: grad log q there, of shape (draws, dim).
        scale: R: q's standard deviations, of shape (dim,), or a root of its covariance, (dim, dim), either of which
            frees the value from the units of z; a root frees it from any linear map. Its unit without is one over that
            of z, squared.

    Returns:
        The mean over the draws and its standard error; inf where a score is not finite.

    Raises:
        ValueError: if the shapes do not match.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit import diagnostics
        >>> z = np.random.default_rng(0).standard_normal((100, 1))
        >>> diagnostics.fisher_divergence(-(z - 2.0), -z)  # q = N(0, 1), p = N(2, 1): the scores differ by the shift
        Estimate(value=4.0, se=0.0)

    Source: Hyvaerinen (2005), Estimation of non-normalized statistical models by score matching, JMLR 6, 695.
    """
    of_p, of_q = _matching(scores_p, scores_q, "scores_q")
    with np.errstate(invalid="ignore"):
        difference = of_q - of_p
    if not np.isfinite(difference).all():
        return Estimate(np.inf, np.inf)
    root = np.asarray(scale, np.float64)
    return mean_and_error(np.sum((difference @ root if root.ndim == 2 else difference * root) ** 2, axis=1))


def scores_of(fit: Fit, draws: Any) -> ScorePair:
    """The gradients of log p~ and log q of a fit at given points, in one compiled program.

    Args:
        fit: from `vi.fit`, to a target on R^dim.
        draws: of shape (draws, dim).

    Returns:
        Scores in float64, of shape (draws, dim) each.

    Raises:
        ValueError: if the target is over finitely many points, or ``draws`` has another shape.

    Example:
        >>> import jax, jax.numpy as jnp, numpy as np, vi_toolkit as vi
        >>> from vi_toolkit.diagnostics import scores_of
        >>> fit = vi.fit(jax.random.key(0), vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2))
        >>> scores = scores_of(fit, np.ones((3, 2)))
        >>> bool(np.allclose(scores.p, -1.0)), bool(np.allclose(scores.q, -1.0, atol=0.1))
        (True, True)
    """
    if fit.target.num_values is not None:
        raise ValueError(
            "fit: expected a fit to a density on R^dim, got one to whole numbers, which have no gradients."
        )
    points = jnp.asarray(draws, jnp.result_type(float))
    if points.ndim != 2 or points.shape[1] != fit.target.dim:
        raise ValueError(f"draws: expected shape (draws, {fit.target.dim}), got {describe(points)}.")
    of_p, of_q = _score_pair(fit.method, fit.target, fit.params, points)
    return ScorePair(np.asarray(of_p, np.float64), np.asarray(of_q, np.float64))


@jax.jit
def _score_pair(method: Method, target: Target, params: Any, draws: Any) -> tuple[Any, Any]:
    return jax.vmap(jax.grad(target.log_density))(draws), jax.vmap(jax.grad(method.posterior(params).log_prob))(draws)


def _matching(first: Any, second: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(f"{name}: expected shape (draws, dim), as the other array's, got {describe(second)}.")
    return first, second


def _whitened(points: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """y = L^-1 (z - m) and scores L^T s, with L L^T the covariance of the draws, or its diagonal if they are few."""
    centred = points - points.mean(axis=0)
    spread = centred.std(axis=0)
    spread = np.where(spread > 0.0, spread, 1.0)
    centred, scores = centred / spread, scores * spread
    if len(points) < 5 * points.shape[1]:
        return centred, scores
    values, vectors = np.linalg.eigh(centred.T @ centred / len(points))
    root = np.sqrt(np.where(values > 1e-12, values, 1.0))  # a direction in which nothing varies stays as it is
    return centred @ vectors / root, scores @ vectors * root


def _stein_kernel(y: np.ndarray, s: np.ndarray) -> np.ndarray:
    """u for all pairs, as in `vi_toolkit.objectives.stein`, by products of whole matrices: quick, and not compiled.

    With t = |y - y'|^2 / h^2 and k = (1 + t)^(-1/2): k' = -k^3 / 2 and k'' = 3 k^5 / 4 by t.
    """
    dim = y.shape[1]
    products, norms = y @ y.T, np.sum(y**2, axis=1)
    squared = np.maximum(norms[:, None] + norms - 2.0 * products, 0.0)
    bandwidth = np.median(squared[np.triu_indices(len(y), k=1)]) or 1.0  # h^2
    k = 1.0 / np.sqrt(1.0 + squared / bandwidth)
    cube = k * k * k  # a power is ten times as slow
    first, second = -0.5 * cube, 0.75 * cube * k * k
    own, across = np.sum(s * y, axis=1), s @ y.T  # s(y).y, and s(y).y' for all pairs
    along = own[:, None] + own - across - across.T  # (s(y) - s(y')).(y - y')
    traces = 2.0 * dim * first + 4.0 * second * squared / bandwidth
    return np.asarray((s @ s.T) * k - (2.0 * first * along + traces) / bandwidth)


def _error(pairs: np.ndarray) -> float:
    """The error of a U-statistic: Hoeffding's two terms, of the means by row and of single pairs."""
    count = len(pairs)
    rows = pairs.sum(axis=1) / (count - 1)
    single = pairs[np.triu_indices(count, k=1)].var()
    by_row = max(rows.var(ddof=1) - single / (count - 1), 0.0)
    return float(np.sqrt((4.0 * (count - 2) * by_row + 2.0 * single) / (count * (count - 1))))
