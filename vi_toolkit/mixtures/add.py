"""One more component for a fitted mixture, where it lacks mass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import jax
import jax.numpy as jnp

from vi_toolkit._checks import check_instance, check_key, check_positive_int
from vi_toolkit._types import Key, Params
from vi_toolkit.algorithms.gradient import GradientMethod
from vi_toolkit.algorithms.mixture_natural_gradient import MixtureNaturalGradient
from vi_toolkit.algorithms.natural_gradient import NaturalGradient
from vi_toolkit.fit import Fit
from vi_toolkit.guides import Guide, Mixture, NormalMixture
from vi_toolkit.guides.mixture import COMPONENTS, NORMALS
from vi_toolkit.mixtures._search import with_component

NUM_DRAWS = 1024


def add_component(key: Key, fit: Fit, *, num_draws: int = NUM_DRAWS) -> GradientMethod | MixtureNaturalGradient:
    """The method of a fit with one more component, which begins where the fit lacks mass; the rest begins as fitted.

    Candidates for the new component c come from two searches:

    - climbs on log p~ from 64 points, half of them on four scales around the fit, half draws of the model's prior (or
      points on four scales around the origin): the points reached, with the curvature there as scale;
    - draws z_i of r, which is q and q stretched about its mean by 1.5 and 3: eight of them picked with the missing mass
      u_i = max(p~(z_i) / Z - q(z_i), 0) / r(z_i) as weights, each with the weighted mean and standard deviations
      of the draws that lie nearest to it.

    Of all candidates c and weights w on a grid, those with the largest ELBO of (1 - w) q + w c are taken. Where c
    stands apart from q, that weight estimates the share of the mass of p that q lacks there.

    Args:
        key: a JAX random key.
        fit: of a mixture, or of one component: any family that `Mixture` takes, fitted by `gradient`, or normals by
            `natural_gradient`.
        num_draws: weighted draws of each stretch.

    Returns:
        The fit's method over a guide of one more component, with its start. The target is sought here, so make the
        next fit to the same one: ``vi.fit(key, fit.target, method)``.

    Raises:
        TypeError: if an argument is of the wrong kind, or the fit is of another guide or method.
        ValueError: if ``num_draws`` is below 1.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.zoo.two_modes(separation=12.0, dim=1).target
        >>> one = vi.fit(jax.random.key(0), target)  # takes one of the modes
        >>> method = vi.add_component(jax.random.key(1), one)
        >>> method.guide.num_components, [round(abs(float(m)), 1) for m in method.start["components"]["location"][:, 0]]
        (2, [6.0, 6.0])

    Source: Guo et al. (2016), Boosting variational inference, arXiv:1611.05559; Miller, Foti & Adams (2017),
    Variational boosting, arXiv:1611.06585.
    """
    check_key(key)
    check_instance(fit, Fit, "fit", "Pass what vi.fit returned.")
    num_draws = check_positive_int(num_draws, "num_draws")
    kinds = (GradientMethod, NaturalGradient, MixtureNaturalGradient)
    check_instance(fit.method, kinds, "fit.method", "Only fits by vi.gradient or vi.natural_gradient are continued.")
    method: Any = fit.method
    guide = as_mixture(method.guide)
    start = with_component(key, guide, params_of_mixture(method.guide, fit.params), fit.target, num_draws)
    larger = replace(guide, num_components=guide.num_components + 1)
    if isinstance(method, NaturalGradient):
        return MixtureNaturalGradient(cast(NormalMixture, larger), start)
    grown: GradientMethod | MixtureNaturalGradient = replace(method, guide=larger, start=start)
    return grown


def as_mixture(guide: Guide) -> Mixture | NormalMixture:
    """The guide itself, or the mixture of one component that it is."""
    if isinstance(guide, (Mixture, NormalMixture)):
        return guide
    check_instance(guide, (NormalMixture, Mixture, *COMPONENTS), "guide", "Other guides have no mixture to grow into.")
    return NormalMixture(1, guide) if isinstance(guide, NORMALS) else Mixture(1, guide)


def params_of_mixture(guide: Guide, params: Params) -> Params:
    """The parameters of `as_mixture` of a guide."""
    if isinstance(guide, (Mixture, NormalMixture)):
        return params
    components = jax.tree.map(lambda leaf: leaf[None], params)
    return {"log_weights": jnp.zeros(1, components["location"].dtype), "components": components}
