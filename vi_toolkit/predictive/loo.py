"""Leave-one-out cross-validation through ArviZ, corrected for q not being p."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from vi_toolkit._checks import check_instance, check_key, check_positive_int
from vi_toolkit._types import Key
from vi_toolkit.diagnostics.weights.evidence import Estimate
from vi_toolkit.fit import Fit
from vi_toolkit.tree import to_datatree

FEWEST = 100  # draws
NAMED = 5  # observations that the sentence names


@dataclass(frozen=True, eq=False)
class LeaveOneOut:
    """How well each observation is predicted from all others; made by `loo`.

    Attributes:
        elpd: the sum of the log predictive densities of all observations, in nats, with its standard error over
            observations. That error says nothing of how well the sum is known: ``khats`` do.
        pointwise: of each observation, in nats, flattened.
        num_parameters: p_loo, the effective number of parameters.
        khats: tail indices of the weights of each observation, NaN where there is none; flattened.
        largest_khat: above which an observation's weights rest on too few draws.
        usable: whether all are below it.
        sentence: the verdict in words.
        elpd_data: ArviZ's own result, for ``arviz.compare`` and ``arviz.plot_khat``.

    Example:
        >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist, vi_toolkit as vi
        >>> def model(y):
        ...     mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
        ...     numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)
        >>> fit = vi.fit(jax.random.key(0), vi.from_numpyro(model, jnp.linspace(-1.0, 1.0, 20)))
        >>> found = vi.loo(jax.random.key(1), fit)
        >>> found.pointwise.shape, bool((found.khats < found.largest_khat).all())
        ((20,), True)
    """

    elpd: Estimate
    pointwise: np.ndarray
    num_parameters: float
    khats: np.ndarray
    largest_khat: float
    usable: bool
    sentence: str
    elpd_data: Any


def loo(key: Key, fit: Fit, *, num_draws: int = 4000, site: str | None = None) -> LeaveOneOut:
    r"""Leave-one-out cross-validation of a fitted model, with weights that turn draws of q into draws of p.

        elpd = sum_i log p(y_i | y_-i),    p(y_i | y_-i) ~ sum_s w_is p(y_i | z_s) / sum_s w_is,
        log w_is = log p~(z_s) - log q(z_s) - log p(y_i | z_s),    z_s ~ q

    the weights smoothed by a generalised Pareto tail (PSIS). The first two terms correct for q, the third takes the
    observation out. Where k-hat of an observation is too large, or not a number, its prediction is not known, and the
    sentence says so, which ArviZ does not for NaN.

    Args:
        key: a JAX random key.
        fit: from `vi.fit`, to a NumPyro model with data.
        num_draws: of q, at least 100.
        site: the observed site, needed only where there are several.

    Returns:
        The sum, its parts and a verdict in words.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the target has no observations, or several sites of them and none is named.

    Example:
        >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist, vi_toolkit as vi
        >>> def model(y):
        ...     mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
        ...     numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)
        >>> fit = vi.fit(jax.random.key(0), vi.from_numpyro(model, jnp.linspace(-1.0, 1.0, 20)))
        >>> found = vi.loo(jax.random.key(1), fit)
        >>> found.usable, round(found.num_parameters, 1)
        (True, 0.4)

    Source: Magnusson, Andersen, Jonasson & Vehtari (2019), Bayesian leave-one-out cross-validation for large data,
    arXiv:1904.10679; Vehtari, Gelman & Gabry (2017), Practical Bayesian model evaluation using leave-one-out
    cross-validation and WAIC, arXiv:1507.04544.
    """
    import arviz_stats

    check_key(key)
    check_instance(fit, Fit, "fit", "Pass what vi.fit returned.")
    if check_positive_int(num_draws, "num_draws") < FEWEST:
        raise ValueError(f"num_draws: expected at least {FEWEST}, got {num_draws}.")
    tree = to_datatree(key, fit, num_draws=num_draws)
    site = _observed_site([*map(str, tree["log_likelihood"].data_vars)] if "log_likelihood" in tree else [], site)
    stats, arviz = tree["sample_stats"], cast(Any, arviz_stats)  # which annotates nothing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # on large k-hats, which are told below
        found = arviz.loo_approximate_posterior(tree, stats["log_p"], stats["log_q"], pointwise=True, var_name=site)
    khats, pointwise = (np.asarray(values, np.float64).ravel() for values in (found.pareto_k, found.elpd_i))
    bad = ~(khats <= found.good_k)  # NaN, too
    return LeaveOneOut(
        elpd=Estimate(float(found.elpd), float(found.se)),
        pointwise=pointwise,
        num_parameters=float(found.p),
        khats=khats,
        largest_khat=float(found.good_k),
        usable=not bad.any(),
        sentence=_sentence(found, khats, bad),
        elpd_data=found,
    )


def _observed_site(sites: list[str], site: str | None) -> str:
    if not sites:
        raise ValueError("fit: its target has no observations to leave out. Fit a NumPyro model with observed sites.")
    if site is None and len(sites) > 1:
        raise ValueError(f"site: there are several observed sites, {sites}; name one of them.")
    if site is not None and site not in sites:
        raise ValueError(f"site: there is no observed site {site!r}; there are {sites}.")
    return sites[0] if site is None else site


def _sentence(found: Any, khats: np.ndarray, bad: np.ndarray) -> str:
    said = f"elpd is {found.elpd:.4g} nats, with a standard error of {found.se:.2g} over {len(khats)} observations."
    if not bad.any():
        return f"{said} It can be trusted: all k-hats are at most {found.good_k:.2f}."
    places = np.flatnonzero(bad)
    first = ", ".join(map(str, places[:NAMED])) + (", ..." if len(places) > NAMED else "")
    missing = int(np.isnan(khats).sum())
    nan = f", and of {missing} it is not a number: their weights have no tail to be judged by" if missing else ""
    return (
        f"{said} It is not to be trusted: of {bad.sum()} observations ({first}) k-hat is not below {found.good_k:.2f}"
        f"{nan}. Their predictions rest on a few draws; fit a better q, or leave these observations out one by one."
    )
