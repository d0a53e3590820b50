"""The evidence between bounds: ELBO, IWAE, importance sampling, CUBO, EUBO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vi_toolkit._checks import check_positive_int
from vi_toolkit.diagnostics._limits import KHAT_USABLE
from vi_toolkit.diagnostics.weights._squares import Squares, are_trustworthy, squares
from vi_toolkit.diagnostics.weights.evidence import Estimate, correlated_error, elbo, log_evidence, mean_and_error
from vi_toolkit.diagnostics.weights.khat_error import khat_with_error
from vi_toolkit.diagnostics.weights.psis import MIN_DRAWS, as_log_weights

MAX_TERMS = 1_000_000  # for IWAE: how many draws all rounds together may take


@dataclass(frozen=True)
class Bracket:
    """Lower and upper bounds of log Z, in nats; what the draws cannot tell is None, with the reason in ``notes``.

    Attributes:
        elbo: E_q[log w], a lower bound; -inf where p is zero at draws of q.
        iwae: E_q[log (w_1 + ... + w_K) / K], a lower bound that rises with K.
        num_importance: K.
        log_evidence: log Z by importance sampling.
        cubo: (1/2) log E_q[w^2], an upper bound.
        eubo: E_p[log w], an upper bound; needs draws of p.
        width: the lower of the upper bounds less the ELBO, which bounds D(q||p) = log Z - ELBO.
        notes: why what is None is None, and what else was seen; each a sentence.

    Example:
        >>> from vi_toolkit import diagnostics
        >>> bracket = diagnostics.bracket([2.0] * 100)  # q = p, Z = e^2: nothing is left in between
        >>> bracket.elbo, bracket.cubo, bracket.width
        (Estimate(value=2.0, se=0.0), Estimate(value=2.0, se=0.0), Estimate(value=0.0, se=0.0))
    """

    elbo: Estimate | None = None
    iwae: Estimate | None = None
    num_importance: int = 16
    log_evidence: Estimate | None = None
    cubo: Estimate | None = None
    eubo: Estimate | None = None
    width: Estimate | None = None
    notes: tuple[str, ...] = ()


def bracket(
    log_weights: Any, *, num_importance: int = 16, at_p: Any = None, correlated: bool = False, rounding: float = 0.0
) -> Bracket:
    """Bounds of log Z from below and from above, by log weights log w = log p~(z) - log q(z).

        ELBO = E_q[log w] <= IWAE_K <= log Z <= CUBO = (1/2) log E_q[w^2],    log Z <= EUBO = E_p[log w]

    The gaps are divergences: log Z - ELBO = D(q||p), CUBO - log Z is half of Renyi's D_2(p||q), and EUBO - log Z is
    D(p||q). IWAE is the mean over groups of K draws, into which the draws are cut in many ways, and its error that of a
    U-statistic, by the jackknife. Where K divides the number of draws the estimates, too, obey ELBO <= IWAE <= log Z.

    The mean of w^2 needs much better weights than that of w: it does not exist for a tail index k of w above 1/2, and
    where it does, sets of draws without a rare large weight give too low a value, by far, while their k-hat is low and
    their spread small. So the CUBO is given only where k-hat + 3 se < 1/2, and its error allows for a tail index three
    standard errors higher. With q = N(0, v) and p = N(0, 1), where k = 1 - v, the truth then lies above the CUBO by
    more than two of its errors in at most 4 of 100 sets of draws, for v from 0.3 to 0.95 (1,000 draws; 2 of 100 for
    4,000).

    No bound from draws of q knows of mass of p that q never visits: all are then bounds of the evidence of what q has
    seen. The EUBO knows.

    Args:
        log_weights: at draws of q, in nats, of shape (draws,); -inf is allowed.
        num_importance: K, at least 1.
        at_p: the same at draws of p, of shape (draws_p,), or None.
        correlated: whether the draws of p come from a Markov chain, in order.
        rounding: as for `smooth`.

    Returns:
        The bounds, with standard errors.

    Raises:
        TypeError, ValueError: if ``num_importance`` is not a whole number above 0, or an array has another shape.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit import diagnostics
        >>> z = 1.5 * np.random.default_rng(0).standard_normal(4000)  # q = N(0, 1.5^2), p = N(0, 1), Z = 1
        >>> bracket = diagnostics.bracket(np.log(1.5) - 0.5 * z**2 * (1 - 1.5**-2))
        >>> round(bracket.elbo.value, 1), abs(round(bracket.log_evidence.value, 1)), round(bracket.cubo.value, 1)
        (-0.2, 0.0, 0.1)

    Source: Burda, Grosse and Salakhutdinov (2016), Importance weighted autoencoders, arXiv:1509.00519; Dieng, Tran,
    Ranganath, Paisley and Blei (2017), Variational inference via chi upper bound minimization, arXiv:1611.00328 (CUBO).
    """
    log_weights = as_log_weights(log_weights)
    size = check_positive_int(num_importance, "num_importance")
    notes: list[str] = []
    eubo = None if at_p is None else _eubo(as_log_weights(at_p), correlated, notes)
    num_bad = int((np.isnan(log_weights) | (log_weights == np.inf)).sum())
    if num_bad:
        notes.append(
            f"{num_bad} of {len(log_weights)} log weights are NaN or +inf: no bound can be had from draws of q before "
            "the log density has a value wherever q has draws."
        )
        return Bracket(num_importance=size, eubo=eubo, notes=tuple(notes))
    bound = elbo(log_weights)
    if bound.value == -np.inf:
        num_zero = int((log_weights == -np.inf).sum())
        notes.append(f"p is zero at {num_zero} of {len(log_weights)} draws of q, so the ELBO is -inf, and D(q||p) inf.")
    khat = _khat(log_weights, rounding)
    found = _squares(log_weights, khat, notes)
    return Bracket(
        elbo=bound,
        iwae=_iwae(log_weights, size, notes),
        num_importance=size,
        log_evidence=_log_evidence(log_weights, khat, notes),
        cubo=None if found is None else _cubo(found),
        eubo=eubo,
        width=_width(log_weights, bound, found, eubo),
        notes=tuple(notes),
    )


def _khat(log_weights: np.ndarray, rounding: float) -> Estimate:
    """k-hat; of draws too few to fit a tail, -inf where the weights are all alike, and else inf."""
    if len(log_weights) >= MIN_DRAWS:
        return khat_with_error(log_weights, rounding=rounding)
    alike = len(log_weights) > 1 and np.isfinite(log_weights).all() and np.ptp(log_weights) <= rounding
    return Estimate(-np.inf if alike else np.inf, 0.0)


def _log_evidence(log_weights: np.ndarray, khat: Estimate, notes: list[str]) -> Estimate | None:
    if khat.value < KHAT_USABLE:
        return log_evidence(log_weights)
    notes.append(f"No log Z by importance sampling: {_in_words(khat, len(log_weights))}; it takes one below 0.7.")
    return None


def _squares(log_weights: np.ndarray, khat: Estimate, notes: list[str]) -> Squares | None:
    if khat.value == -np.inf or are_trustworthy(khat, len(log_weights)):
        return squares(log_weights, khat)
    notes.append(
        f"No CUBO: {_in_words(khat, len(log_weights))}; it takes one below 0.5 by three standard errors, without which "
        "the mean of the squared weights may not exist."
    )
    return None


def _in_words(khat: Estimate, num_draws: int) -> str:
    if num_draws < MIN_DRAWS:
        return f"the number of draws, {num_draws}, is too small for a k-hat"
    return f"k-hat is {khat.value:.2f} ± {khat.se:.2f}" if np.isfinite(khat.value) else "there is no k-hat"


def _cubo(found: Squares) -> Estimate:
    se = mean_and_error(found.terms).se
    return Estimate(0.5 * found.log_mean, 0.5 * max(se, 0.5 * found.rise))


def _eubo(at_p: np.ndarray, correlated: bool, notes: list[str]) -> Estimate | None:
    if np.isnan(at_p).any() or (at_p == -np.inf).any():
        notes.append("No EUBO: log weights at draws of p are NaN or -inf, and at draws of p the density is above zero.")
        return None
    if correlated and np.isfinite(at_p).all() and len(at_p) > 1:
        return Estimate(float(at_p.mean()), float(correlated_error(at_p)))
    return mean_and_error(at_p)


def _width(log_weights: np.ndarray, bound: Estimate, found: Squares | None, eubo: Estimate | None) -> Estimate | None:
    """The distance of the ELBO from the upper bound that is lower after two standard errors."""
    if bound.value == -np.inf:
        return Estimate(np.inf, np.inf)
    widths = [] if eubo is None else [Estimate(eubo.value - bound.value, float(np.hypot(eubo.se, bound.se)))]
    if found is not None:
        # both bounds are of the same draws, and much of their noise is the same
        se = mean_and_error(0.5 * found.terms - log_weights).se
        widths.append(Estimate(0.5 * found.log_mean - bound.value, max(se, 0.25 * found.rise)))
    return min(widths, key=lambda width: width.value + 2.0 * width.se, default=None)


def _iwae(log_weights: np.ndarray, size: int, notes: list[str]) -> Estimate | None:
    """The mean of log (w_1 + ... + w_K) / K over rounds, each of which cuts the draws into groups of K anew.

    With h(i) the mean over the groups that hold draw i, leaving i out moves the mean by (h(i) - IWAE) K / (S - K). Few
    rounds leave noise in h; the error of one round alone is a bound then.
    """
    num_groups = len(log_weights) // size
    if num_groups < 2:
        notes.append(f"No IWAE of {size} draws from {len(log_weights)}: it takes twice as many at least.")
        return None
    used = log_weights[: num_groups * size].reshape(size, num_groups)
    row, column = np.arange(size)[:, None], np.arange(num_groups)
    num_rounds = int(np.clip(MAX_TERMS // used.size, 1, num_groups))
    held, spread = np.zeros(used.shape), 0.0
    for turn in range(num_rounds):
        groups = np.logaddexp.reduce(used[row, (column - turn * row) % num_groups], axis=0) - np.log(size)
        if not np.isfinite(groups).all():
            return Estimate(-np.inf, np.inf)
        held += groups[(column + turn * row) % num_groups] / num_rounds
        spread += groups.var(ddof=1) / num_groups / num_rounds
    leaving_out = size / (used.size - size) * (held - held.mean())
    jackknife = (used.size - 1) / used.size * (leaving_out**2).sum()
    return Estimate(float(held.mean()), float(np.sqrt(min(jackknife, spread))))
