"""Probabilities of categories with a Dirichlet prior, and multinomial counts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from scipy.special import digamma, gammaln, polygamma

from vi_toolkit._checks import check_positive_int, describe
from vi_toolkit.exact._inputs import as_array, as_counts
from vi_toolkit.exact.conjugate._arguments import as_positive
from vi_toolkit.exact.conjugate._gamma import log_gamma_draws
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.targets import from_numpyro


def dirichlet_multinomial_model(totals: Any, counts: Any = None, *, concentration: Any) -> None:
    """probabilities ~ Dirichlet(concentration);  counts_i ~ Multinomial(totals_i, probabilities)."""
    probabilities = numpyro.sample("probabilities", dist.Dirichlet(concentration))
    numpyro.sample("counts", dist.Multinomial(totals, probs=probabilities), obs=counts)


def dirichlet_multinomial(counts: Any, *, concentration: Any) -> ExactPosterior:
    r"""The posterior of probabilities p ~ Dirichlet(c) of K categories given rows of counts y_i ~ Multinomial(n_i, p).

    With a = c + sum_i y_i, p given the counts is Dirichlet(a). NumPyro breaks a stick: category k = 1..K-1 takes the
    fraction f_k = p_k / (p_k + ... + p_K) of what is left, and on R^(K-1) the coordinates are

        z_k = logit f_k + log(K - k),    f_k ~ Beta(a_k, t_k) independent,    t_k = a_(k+1) + ... + a_K

    so that E[z_k] = digamma(a_k) - digamma(t_k) + log(K - k), Var[z_k] = trigamma(a_k) + trigamma(t_k), and all
    covariances are zero. With log B(a) = sum_k log G(a_k) - log G(sum_k a_k), where G is the gamma function, the
    evidence is

        log Z = sum_i log (n_i! / prod_k y_ik!) + log B(a) - log B(c)

    Args:
        counts: the counts y, of shape (K,), or rows of them of shape (n, K); K is at least 2.
        concentration: c, of shape (K,), above 0: prior counts.

    Returns:
        The posterior of the site "probabilities", of dim K - 1; log evidence in nats. ``predictive(total=1)`` is the
        distribution of a further row of counts whose sum is ``total``.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if a count is negative or not whole, there are fewer than two categories, or ``concentration`` has
            another length or an entry that is not positive.

    Example:
        >>> from vi_toolkit import exact
        >>> posterior = exact.dirichlet_multinomial([3, 1, 0], concentration=[1.0, 1.0, 1.0])
        >>> mean, sd = posterior.constrained_moments["probabilities"]
        >>> mean.round(4), round(posterior.log_evidence, 4)  # 4/7, 2/7, 1/7; each of 15 outcomes was as likely: -log 15
        (array([0.5714, 0.2857, 0.1429]), -2.7081)

    Source: Gelman, Carlin, Stern, Dunson, Vehtari and Rubin (2013), Bayesian Data Analysis, 3rd edition, section 3.4,
    doi:10.1201/b16018; Connor and Mosimann (1969), Concepts of independence for proportions with a generalization of
    the Dirichlet distribution, doi:10.1080/01621459.1969.10500963.
    """
    y = _rows(counts)
    K = y.shape[1]
    c = as_positive(concentration, "concentration")
    if len(c) != K:
        raise ValueError(f"concentration: expected {K} numbers, one for each category of counts, got {len(c)}.")
    a, n = c + y.sum(axis=0), y.sum(axis=1)
    arrangements = gammaln(n + 1).sum() - gammaln(y + 1).sum()
    log_evidence = float(arrangements + _log_beta(a) - _log_beta(c))
    tail = np.cumsum(a[::-1])[::-1][1:]
    offset = np.log(np.arange(K - 1, 0, -1))
    args, kwargs = (n,), {"counts": y, "concentration": c}
    mean = a / a.sum()
    return ExactPosterior(
        name="Dirichlet-multinomial",
        target=replace(from_numpyro(dirichlet_multinomial_model, *args, **kwargs), log_evidence=log_evidence),
        how="closed form",
        sampler=partial(_draw_fractions, a[:-1], tail, offset),
        log_evidence=log_evidence,
        mean=digamma(a[:-1]) - digamma(tail) + offset,
        covariance=np.diag(polygamma(1, a[:-1]) + polygamma(1, tail)),
        modes=(np.log(a[:-1]) - np.log(tail) + offset)[None],
        mode_weights=np.ones(1),
        constrained_moments={"probabilities": (mean, np.sqrt(mean * (1 - mean) / (a.sum() + 1)))},
        marginals={"probabilities": dist.Dirichlet(jnp.asarray(a))},
        predictive=partial(_predict, a),
        model=dirichlet_multinomial_model,
        args=args,
        kwargs=kwargs,
    )


def _rows(counts: Any) -> np.ndarray:
    """The counts as rows (n, K)."""
    array = np.asarray(counts)
    if array.ndim not in (1, 2):
        raise ValueError(f"counts: expected shape (K,) or (n, K), got {describe(array)}.")
    rows = as_array(np.atleast_2d(array), "counts", 2)
    if rows.shape[1] < 2:
        raise ValueError(f"counts: expected at least 2 categories, one a column, got shape {array.shape}.")
    for i, row in enumerate(rows):
        as_counts(row, "counts" if array.ndim == 1 else f"counts[{i}]")
    return rows


def _log_beta(a: np.ndarray) -> float:
    return float(gammaln(a).sum() - gammaln(a.sum()))


def _draw_fractions(
    a: np.ndarray, tail: np.ndarray, offset: np.ndarray, generator: np.random.Generator, num_draws: int
) -> np.ndarray:
    """logit f_k = log g - log h for g ~ Gamma(a_k, 1), h ~ Gamma(t_k, 1)."""
    logits = [
        log_gamma_draws(generator, g, num_draws) - log_gamma_draws(generator, h, num_draws)
        for g, h in zip(a, tail, strict=True)
    ]
    return np.stack(logits, axis=1) + offset


def _predict(a: np.ndarray, total: int = 1) -> dist.DirichletMultinomial:
    return dist.DirichletMultinomial(jnp.asarray(a), check_positive_int(total, "total"))
