"""Gradients through the draws: z_i = g(params, noise_i)."""

from __future__ import annotations

import jax

from vi_toolkit._types import Density, Key, Params
from vi_toolkit.estimators.estimator import WeightedLogWeights
from vi_toolkit.guides import Guide


def reparameterised(key: Key, params: Params, guide: Guide, target: Density, num_draws: int) -> WeightedLogWeights:
    """log p~(z_i) - log q(z_i) at draws z_i of q, differentiable in full: through the draws and through log q.

    Unbiased for the ELBO and its gradient; at q = p the gradient keeps the noise of the score of q.

    Source: Kingma & Welling (2014), Auto-encoding variational Bayes, arXiv:1312.6114.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> vi.ReverseKL(vi.estimators.reparameterised).estimator.__name__
        'reparameterised'
    """
    points, weights, _ = guide.draw(key, params, num_draws)
    log_q = guide.distribution(params).log_prob(points)
    return WeightedLogWeights(jax.vmap(target.log_density)(points) - log_q, weights)


def stick_the_landing(key: Key, params: Params, guide: Guide, target: Density, num_draws: int) -> WeightedLogWeights:
    """As `reparameterised`, with the parameters of log q held fixed, so that gradients flow through the draws alone.

    The dropped term, the score of q, has mean zero; without it the gradient of the ELBO is still unbiased and its
    variance vanishes at q = p. Not valid for objectives that are not linear in the log weights.

    Source: Roeder, Wu & Duvenaud (2017), Sticking the landing, arXiv:1703.09194.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.ReverseKL().estimator.__name__
        'stick_the_landing'
    """
    points, weights, _ = guide.draw(key, params, num_draws)
    log_q = guide.distribution(jax.lax.stop_gradient(params)).log_prob(points)
    return WeightedLogWeights(jax.vmap(target.log_density)(points) - log_q, weights)


def closed_form_entropy(key: Key, params: Params, guide: Guide, target: Density, num_draws: int) -> WeightedLogWeights:
    """log p~(z_i) + H(q), with the entropy of q in closed form: their mean is the ELBO too.

    Unbiased for the ELBO and its gradient. Valid only where the log weights enter by their mean.

    Raises:
        ValueError: if the guide's entropy has no closed form.

    Source: Kucukelbir et al. (2017), Automatic differentiation variational inference, arXiv:1603.00788.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.ReverseKL(vi.estimators.closed_form_entropy).estimator.__name__
        'closed_form_entropy'
    """
    try:
        entropy = guide.distribution(params).entropy()
    except NotImplementedError:
        raise ValueError(
            f"estimator: closed_form_entropy does not go with {guide}, whose entropy has no closed form. "
            "Use stick_the_landing or reparameterised."
        ) from None
    points, weights, _ = guide.draw(key, params, num_draws)
    return WeightedLogWeights(jax.vmap(target.log_density)(points) + entropy, weights)
