"""Automatic structured variational inference: the prior itself, each of its parameters pulled towards a learned one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.flatten_util import ravel_pytree
from numpyro.distributions import constraints
from numpyro.handlers import block
from numpyro.primitives import Messenger

from vi_toolkit._start import Start, find_start
from vi_toolkit._types import Key, Params
from vi_toolkit.guides._guide_sites import check_numpyro_target
from vi_toolkit.guides.guide import Guide
from vi_toolkit.guides.numpyro_guide import GuideFunction, from_numpyro_guide

PRIOR_WEIGHT = 0.5  # to begin with
OWN = "_own"  # ends the names of the parameters alpha
NUM_DRAWS = 32  # of the normal at the start
NUM_CLIMBS = 5  # one after the other, towards the alpha of highest likelihood


def automatic_structured(target: Any) -> Guide:
    """Makes a guide of a NumPyro model's own prior: automatic structured variational inference.

    Every unknown x_k keeps its prior's family and parents; each parameter theta_k of that prior is replaced by

        lambda_k * theta_k(parents) + (1 - lambda_k) * alpha_k,        0 < lambda_k < 1,

    with a lambda_k and an alpha_k of its own for every element, both learned, alpha_k under theta_k's constraint. At
    lambda = 1 it is the prior, at lambda = 0 a mean field of the prior's families. It has as many parameters as the
    priors, twice. On a normal hierarchy or a normal random walk with known scales, written from parents to children,
    the posterior is in the family.

    Parameters are, for each site and parameter, such as ``theta`` and ``loc``: ``theta_loc_prior_weight``, the logit
    of lambda, and ``theta_loc_own``, alpha without its constraint. A uniform prior is taken as the Beta(1, 1) that it
    is, and the bounds of its interval are kept.

    Args:
        target: from `vi.from_numpyro`; its data are built into the guide.

    Raises:
        TypeError: if ``target`` is not of a NumPyro model.
        ValueError: if a site's prior has no parameters to update: it is improper, masked, not reparameterised, or not
            made by its parameters alone.

    Example:
        >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist, vi_toolkit as vi
        >>> def model(y):
        ...     mean = numpyro.sample("mean", dist.Normal(0.0, 2.0))
        ...     effect = numpyro.sample("effect", dist.Normal(mean, 1.0))
        ...     numpyro.sample("y", dist.Normal(effect, 1.0), obs=y)
        >>> target = vi.from_numpyro(model, 3.0)
        >>> guide = vi.automatic_structured(target)  # for vi.fit(key, target, vi.gradient(guide, vi.ReverseKL()))
        >>> posterior = {  # mean ~ N(2, 4/3), effect ~ N(mean / 2 + 3 / 2, 1/2)
        ...     "mean_loc_own": 4.0, "mean_scale_own": jnp.log(2 * (4 / 3) ** 0.5 - 2.0),
        ...     "effect_loc_own": 3.0, "effect_scale_own": jnp.log(2 * 0.5**0.5 - 1.0),
        ...     "mean_loc_prior_weight": 0.0, "mean_scale_prior_weight": 0.0,
        ...     "effect_loc_prior_weight": 0.0, "effect_scale_prior_weight": 0.0,
        ... }
        >>> loss, _ = vi.ReverseKL().loss(jax.random.key(0), posterior, guide, target, 2)
        >>> bool(jnp.isclose(loss, -dist.Normal(0.0, 6**0.5).log_prob(3.0)))  # no noise: it is the posterior
        True

    Source: Ambrogioni et al. (2021), Automatic structured variational inference, arXiv:2002.00643.
    """
    check_numpyro_target(target)
    return AutomaticStructured(from_numpyro_guide(ConvexUpdate(target.program.model), target))


@dataclass(frozen=True)
class AutomaticStructured(Guide):
    """The convex update of a model's prior; made by `automatic_structured`."""

    updated: GuideFunction

    def check(self, dim: int) -> None:
        """Refuses a target of another dimension."""
        self.updated.check(dim)

    def init(self, key: Key, start: Start) -> Params:
        """lambda = 1/2, and the alpha of highest likelihood for draws of a normal at the start, on its scale."""
        key_guide, key_draws = jax.random.split(key)
        params = self.updated.init(key_guide, start)
        noise = jax.random.normal(key_draws, (NUM_DRAWS, *start.location.shape), start.location.dtype)
        draws = start.location + start.scale * noise
        own, restore = ravel_pytree({name: leaf for name, leaf in params.items() if name.endswith(OWN)})
        likelihood = _Likelihood(lambda own: self.distribution(params | restore(own)).log_prob(draws).mean(), len(own))

        def climb(_: Any, own: Any) -> Any:
            found = find_start(likelihood, own[None])
            return jnp.where(found.finite, found.location, own)

        return params | restore(jax.lax.fori_loop(0, NUM_CLIMBS, climb, own))

    def distribution(self, params: Params) -> dist.Distribution:
        """The distribution of runs of the updated prior."""
        return self.updated.distribution(params)


