"""Divergences from normal priors in closed form, the rest through the draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from vi_toolkit._checks import describe
from vi_toolkit._types import Density, Key, Params
from vi_toolkit.estimators.estimator import (
    Estimate,
    Estimator,
    LogWeightLoss,
    Shape,
    draw_groups,
    log_densities,
    over_groups,
)
from vi_toolkit.guides import Guide, MeanFieldNormal
from vi_toolkit.guides.noise import Noise


@dataclass(frozen=True)
class ClosedFormPrior(Estimator):
    """Priors integrated where that has a closed form: for a NumPyro model, with independent normals q.

        log p(y, x(z_i)) + log |det dx/dz| - sum_k D_KL(q_k || p(. | parents)) - log q(z_i)        (nats)

    in place of the log weights, k over the sites on the real line whose prior, given the other sites at z_i, is
    independently normal; these are left out of log p and of log q. Its mean is the ELBO too, and the gradient flows in
    full. Unbiased for the ELBO and its gradient, and less noisy where the priors are strong: what the draws of a site
    say about its own prior is integrated out. At q = p the noise does not vanish, as that of `StickTheLanding` does.
    Valid only where the log weights enter by their mean, and without ``beta``.

    Args:
        noise: where the draws' normal noise comes from; None leaves it to the guide.

    Source: Kingma & Welling (2014), Auto-encoding variational Bayes, arXiv:1312.6114, section 2.3.

    Example:
        >>> import jax, numpyro, numpyro.distributions as dist, vi_toolkit as vi
        >>> def model():
        ...     numpyro.sample("slopes", dist.Normal(0.0, 2.0).expand([3]).to_event(1))
        >>> objective = vi.ReverseKL(vi.estimators.closed_form_prior)
        >>> params = {"location": jax.numpy.ones(3), "log_scale": jax.numpy.zeros(3)}
        >>> loss, _ = objective.loss(jax.random.key(0), params, vi.MeanFieldNormal(), vi.from_numpyro(model), 1)
        >>> round(float(loss), 4)  # exact from one draw: 3 (log 2 + (1 + 1) / 8 - 1/2)
        1.3294
    """

    name: ClassVar[str] = "closed_form_prior"
    noise: Noise | None = None

    def refuses(self, shape: Shape, guide: Guide) -> str | None:
        """Losses that are not linear, and guides other than independent normals.

        A target without a normal prior is refused when it is asked for it.
        """
        if not shape.linear:
            return "the prior can be taken out only where the loss is linear in the log weights"
        if not isinstance(guide, MeanFieldNormal):
            return "the divergences are known for independent normals, vi.MeanFieldNormal()"
        return None

    def estimate(
        self, of: LogWeightLoss, shape: Shape, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> Estimate:
        """The loss of log p~(z_i) - log q(z_i), with closed forms in place of the terms of normal priors."""
        location, scale = params["location"], jnp.exp(params["log_scale"])
        points, weights, _ = draw_groups(guide, key, params, num_draws, shape.group, self.noise)
        integrate = _integration(target)
        log_p, closed = jax.vmap(jax.vmap(lambda z: integrate(z, location, scale)))(points)
        log_q = dist.Normal(location, scale).log_prob(points)
        log_weights = log_p - jnp.where(closed, 0.0, log_q).sum(-1)
        return Estimate(over_groups(of, log_weights, weights), log_weights, weights, log_densities(target, points))


def _integration(target: Any) -> Any:
    if not hasattr(target, "log_density_with_closed_form_prior"):
        raise ValueError(
            f"estimator: closed_form_prior needs a target of a NumPyro model, at beta = 1, got {describe(target)}. Use "
            "stick_the_landing or reparameterised."
        )
    return target.log_density_with_closed_form_prior


closed_form_prior = ClosedFormPrior()
