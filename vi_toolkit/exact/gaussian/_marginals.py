"""Marginals of groups whose scatter is unknown, as NumPyro distributions."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions import constraints

from vi_toolkit.exact.gaussian._arguments import check_not_negative
from vi_toolkit.exact.gaussian._groups import Groups
from vi_toolkit.exact.gaussian._panels import BISECTIONS, Panels, bisect, legendre_sum, locate
from vi_toolkit.exact.gaussian._scatter import EffectsGiven, Scatter, tau_moments


class TauPosterior(dist.Distribution):
    """p(tau | y) = HalfCauchy(tau; tau_scale) N(y; m 1, s^2 1 1' + diag(tau^2 + se^2)) / Z.

    The density is that expression; draws and `cdf` go by the polynomials that quadrature has found for log tau.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.positive
    pytree_data_fields = ("groups", "tau_scale", "log_evidence", "panels", "_mean", "_variance")

    def __init__(
        self, groups: Groups, tau_scale: float, log_evidence: float, panels: Panels, mean: float, variance: float
    ) -> None:
        self.groups, self.panels = jax.tree.map(jnp.asarray, (groups, panels))
        self.tau_scale, self.log_evidence = jnp.asarray(tau_scale), jnp.asarray(log_evidence)
        self._mean, self._variance = jnp.asarray(mean), jnp.asarray(variance)
        super().__init__()

    @property
    def mean(self) -> Any:
        return self._mean

    @property
    def variance(self) -> Any:
        return self._variance

    def log_prob(self, value: Any) -> Any:
        y, se, m, s = self.groups
        of_data = dist.LowRankMultivariateNormal(
            jnp.full(y.shape, m), cov_factor=jnp.full((len(y), 1), s), cov_diag=jnp.square(value)[..., None] + se**2
        )
        return dist.HalfCauchy(self.tau_scale).log_prob(value) + of_data.log_prob(y) - self.log_evidence

    def cdf(self, value: Any) -> Any:
        edges = self.panels.edges
        u = jnp.clip(jnp.log(value), edges[0], edges[-1])
        panel = jnp.clip(jnp.searchsorted(edges, u, side="right") - 1, 0, len(edges) - 2)
        low, high = edges[panel], edges[panel + 1]
        within = legendre_sum(self.panels.integrals[panel], (2.0 * u - low - high) / (high - low))
        return self.panels.cumulative[panel] + within

    def icdf(self, q: Any) -> Any:
        panel = jnp.clip(jnp.searchsorted(self.panels.cumulative, q, side="right") - 1, 0, None)
        c, goal = self.panels.integrals[panel], q - self.panels.cumulative[panel]
        unit = jax.lax.fori_loop(1, BISECTIONS, lambda step, unit: bisect(c, goal, unit, step), jnp.zeros_like(goal))
        return jnp.exp(locate(self.panels.edges[panel], self.panels.edges[panel + 1], unit))

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> Any:
        return self.icdf(jax.random.uniform(key, sample_shape))


def tau_marginal(scatter: Scatter) -> TauPosterior:
    mean, variance = tau_moments(scatter)
    return TauPosterior(scatter.groups, scatter.tau_scale, scatter.panels.log_total, scatter.panels, mean, variance)


def mean_marginal(scatter: Scatter) -> dist.MixtureSameFamily:
    """mu: a mixture of the normals that it has given tau, over the nodes of tau."""
    kept = _heaviest(scatter)
    return _mixture(scatter, kept, _normal(scatter.mean.centre[kept], scatter.mean.variance[kept]))


def effects_marginal(scatter: Scatter, effects_given: EffectsGiven) -> dist.MixtureSameFamily:
    """All effects together: given tau they are normal, and correlated through mu alone."""
    kept = _heaviest(scatter)
    x = effects_given(scatter.tau[kept], scatter.groups)
    centre, sd = scatter.mean.centre[kept, None], np.sqrt(scatter.mean.variance[kept, None])
    normals = dist.LowRankMultivariateNormal(
        jnp.asarray(x.intercept + x.slope * centre),
        cov_factor=jnp.asarray((x.slope * sd)[..., None]),
        cov_diag=jnp.asarray(x.variance),
    )
    return _mixture(scatter, kept, normals)


def predict(scatter: Scatter, se: float = 0.0) -> dist.MixtureSameFamily:
    """The estimate in a new group that would be seen with standard error se."""
    kept, se = _heaviest(scatter), check_not_negative(se, "se")
    variance = scatter.mean.variance[kept] + scatter.tau[kept] ** 2 + se**2
    return _mixture(scatter, kept, _normal(scatter.mean.centre[kept], variance))


def _heaviest(scatter: Scatter) -> np.ndarray:
    """The nodes without the lightest, which together weigh less than 2^-53."""
    order = np.argsort(scatter.panels.weights)
    light = np.cumsum(scatter.panels.weights[order]) < 2.0**-53
    return np.sort(order[~light])


def _normal(mean: np.ndarray, variance: np.ndarray) -> dist.Normal:
    return dist.Normal(jnp.asarray(mean), jnp.asarray(np.sqrt(variance)))


def _mixture(scatter: Scatter, kept: np.ndarray, normals: dist.Distribution) -> dist.MixtureSameFamily:
    return dist.MixtureSameFamily(dist.Categorical(probs=jnp.asarray(scatter.panels.weights[kept])), normals)
