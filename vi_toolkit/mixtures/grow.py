"""Mixtures fitted component by component, until one more does not help."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit._checks import check_instance, check_key, check_positive, check_positive_int
from vi_toolkit._types import Key, Params, Scalar
from vi_toolkit.algorithms import Method, natural_gradient
from vi_toolkit.algorithms.gradient import GradientMethod
from vi_toolkit.algorithms.mixture_natural_gradient import MixtureNaturalGradient
from vi_toolkit.algorithms.natural_gradient import NaturalGradient
from vi_toolkit.fit import Fit, fit
from vi_toolkit.guides import Mixture, NormalMixture
from vi_toolkit.guides.noise import independent
from vi_toolkit.mixtures._search import search_gradients
from vi_toolkit.mixtures.add import NUM_DRAWS, add_component, as_mixture, params_of_mixture
from vi_toolkit.programs import QUICK_TO_COMPILE
from vi_toolkit.targets import Target
from vi_toolkit.windows import Status

ELBO_DRAWS = 4096  # by which two fits are compared


def grow_mixture(
    key: Key,
    target: Target,
    method: Method | None = None,
    *,
    max_components: int = 8,
    tolerance: float = 0.01,
    max_steps: int | None = None,
) -> Fit:
    """Fits a mixture of one more component at a time, for as long as that raises the ELBO.

    Begins with a fit by ``method``; each further one is by `add_component`. A larger mixture is kept where its ELBO, by
    4096 draws of each fit, is higher by more than the tolerance and by more than the standard error of the
    difference. Whatever the objective, the ELBO decides.

    Args:
        key: a JAX random key.
        target: from `vi.from_numpyro` or `vi.from_log_density`.
        method: the first fit, of a mixture or of one component, by `gradient` or `natural_gradient`; by default
            ``vi.natural_gradient()``.
        max_components: an upper bound.
        tolerance: the least gain in nats for which a component is kept.
        max_steps: of each fit.

    Returns:
        The last fit that was kept. Its ``num_gradients`` counts the whole search, and a warning says where it ended at
        ``max_components`` while the ELBO still rose, or was interrupted.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``max_components`` or ``tolerance`` is not positive, or as `vi.fit` and `add_component` do.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> target = vi.zoo.two_modes(separation=12.0, weights=(0.3, 0.7), dim=1).target
        >>> fit = vi.grow_mixture(jax.random.key(0), target, max_components=2)
        >>> [round(float(w), 2) for w in sorted(jax.nn.softmax(fit.params["log_weights"]))]
        [0.3, 0.7]

    Source: as for `add_component`.
    """
    check_key(key)
    max_components = check_positive_int(max_components, "max_components")
    tolerance = check_positive(tolerance, "tolerance")
    method = natural_gradient() if method is None else method
    kinds = (GradientMethod, NaturalGradient, MixtureNaturalGradient)
    check_instance(method, kinds, "method", "Make one with vi.gradient(guide, objective).")
    guide: Any = getattr(method, "guide", None)
    size = as_mixture(guide).num_components
    kept, gain = fit(key, target, method, max_steps=max_steps), np.inf
    spent = kept.num_gradients
    while size < max_components and kept.status is not Status.INTERRUPTED:
        size += 1
        key_add, key_fit, key_old, key_new = jax.random.split(jax.random.fold_in(key, size), 4)
        larger = fit(key_fit, target, add_component(key_add, kept), max_steps=max_steps)
        spent += larger.num_gradients + search_gradients(NUM_DRAWS) + 2 * ELBO_DRAWS / 3
        if larger.status is Status.INTERRUPTED:
            said = f"grow_mixture: interrupted while it fitted {size} components."
            return replace(kept, num_gradients=spent, warnings=(*kept.warnings, said))
        (old, old_error), (new, new_error) = _elbo(key_old, kept), _elbo(key_new, larger)
        gain = new - old
        if not gain > max(tolerance, float(np.hypot(old_error, new_error))):
            return replace(kept, num_gradients=spent)
        kept = larger
    said = f"grow_mixture: it ended at max_components={max_components}; the last one raised the ELBO by {gain:.2g} nats"
    return replace(kept, num_gradients=spent, warnings=kept.warnings + ((f"{said}.",) if np.isfinite(gain) else ()))


def _elbo(key: Key, fit: Fit) -> tuple[float, float]:
    """The ELBO of a fit and its standard error, in nats."""
    method: Any = fit.method
    guide = as_mixture(method.guide)
    elbo, error = _elbo_program(key, guide, params_of_mixture(method.guide, fit.params), fit.target)
    return float(elbo), float(error)


@partial(jax.jit, static_argnames="guide", compiler_options=QUICK_TO_COMPILE)
def _elbo_program(key: Key, guide: Mixture | NormalMixture, params: Params, target: Target) -> tuple[Scalar, Scalar]:
    """By independent draws of every component: sum_k w_k mean_k, and the root of sum_k w_k^2 var_k / draws."""
    each = -(-ELBO_DRAWS // guide.num_components)
    points = guide.family.draw(key, params["components"], each, independent).points
    flat = points.reshape(-1, points.shape[-1])
    log_weights = jax.vmap(target.log_density)(flat) - guide.distribution(params).log_prob(flat)
    log_weights, weights = log_weights.reshape(each, -1), jax.nn.softmax(params["log_weights"])
    return weights @ log_weights.mean(0), jnp.sqrt(weights**2 @ log_weights.var(0) / each)
