"""The part of a log density that independent normals let be integrated: their divergences from normal priors."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.kl import kl_divergence

from vi_toolkit._types import Scalar, Vector
from vi_toolkit.targets.target import Site


def with_closed_form_prior(
    sites: tuple[Site, ...], run: dict[str, Any], log_density: Scalar, location: Vector, scale: Vector
) -> tuple[Scalar, Any]:
    """log p~(z) with -D_KL(q_k || prior_k) in place of the log prior of every site k where it has a closed form.

    ``run`` is the trace of the model at z. Returned with it: which coordinates belong to such sites, (dim,).
    """
    closed = np.zeros(len(location), bool)
    for site in sites:
        part = slice(site.start, site.stop)
        shape = site.unconstrained_shape
        divergence = _divergence(run[site.name], location[part].reshape(shape), scale[part].reshape(shape))
        if divergence is not None:
            closed[part] = True
            prior = run[site.name]["fn"].log_prob(run[site.name]["value"])
            log_density = log_density - jnp.sum(prior) - jnp.sum(divergence)
    if not closed.any():
        raise ValueError(
            f"target: none of its sites {[site.name for site in sites]} has a normal prior on the real line, so no "
            "divergence from the prior has a closed form. Use another estimator."
        )
    return log_density, jnp.asarray(closed)


def _divergence(run: dict[str, Any], location: Any, scale: Any) -> Any:
    """D_KL(q_k || prior_k) given the parents' values in this run, or None where it has no closed form."""
    prior = run["fn"]
    support = prior.support
    real = support.base_constraint if isinstance(support, constraints.independent) else support
    if real is not constraints.real or run["scale"] is not None:  # a scaled prior is no density
        return None
    try:
        return kl_divergence(dist.Normal(location, scale).to_event(prior.event_dim), prior)
    except NotImplementedError:
        return None
