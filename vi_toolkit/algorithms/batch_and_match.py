"""Batch and match: a Gaussian whose scores match the posterior's over a batch of draws, in closed form."""

from __future__ import annotations

from vi_toolkit._checks import check_positive_int
from vi_toolkit.algorithms._batch_match_rule import match_batch
from vi_toolkit.algorithms._dense_match import DenseMatcher
from vi_toolkit.algorithms._low_rank_match import LowRankMatcher
from vi_toolkit.algorithms._matching import Matcher, MatchingMethod


def batch_and_match(rank: int | None = None, *, num_draws: int | None = None) -> MatchingMethod:
    """Fits a Gaussian by matching its scores to the target's over batches of draws, in closed form.

    A step draws z_b from the present q_t, with scores g_b = grad log p~(z_b), and takes the q that minimises

        mean_b |grad log q(z_b) - g_b|^2_Cov(q) + (2 / lambda) D(q_t || q)        (nats),

    so q's mean and covariance at rest are those where E_q g = 0 and E_q g g' = Cov(q)^-1. For a Gaussian target one
    step with lambda = infinity and more draws than dimensions is exact; else that q is narrower than the one of the
    best ELBO, the more so the further the target is from a Gaussian.

    Nothing is left to be chosen. The weight lambda / (1 + lambda) of a batch begins at 1. It stays high while the
    batches' average drift is clear of its noise, and else falls as 3 / (3 + t), so that all batches are averaged. A
    match whose ELBO falls by more than its error, or is not finite, is refused, counted (``history["refused"]``), and
    tried again with less weight. The fit is CONVERGED once both the noise left in the average and the average drift are
    below 0.01 nats (``history["excess"]``), STALLED where no weight is small enough for a match to be taken, DIVERGED
    where no batch was finite.

    Args:
        rank: None for any covariance; else that of S (I + W W') S with W of ``rank`` columns, for many dimensions:
            every match is then brought back to that form by the nearest one, min D(match || q).
        num_draws: draws a step; by default half as many again as dimensions and 4, with a rank at most 3 of them for
            each column and 16.

    Returns:
        A method for `vi.fit`.

    Raises:
        TypeError, ValueError: if an argument is not a whole number of at least 1; by `vi.fit`, if the rank is above the
            number of dimensions.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -jnp.sum((z - 3.0) ** 2), dim=2)
        >>> fit = vi.fit(jax.random.key(0), target, vi.batch_and_match())
        >>> fit.status.name, fit.num_steps, fit.posterior.mean.round(4), fit.posterior.variance.round(4)
        ('CONVERGED', 2, Array([3., 3.], dtype=float64), Array([0.5, 0.5], dtype=float64))

    Source: Cai et al. (2024), Batch and match: black-box variational inference with a score-based divergence,
    arXiv:2402.14758; with a rank, Modi et al. (2024), Batch, match, and patch: low-rank approximations for score-based
    variational inference, arXiv:2410.22292.
    """
    draws = None if num_draws is None else check_positive_int(num_draws, "num_draws")
    if rank is None:
        matcher: Matcher = DenseMatcher(match_batch, draws)
    else:
        matcher = LowRankMatcher(check_positive_int(rank, "rank"), draws)
    return MatchingMethod(matcher)
