"""Fits and exact posteriors as ArviZ's DataTree: draws in groups with named dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from vi_toolkit._checks import check_instance, check_key, check_positive_int
from vi_toolkit._types import Key
from vi_toolkit.diagnostics import Diagnosis
from vi_toolkit.diagnostics.convergence.agreement import draws_of_runs
from vi_toolkit.diagnostics.diagnose import check_reference
from vi_toolkit.diagnostics.scores._scores import draw_and_score
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.fit import Fit
from vi_toolkit.targets.target import log_densities
from vi_toolkit.tree._groups import Dims, places_of_draws, posterior_of_chains, tree_of_draws
from vi_toolkit.tree.course import course_of_fit, group_of_course
from vi_toolkit.tree.known import group_of_diagnosis

if TYPE_CHECKING:
    import xarray as xr


def to_datatree(
    key: Key,
    fit: Fit,
    *,
    num_draws: int = 1000,
    coords: Mapping[str, Any] | None = None,
    dims: Dims | None = None,
    predictive: bool = False,
    diagnosis: Diagnosis | None = None,
    reference: ExactPosterior | None = None,
) -> xr.DataTree:
    """Draws from a fitted q, as the tree that ArviZ's summaries and plots take.

    Groups, all with ``chain`` = 1 (the draws are independent: R-hat and ESS say nothing about how good q is):

    - ``posterior``: the model's sites in their own space, deterministic ones included, in JAX's precision;
    - ``unconstrained_posterior``: the same draws on R^dim, site by site;
    - ``sample_stats``: ``log_p`` (unnormalised, on R^dim), ``log_q``, ``log_weight`` = log_p - log_q, in nats;
    - ``log_likelihood``, ``observed_data``: where the target is a NumPyro model with data;
    - ``posterior_predictive``: with ``predictive``, the observed sites drawn anew, one data set for each draw of q, for
      ``arviz.plot_ppc_dist`` and its like; `vi.predictive_check` judges them;
    - ``restarts``: for a fit by `vi.restarts`, draws of each run as a chain: ``arviz.rhat(tree, group="restarts")``;
    - ``fit``: the history, over ``step`` and ``window``, and as attributes how the fit came about: status, warnings,
      method, the model's source, the random key, versions; what is no text or number is JSON;
    - ``diagnosis``, and ``reference`` with ``unconstrained_reference``: where they are given. `vi.report` makes a page
      of such a tree.

    Args:
        key: a JAX random key.
        fit: from `vi.fit`.
        num_draws: how many draws. Trees that are to be plotted together need the same number.
        coords: {dimension: labels}.
        dims: {site: names of its dimensions}, beyond those that the model's plates give. A dimension whose name ArviZ
            reserves (``group``, ``model``, ``draw``, ...) is given a trailing underscore, and a "/" in a site's name
            becomes "_".
        predictive: whether to draw data, as `vi.Target.predictive_draw` does.
        diagnosis: from `vi.diagnose` of this fit: kept whole, but for arrays of more than a million numbers;
            `vi_toolkit.tree.diagnosis_of_tree` reads it back.
        reference: the posterior as it is known by other means, of which as many draws are kept.

    Returns:
        The tree; ``tree.to_netcdf(path)`` saves it and ``arviz.from_netcdf(path)`` reads it back.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``num_draws`` is below 1, dims and coords do not fit the sites, or ``predictive`` is asked for
            and the target has no observed sites.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2)
        >>> tree = vi.to_datatree(jax.random.key(1), vi.fit(jax.random.key(0), target), num_draws=100)
        >>> dict(tree["posterior"].sizes)
        {'chain': 1, 'draw': 100, 'z_dim_0': 2}
    """
    import xarray as xr

    check_key(key)
    check_instance(fit, Fit, "fit", "Pass what vi.fit returned.")
    num_draws = check_positive_int(num_draws, "num_draws")
    if diagnosis is not None:
        check_instance(diagnosis, Diagnosis, "diagnosis", "Pass what vi.diagnose returned.")
    if reference is not None:
        check_reference(reference, fit)
    if predictive and not fit.target.observed():
        raise ValueError(
            "predictive: the target has no observed sites to draw anew. Fit a NumPyro model with data "
            "(vi.from_numpyro), or leave predictive out."
        )
    scores = draw_and_score(key, fit, num_draws)
    stats = {"log_p": scores.log_p, "log_q": scores.log_q, "log_weight": scores.log_weights}
    predictive_key = jax.random.fold_in(key, 2) if predictive else None
    tree = tree_of_draws(fit.target, scores.draws, stats, coords or {}, dims or {}, predictive_key)
    tree["sample_stats"].attrs["rounding"] = scores.rounding
    tree["fit"] = group_of_course(course_of_fit(fit))
    runs = draws_of_runs(jax.random.fold_in(key, 3), fit, num_draws)
    if runs is not None:
        tree["restarts"] = xr.DataTree(posterior_of_chains(fit.target, runs, coords or {}, dims or {}))
    if diagnosis is not None:
        tree["diagnosis"] = group_of_diagnosis(diagnosis)
    if reference is not None:
        draws = reference.sample(jax.random.fold_in(key, 1), num_draws)
        for name, dataset in places_of_draws(fit.target, draws, coords or {}, dims or {}).items():
            tree[name.replace("posterior", "reference")] = xr.DataTree(dataset)
    return tree


def exact_to_datatree(
    key: Key,
    exact: ExactPosterior,
    *,
    num_draws: int = 1000,
    coords: Mapping[str, Any] | None = None,
    dims: Dims | None = None,
) -> xr.DataTree:
    """Draws from an exact posterior, as a tree of the same variables and shape as `to_datatree` gives for a fit to it.

    Args:
        key: a JAX random key.
        exact: from `vi.exact`.
        num_draws: how many draws; take as many as for the fits that it is plotted with.
        coords: as for `to_datatree`.
        dims: as for `to_datatree`.

    Returns:
        The tree, without the group ``fit``; ``log_q`` and ``log_weight`` are there where log Z is known, with q = p.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``num_draws`` is below 1, or dims and coords do not fit the sites.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> exact = vi.exact.beta_binomial(7, 10, a=1.0, b=1.0)
        >>> vi.exact_to_datatree(jax.random.key(0), exact, num_draws=100)["posterior"].sizes["draw"]
        100
    """
    check_instance(exact, ExactPosterior, "exact", "Make one with vi.exact, for example vi.exact.grid(target).")
    draws = exact.sample(key, num_draws)
    log_p = np.asarray(log_densities(exact.target, draws), np.float64)
    stats = {"log_p": log_p}
    if exact.log_evidence is not None:
        stats |= {"log_q": log_p - exact.log_evidence, "log_weight": np.full(num_draws, exact.log_evidence)}
    return tree_of_draws(exact.target, np.asarray(draws), stats, coords or {}, dims or {})
