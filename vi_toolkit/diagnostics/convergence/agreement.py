"""Whether independent fits, or the restarts of one, say the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit._checks import check_instance, check_key, check_positive_int, describe
from vi_toolkit._types import Key
from vi_toolkit.algorithms import Method
from vi_toolkit.algorithms.restarts import Restarts
from vi_toolkit.fit import Fit
from vi_toolkit.targets.coordinates import coordinate_names

AGREE = 1.05  # R-hat, above which fits are said to disagree


@dataclass(frozen=True)
class Agreement:
    """Whether several fits say the same.

    Attributes:
        rhat: R-hat of every coordinate, each fit being a chain, of shape (dim,).
        num_fits: how many were held against one another.
        sentence: the same in words, with the coordinates that differ most.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> from vi_toolkit.diagnostics.convergence.agreement import agreement
        >>> two = vi.zoo.two_modes(separation=8.0, dim=1).target
        >>> fit = vi.fit(jax.random.key(0), two, vi.restarts(vi.natural_gradient(), 4))
        >>> bool(agreement(jax.random.key(1), fit).rhat[0] > 1.5)
        True
    """

    rhat: np.ndarray
    num_fits: int
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def agreement(key: Key, fits: Fit | Sequence[Fit], *, num_draws: int = 1000) -> Agreement:
    """R-hat across fits: each fit's draws are a chain, and are pooled with no other's.

    The draws of a fit are independent, so that R-hat is above 1 only where the fits differ. Fits that agree may all be
    wrong in the same way.

    Args:
        key: a JAX random key.
        fits: a fit by `vi.restarts`, whose runs that did not fail are compared, or a sequence of fits to one target.
        num_draws: of each.

    Returns:
        `Agreement`.

    Raises:
        TypeError: if ``fits`` is of the wrong kind.
        ValueError: if there are fewer than two, or their targets differ in dim.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> from vi_toolkit.diagnostics.convergence.agreement import agreement
        >>> target = vi.zoo.correlated_gaussian().target
        >>> fits = [vi.fit(jax.random.key(seed), target) for seed in range(3)]
        >>> bool(agreement(jax.random.key(9), fits).rhat.max() < 1.02)
        True

    Source: Vehtari, Gelman, Simpson, Carpenter & Burkner (2021), Rank-normalization, folding, and localization: an
    improved R-hat, arXiv:1903.08008.
    """
    check_key(key)
    num_draws = check_positive_int(num_draws, "num_draws")
    runs = _runs(fits)
    if len(runs) < 2:
        raise ValueError(f"fits: expected at least two that did not fail, got {len(runs)}. Fit with more restarts.")
    target = fits.target if isinstance(fits, Fit) else fits[0].target
    chains = _draws_of(key, runs, num_draws)
    if len({chain.shape for chain in chains}) > 1:
        raise ValueError("fits: expected fits to one target, got targets of different dim.")
    from arviz_stats.base.array import array_stats  # it takes a second to import

    stacked = np.stack(chains).astype(np.float64).transpose(2, 0, 1)
    rhat = np.atleast_1d(array_stats.rhat(stacked, chain_axis=-2, draw_axis=-1))  # type: ignore[no-untyped-call]
    return Agreement(rhat, len(runs), _words_of_agreement(rhat, len(runs), coordinate_names(target)))


def draws_of_runs(key: Key, fit: Fit, num_draws: int) -> np.ndarray | None:
    """Draws of each restart of one fit that did not fail, (runs, draws, dim); None for a fit of one run."""
    runs = _runs(fit) if isinstance(fit.method, Restarts) else []
    return np.stack(_draws_of(key, runs, num_draws)) if runs else None


def agreement_of_runs(key: Key, fit: Fit) -> Agreement | None:
    """That of the restarts of one fit; None where it has fewer than two that did not fail."""
    several = isinstance(fit.method, Restarts) and len(_runs(fit)) > 1
    return agreement(key, fit) if several else None


def _runs(fits: Any) -> list[tuple[Method, Any]]:
    """The methods and parameters of the fits, or of the runs within one."""
    if isinstance(fits, Fit):
        check_instance(fits.method, Restarts, "fits.method", "Pass a fit by vi.restarts, or a sequence of fits.")
        one_of_many: Any = fits.method
        kept = np.flatnonzero(~np.isneginf(np.asarray(fits.params["elbo"]))).tolist()
        return [(one_of_many.method, jax.tree.map(lambda leaf, k=k: leaf[k], fits.params["runs"])) for k in kept]
    if not isinstance(fits, Sequence):
        raise TypeError(f"fits: expected a fit by vi.restarts or a sequence of fits, got {describe(fits)}.")
    for i, one in enumerate(fits):
        check_instance(one, Fit, f"fits[{i}]", "Pass what vi.fit returned.")
    return [(one.method, one.params) for one in fits]


def _draws_of(key: Key, runs: list[tuple[Method, Any]], num_draws: int) -> list[np.ndarray]:
    keys = jax.random.split(key, len(runs))
    return [np.asarray(_draws(method, params, k, num_draws)) for (method, params), k in zip(runs, keys, strict=True)]


@partial(jax.jit, static_argnames="num_draws")
def _draws(method: Method, params: Any, key: Key, num_draws: int) -> Any:
    return jnp.asarray(method.posterior(params).sample(key, (num_draws,)))


def _words_of_agreement(rhat: np.ndarray, num_fits: int, names: Sequence[str]) -> str:
    worst = np.argsort(-rhat)[:3]
    apart = [f"{names[i]} ({rhat[i]:.2f})" for i in worst if rhat[i] > AGREE]
    if not apart:
        return f"The {num_fits} fits agree: R-hat is at most {rhat.max():.3f}."
    return f"The {num_fits} fits disagree, most in {', '.join(apart)} (R-hat): they ended in different places."
