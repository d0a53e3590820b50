"""The affine map under a flow, from a normal guide's parameters or from a given normal."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array
from numpyro.distributions.transforms import AffineTransform, IndependentTransform, LowerCholeskyAffine, Transform

from vi_toolkit._checks import describe
from vi_toolkit._types import Params
from vi_toolkit.guides.full_rank_normal import FullRankNormal, scale_tril
from vi_toolkit.guides.guide import Guide


def placing(base: Guide, params: Params) -> Transform:
    """e -> m + L e, or m + s e."""
    if isinstance(base, FullRankNormal):
        return LowerCholeskyAffine(params["location"], scale_tril(params))
    return IndependentTransform(AffineTransform(params["location"], jnp.exp(params["log_scale"])), 1)


def base_params(base: Guide, distribution: dist.Distribution) -> Params:
    """The base guide's parameters at which it is the given normal."""
    location, factor, correlated = _normal(distribution)
    if isinstance(base, FullRankNormal):
        below = np.tri(len(location), k=-1, dtype=bool)
        lower = jnp.where(below, factor, 0.0)
        return {"location": location, "log_diagonal": jnp.log(jnp.diagonal(factor)), "lower": lower}
    if correlated:
        raise ValueError(
            f"distribution: a {type(distribution).__name__} has correlations, which {base} cannot hold. "
            "Use base=vi.FullRankNormal() in the flow, or a normal with independent coordinates."
        )
    return {"location": location, "log_scale": jnp.log(jnp.diagonal(factor))}


def _normal(distribution: dist.Distribution) -> tuple[Array, Array, bool]:
    """Mean, Cholesky factor of the covariance, and whether coordinates may be correlated."""
    if getattr(distribution, "batch_shape", ()) != ():
        raise ValueError(f"distribution: expected one normal, got a batch of shape {distribution.batch_shape}.")
    if isinstance(distribution, dist.MultivariateNormal):
        return distribution.loc, distribution.scale_tril, True
    if isinstance(distribution, dist.LowRankMultivariateNormal):
        return distribution.loc, jnp.linalg.cholesky(distribution.covariance_matrix), True
    if _is_independent_normals(distribution):
        return distribution.mean, jnp.diag(jnp.sqrt(distribution.variance)), False
    raise TypeError(
        f"distribution: expected a NumPyro MultivariateNormal, LowRankMultivariateNormal or Independent Normal, got "
        f"{describe(distribution)}. Pass for example fit.posterior of a fit with vi.FullRankNormal()."
    )


def _is_independent_normals(distribution: dist.Distribution) -> bool:
    inner = distribution
    while isinstance(inner, (dist.Independent, dist.ExpandedDistribution)):
        inner = inner.base_dist
    return isinstance(inner, dist.Normal) and len(distribution.event_shape) == 1
