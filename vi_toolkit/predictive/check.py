"""Posterior predictive checks: statistics of the observed data among those of data drawn from the fitted model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np
import pandas as pd

from vi_toolkit._checks import check_instance, check_key, check_positive_int, describe
from vi_toolkit._types import Key
from vi_toolkit.calibration._tests import holm
from vi_toolkit.diagnostics._limits import KHAT_USABLE
from vi_toolkit.diagnostics.scores._scores import draw_and_score
from vi_toolkit.diagnostics.weights.evidence import effective_draws, nearly_even
from vi_toolkit.diagnostics.weights.psis import smooth
from vi_toolkit.fit import Fit
from vi_toolkit.predictive._replicated import Observed, Replicated, Statistic, Statistics, observed_sites, replicate
from vi_toolkit.predictive._words import HIGH, LOW, sentence

FEWEST = 100  # draws
USUAL: dict[str, Statistic] = {"mean": np.mean, "sd": np.std, "min": np.min, "max": np.max}


@dataclass(frozen=True, eq=False)
class PredictiveCheck:
    """Where statistics of the observed data lie among those of replicated data; made by `predictive_check`.

    Attributes:
        table: one row for each observed site and statistic: ``observed``; ``expected``, the mean over replicated data
            sets, with ``2.5 %`` and ``97.5 %``, between which 95 % of them lie; ``above``, the share of them with a
            statistic at least as large (the posterior predictive p-value); ``p``, twice the smaller tail, adjusted for
            all rows; ``found``: what is wrong, in words, or empty.
        pit: {site: P(y_rep < y) + P(y_rep = y) / 2 for each value}, NaN where the model masks a value out. Uniform on
            (0, 1) at best: since the data were fitted, they lean to 1/2.
        flagged: whether a row has p at or below the level.
        sentence: the verdict in words.
        corrected: whether draws of q count by their importance weights, as draws of p.
        khat: tail index of these weights.
        level: the chance of flagging a model that is right, which most models stay below.
        num_draws: replicated data sets.

    Example:
        >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist, vi_toolkit as vi
        >>> def model(y):
        ...     rate = numpyro.sample("rate", dist.Gamma(1.0, 1.0))
        ...     numpyro.sample("y", dist.Poisson(rate), obs=y)
        >>> fit = vi.fit(jax.random.key(0), vi.from_numpyro(model, jnp.array([0, 1, 0, 9, 0, 12, 1, 0, 0, 2])))
        >>> vi.predictive_check(jax.random.key(1), fit).table["found"].to_dict()[("y", "sd")]
        'higher than the model has it'
    """

    table: pd.DataFrame
    pit: dict[str, np.ndarray]
    flagged: bool
    sentence: str
    corrected: bool
    khat: float
    level: float
    num_draws: int

    def __str__(self) -> str:
        return f"{self.sentence}\n\n{self.table.round(3).to_string()}"


def predictive_check(
    key: Key,
    fit: Fit,
    *,
    num_draws: int = 4000,
    site: str | None = None,
    statistics: Statistics | None = None,
    level: float = 0.01,
) -> PredictiveCheck:
    r"""Posterior predictive check: whether data drawn from the fitted model look like those that it was fitted to.

        p_T = P(T(y_rep) >= T(y) | y) ~ sum_s w_s [T(y_s) >= T(y)],    y_s ~ p(y | z_s),  z_s ~ q

    for each statistic T: mean, standard deviation, least and largest value, and yours. The weights w_s ~ p~(z_s) /
    q(z_s), smoothed, turn draws of q into draws of the posterior, where their k-hat is below 0.7 or they are nearly all
    alike. Elsewhere they are equal: the check is then one of q, and says so.

    A row is flagged where twice the smaller of P(T(y_rep) >= T(y)) and P(T(y_rep) <= T(y)), with the data themselves
    counted as one more draw and adjusted for all rows (Holm), is at most the level. Since the data are used twice, such
    p-values lean to 1/2: a model that is right is flagged more rarely than the level says, and a statistic that a
    parameter fits, such as the mean of a normal, says little. What is not flagged is not confirmed.

    Values that the model masks out do not count, discrete sites that are summed out are drawn anew, and of censored
    distributions the data are drawn without censoring, unlike those observed. For pictures, `vi.to_datatree` with
    ``predictive=True`` holds replicated data for ``arviz.plot_ppc_dist`` and its like.

    Args:
        key: a JAX random key.
        fit: from `vi.fit`, to a NumPyro model with data.
        num_draws: of q, at least 100, with one data set each.
        site: the observed site to look at; None for all.
        statistics: {name: function of the data of one site, a NumPy array, that returns one number}, beside the usual
            four or in place of one. The array has the site's shape, or holds what counts, one after another, where
            values are masked out.
        level: the chance of flagging a model that is right, which most models stay below.

    Returns:
        A table, and a verdict in words.

    Raises:
        TypeError: if an argument is of the wrong kind, or a statistic is not one number.
        ValueError: if the target has no observations, there is no such site or it cannot be drawn from, or num_draws or
            level is out of range.

    Example:
        >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist, vi_toolkit as vi
        >>> def model(y):
        ...     mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
        ...     numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)
        >>> fit = vi.fit(jax.random.key(0), vi.from_numpyro(model, jnp.linspace(-2.0, 2.0, 20).at[0].set(-9.0)))
        >>> check = vi.predictive_check(jax.random.key(1), fit, statistics={"range": lambda y: y.max() - y.min()})
        >>> check.flagged, list(check.table.index[check.table["found"] != ""])
        (True, [('y', 'sd'), ('y', 'min'), ('y', 'range')])

    Source: Gelman, Meng & Stern (1996), Posterior predictive assessment of model fitness via realized discrepancies,
    Statistica Sinica 6, 733-807; Gabry, Simpson, Vehtari, Betancourt & Gelman (2019), Visualization in Bayesian
    workflow, arXiv:1709.01449.
    """
    check_key(key)
    check_instance(fit, Fit, "fit", "Pass what vi.fit returned.")
    if check_positive_int(num_draws, "num_draws") < FEWEST:
        raise ValueError(f"num_draws: expected at least {FEWEST}, got {num_draws}.")
    if not 0.0 < level < 0.5:
        raise ValueError(f"level: expected the chance of a false alarm, such as 0.01, got {level}.")
    sites = _sites_to_check(observed_sites(fit.target), site)
    of_site = {name: _statistics(found, statistics) for name, found in sites.items()}
    key_of_draws, key_of_data = jax.random.split(key)
    scores = draw_and_score(key_of_draws, fit, num_draws)
    log_weights, khat = smooth(scores.log_weights, rounding=scores.rounding)
    effective, even = effective_draws(log_weights), nearly_even(scores.log_weights)
    corrected = khat < KHAT_USABLE or even  # of weights that are nearly all alike, k-hat means little
    weights = np.exp(log_weights) if corrected else np.full(num_draws, 1.0 / num_draws)
    effective = effective if corrected else float(num_draws)
    replicated = replicate(key_of_data, fit.target, scores.draws, weights, sites, of_site)
    table = _table(replicated, weights, effective, level)
    return PredictiveCheck(
        table=table,
        pit={name: found.pit for name, found in replicated.items()},
        flagged=bool((table["p"] <= level).any()),
        sentence=sentence(table, khat, corrected, even, effective, level),
        corrected=corrected,
        khat=khat,
        level=level,
        num_draws=num_draws,
    )


def _sites_to_check(sites: dict[str, Observed], site: str | None) -> dict[str, Observed]:
    if not sites:
        raise ValueError("fit: its target has no observations to check. Fit a NumPyro model with observed sites.")
    if site is not None and site not in sites:
        raise ValueError(f"site: there is no observed site {site!r}; there are {[*sites]}.")
    return sites if site is None else {site: sites[site]}


def _statistics(site: Observed, own: Statistics | None) -> dict[str, Statistic]:
    """The usual four, or the value itself where there is but one; and the user's own."""
    check_instance(own or {}, Mapping, "statistics", 'Pass {"name": function of the data, ...}.')
    for name, f in (own or {}).items():
        if not callable(f):
            raise TypeError(f"statistics[{name!r}]: expected a function of the data, got {describe(f)}.")
    usual: dict[str, Statistic] = USUAL if site.counts.sum() > 1 else {"value": np.mean}
    return {**usual, **(own or {})}


