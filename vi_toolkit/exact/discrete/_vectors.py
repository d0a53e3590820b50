"""A posterior over assignments as one over vectors of whole numbers, with a target that a fit can be made to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from numpyro.handlers import block, seed
from numpyro.infer.util import log_density

from vi_toolkit._types import Scalar
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.targets import from_log_mass
from vi_toolkit.targets._arguments import Arguments, bind_arguments

if TYPE_CHECKING:
    from vi_toolkit.exact.discrete.posterior import DiscretePosterior


@dataclass(frozen=True)
class LogJoint:
    """x, flat -> log p(x, data) by the NumPyro model; equal to another by its content, the arrays aside."""

    model: Callable[..., Any]
    arguments: Arguments
    site: str
    shape: tuple[int, ...]

    def __call__(self, data: tuple[Any, ...], x: Any) -> Scalar:
        args, kwargs = self.arguments.call(data)
        with block():  # the sites of the model are not to be seen by whatever calls this
            return log_density(seed(self.model, 0), args, kwargs, {self.site: x.reshape(self.shape)})[0]


def as_exact(posterior: DiscretePosterior) -> ExactPosterior:
    """See `DiscretePosterior.as_exact`."""
    num_states = posterior.marginals.shape[-1]
    marginals = posterior.marginals.reshape(-1, num_states)
    arguments, data = bind_arguments(posterior.model, posterior.args, dict(posterior.kwargs))
    joint = LogJoint(posterior.model, arguments, posterior.site, posterior.mode.shape)
    target = from_log_mass(
        jax.tree_util.Partial(joint, data),
        (num_states,) * len(marginals),
        site=posterior.site,
        log_evidence=posterior.log_evidence,
    )
    return ExactPosterior(
        name=posterior.name,
        target=target,
        how=posterior.how,
        sampler=partial(_flat_draws, posterior.sampler),
        log_evidence=posterior.log_evidence,
        mean=marginals @ np.arange(num_states),
        covariance=_covariance(marginals, posterior.pair_marginals),
    )


def _flat_draws(
    sampler: Callable[[np.random.Generator, int], np.ndarray], generator: np.random.Generator, num_draws: int
) -> np.ndarray:
    return sampler(generator, num_draws).reshape(num_draws, -1).astype(np.float64)


def _covariance(marginals: np.ndarray, pairs: np.ndarray | None) -> np.ndarray:
    """Of independent coordinates, of a Markov chain known by its neighbours (n - 1, K, K), or by all pairs."""
    k = np.arange(marginals.shape[1])
    means = marginals @ k
    if pairs is None:
        return np.diag(marginals @ k**2 - means**2)
    together = _chain_products(marginals, pairs, k) if pairs.ndim == 3 else np.einsum("ijkl,k,l->ij", pairs, k, k)
    return together - np.outer(means, means)


def _chain_products(marginals: np.ndarray, pairs: np.ndarray, k: np.ndarray) -> np.ndarray:
    """E[x_s x_t]: the chain from s onwards, with P(x_t+1 | x_t, data) from the pairs."""
    n = len(marginals)
    onward = np.divide(pairs, marginals[:-1, :, None], out=np.zeros_like(pairs), where=marginals[:-1, :, None] > 0)
    products = np.diag(marginals @ k**2)
    for s in range(n):
        weighted = marginals[s] * k  # sum over x_s of x_s P(x_s, x_t)
        for t in range(s + 1, n):
            weighted = weighted @ onward[t - 1]
            products[s, t] = products[t, s] = weighted @ k
    return products