@dataclass(frozen=True)
class _Likelihood:
    """A function of a vector, as what a search for a maximum asks for."""

    log_density: Callable[[Any], Any]
    dim: int


@dataclass(frozen=True)
class ConvexUpdate:
    """The guide function: the model without its data, the priors of its unknowns updated."""

    model: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        with block(hide_fn=lambda site: site["type"] == "sample" and site["is_observed"]), _Updates():
            self.model(*args, **kwargs)


class _Updates(Messenger):
    """Gives every unknown its updated prior."""

    def process_message(self, msg: Any) -> None:
        if msg["type"] == "sample" and not msg["is_observed"]:
            msg["fn"] = _updated(msg["name"], msg["fn"], msg["fn"].batch_shape)


def _updated(name: str, prior: Any, batch_shape: tuple[int, ...]) -> Any:
    """The prior with its parameters updated, each broadcast to a batch shape so that every element has its own."""
    if isinstance(prior, dist.ExpandedDistribution):
        return _updated(name, prior.base_dist, batch_shape)
    if isinstance(prior, dist.Independent):
        inner = prior.base_dist.batch_shape[len(prior.batch_shape) :]
        return _updated(name, prior.base_dist, batch_shape + inner).to_event(prior.reinterpreted_batch_ndims)
    if type(prior) is dist.TransformedDistribution:
        shape = batch_shape + prior.base_dist.batch_shape[len(prior.batch_shape) :]
        return dist.TransformedDistribution(_updated(name, prior.base_dist, shape), prior.transforms)
    if isinstance(prior, dist.Uniform):
        one = jnp.ones(batch_shape)
        interval = dist.transforms.AffineTransform(prior.low, prior.high - prior.low, domain=constraints.unit_interval)
        return dist.TransformedDistribution(_updated(name, dist.Beta(one, one), batch_shape), interval)
    if isinstance(prior, (dist.MaskedDistribution, dist.ImproperUniform, dist.Delta)):
        raise ValueError(_refusal(name, prior))
    arguments = _arguments(prior)
    updated = {
        parameter: _convex(f"{name}_{parameter}", value, prior.arg_constraints[parameter], batch_shape)
        for parameter, value in arguments.items()
    }
    try:
        return type(prior)(**updated)
    except TypeError as error:
        raise ValueError(_refusal(name, prior)) from error


def _arguments(prior: Any) -> dict[str, Any]:
    """The parameters that a distribution was made of; of several ways to write a covariance, its Cholesky factor."""
    found = prior.get_args()
    if "scale_tril" in found:
        found = {key: value for key, value in found.items() if key not in ("covariance_matrix", "precision_matrix")}
    return found


def _convex(name: str, value: Any, constraint: Any, batch_shape: tuple[int, ...]) -> Any:
    """lambda * value + (1 - lambda) * alpha."""
    value = jnp.asarray(value, jnp.result_type(float))
    event_dim = constraint.event_dim
    event_shape = value.shape[value.ndim - event_dim :]
    value = jnp.broadcast_to(value, batch_shape + event_shape)
    # one lambda for a whole matrix, say, so that a convex set is not left; one for each number where each is free
    free = event_dim == 0 or isinstance(constraint, constraints.independent)
    weight = jnp.full(batch_shape + (event_shape if free else (1,) * event_dim), PRIOR_WEIGHT)
    prior_weight = numpyro.param(f"{name}_prior_weight", weight, constraint=constraints.unit_interval)
    own = numpyro.param(name + OWN, value, constraint=constraint)
    return prior_weight * value + (1.0 - prior_weight) * own


def _refusal(name: str, prior: Any) -> str:
    return (
        f"target: the prior of site {name!r} ({type(prior).__name__}) has no parameters that could be updated. Use "
        "vi.StructuredNormal.from_model(target), or write a guide for vi.from_numpyro_guide."
    )
