"""Gradients through the draws: z_i = g(params, noise_i)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vi_toolkit._types import Density, Key, Params
from vi_toolkit.estimators.estimator import (
    Estimate,
    Estimator,
    LogWeightLoss,
    Shape,
    draw_groups,
    log_densities,
    needs_gradients_through_draws,
    over_groups,
    path_draws,
)
from vi_toolkit.guides import Guide
from vi_toolkit.guides.noise import Noise


@dataclass(frozen=True)
class Reparameterised(Estimator):
    """The loss at draws z_i of q, differentiable in full: through the draws and through log q.

    Unbiased for any differentiable loss of the log weights and its gradient. At q = p the gradient keeps the noise of
    the score of q. Takes every guide whose draws carry gradients.

    Args:
        noise: where the draws' normal noise comes from; None leaves it to the guide.

    Source: Kingma & Welling (2014), Auto-encoding variational Bayes, arXiv:1312.6114.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.IWAE(5, vi.estimators.reparameterised).estimator
        Reparameterised(noise=None)
    """

    name: ClassVar[str] = "reparameterised"
    noise: Noise | None = None

    def refuses(self, shape: Shape, guide: Guide) -> str | None:
        """Only guides whose draws carry no gradients."""
        return needs_gradients_through_draws(guide)

    def estimate(
        self, of: LogWeightLoss, shape: Shape, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> Estimate:
        """The loss of log p~(z_i) - log q(z_i)."""
        points, weights, log_q = draw_groups(guide, key, params, num_draws, shape.group, self.noise)
        if log_q is None:
            log_q = guide.distribution(params).log_prob(points)
        log_p = log_densities(target, points)
        return Estimate(over_groups(of, log_p - log_q, weights), log_p - log_q, weights, log_p)


@dataclass(frozen=True)
class StickTheLanding(Estimator):
    """As `Reparameterised`, with the parameters of log q held fixed, so that gradients flow through the draws alone.

    The dropped term, the score of q, has mean zero in the gradient of the ELBO, which stays unbiased; its variance
    vanishes at q = p. For a loss that is not linear in the log weights the dropped term has another mean:
    `DoublyReparameterised` is its generalisation.

    Args:
        noise: where the draws' normal noise comes from; None leaves it to the guide.

    Source: Roeder, Wu & Duvenaud (2017), Sticking the landing, arXiv:1703.09194.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.ReverseKL().estimator
        StickTheLanding(noise=None)
    """

    name: ClassVar[str] = "stick_the_landing"
    noise: Noise | None = None

    def refuses(self, shape: Shape, guide: Guide) -> str | None:
        """Losses that are not linear, and guides that are costly to score."""
        if not shape.linear:
            return "it is biased for a loss that is not linear in the log weights"
        if not guide.scores_cheaply:
            return "it asks for log q at a given point, which this guide finds only by a costly inversion"
        return needs_gradients_through_draws(guide)

    def estimate(
        self, of: LogWeightLoss, shape: Shape, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> Estimate:
        """The loss of log p~(z_i) - log q(z_i), with q's parameters fixed."""
        drawn = path_draws(guide, key, params, target, num_draws, shape.group, self.noise)
        return Estimate(over_groups(of, drawn.log_weights, drawn.weights), *drawn)


@dataclass(frozen=True)
class ClosedFormEntropy(Estimator):
    """log p~(z_i) + H(q) in place of the log weights, with the entropy of q in closed form: their mean is the ELBO too.

    Unbiased for the ELBO and its gradient. Valid only where the log weights enter by their mean.

    Args:
        noise: where the draws' normal noise comes from; None leaves it to the guide.

    Source: Kucukelbir et al. (2017), Automatic differentiation variational inference, arXiv:1603.00788.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.ReverseKL(vi.estimators.closed_form_entropy).estimator
        ClosedFormEntropy(noise=None)
    """

    name: ClassVar[str] = "closed_form_entropy"
    noise: Noise | None = None

    def refuses(self, shape: Shape, guide: Guide) -> str | None:
        """Losses that are not linear; a guide whose entropy is not known is refused when it is asked for it."""
        if not shape.linear:
            return "the entropy can be taken out only where the loss is linear in the log weights"
        return needs_gradients_through_draws(guide)

    def estimate(
        self, of: LogWeightLoss, shape: Shape, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> Estimate:
        """The loss of log p~(z_i) + H(q)."""
        try:
            entropy = guide.distribution(params).entropy()
        except NotImplementedError:
            raise ValueError(
                f"estimator: closed_form_entropy does not go with {guide}, whose entropy has no closed form. "
                "Use stick_the_landing or reparameterised."
            ) from None
        points, weights, _ = draw_groups(guide, key, params, num_draws, shape.group, self.noise)
        log_p = log_densities(target, points)
        return Estimate(over_groups(of, log_p + entropy, weights), log_p + entropy, weights, log_p)


reparameterised, stick_the_landing, closed_form_entropy = Reparameterised(), StickTheLanding(), ClosedFormEntropy()