def _table(replicated: Mapping[str, Replicated], weights: np.ndarray, effective: float, level: float) -> pd.DataFrame:
    rows = {
        (site, name): _row(found.observed[name], drawn, weights, effective)
        for site, found in replicated.items()
        for name, drawn in found.drawn.items()
    }
    index = pd.MultiIndex.from_tuples(rows, names=["site", "statistic"])
    table = pd.DataFrame(list(rows.values()), index=index)
    table["p"] = np.where(table["p"].isna(), np.nan, holm(table["p"].fillna(1.0).to_numpy()))
    side = np.where(table["above"] < 0.5, HIGH, LOW)
    table["found"] = np.where(table["p"] <= level, side, "")
    return table


def _row(observed: float, drawn: np.ndarray, weights: np.ndarray, effective: float) -> dict[str, float]:
    """One statistic; data sets of which it is not a number are left out, and counted."""
    known = ~np.isnan(drawn)
    row = {"observed": observed, "expected": np.nan, "2.5 %": np.nan, "97.5 %": np.nan, "above": np.nan, "p": np.nan}
    total = weights[known].sum()
    if total > 0 and not np.isnan(observed):
        drawn, weights = drawn[known], weights[known] / total
        above, below = (float(weights[side].sum()) for side in (drawn >= observed, drawn <= observed))
        low, high = np.quantile(drawn, [0.025, 0.975], weights=weights, method="inverted_cdf")
        with np.errstate(invalid="ignore"):
            row |= {"expected": float(weights @ drawn), "2.5 %": float(low), "97.5 %": float(high), "above": above}
        # the data count as one more draw, so that p is never below what the number of draws can tell
        row["p"] = min(1.0, 2.0 * (min(above, below) * effective + 1.0) / (effective + 1.0))
    return row | {"not a number": int((~known).sum())}
