"""Covariances of the posterior from a guide that has none of its own: how the fit responds to a push."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial

from vi_toolkit._checks import check_instance, check_key, check_positive_int, describe
from vi_toolkit._types import Key
from vi_toolkit.algorithms._fixed_state import GROUPS
from vi_toolkit.algorithms._sampled_elbo import BLOCK, SampledElbo, noise_for
from vi_toolkit.algorithms.fixed_draws import FixedDraws
from vi_toolkit.diagnostics.repair._response import (
    Coordinates,
    Function,
    NamedSites,
    OwnFunction,
    hessian,
    least_eigenvalue,
    look,
    solutions,
)
from vi_toolkit.fit import Fit
from vi_toolkit.objectives import ReverseKL

DENSE = 512  # parameters up to which the Hessian is written out
NUM_DRAWS = 1024
FAR, TOLERANCE = 5.0, 0.05  # draw-induced errors, and posterior sds beyond them, by which a mean may be off


@dataclass(frozen=True)
class LinearResponse:
    """Means and covariances of functions phi of the posterior; arrays in the structure of phi's value.

    Attributes:
        mean: E_q[phi].
        sd: square roots of the diagonal of the covariance.
        draw_error: the standard errors of the means that the fixed draws induce, as samples would: none of the
            posterior's own spread, and none of the family's misfit.
        covariance: of all entries of phi, (entries, entries), in the order in which ``sd`` lists them.
        num_draws: fixed draws that the ELBO was taken at.
        num_gradients: log-density gradients spent.
        warnings: what speaks against them, in words.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=1)
        >>> fit = vi.fit(jax.random.key(0), target, vi.fixed_draws(vi.MeanFieldNormal()))
        >>> vi.linear_response(jax.random.key(1), fit).sd.round(3)
        array([1.])
    """

    mean: Any
    sd: Any
    draw_error: Any
    covariance: np.ndarray = field(repr=False)
    num_draws: int
    num_gradients: float
    warnings: tuple[str, ...] = ()


def linear_response(
    key: Key,
    fit: Fit,
    of: Callable[[Any], Any] | tuple[str, ...] | list[str] | None = None,
    *,
    num_draws: int = NUM_DRAWS,
) -> LinearResponse:
    """Covariances of a posterior by the response of a fit: mean-field guides see correlations after all.

    Were log p tilted to log p + t . phi, the means of the posterior would move by their covariance with phi: d E_p[phi]
    / dt = Cov_p(phi). A fit's means move as well, and how far follows from its Hessian:

        Cov(phi) = d E_q[phi] / dt = J H^-1 J',   H = Hessian of -ELBO,   J = d E_q[phi] / d params

    at the optimum. It is exact on normal posteriors, whatever the blocks of the guide, and otherwise right as far as
    the fitted means are right about the tilted posteriors. For phi that is not linear this is the delta method on the
    parameters: E_q[phi] is a function of them. ELBO and J are those of fixed draws: the fit's own where it is by
    `vi.fixed_draws`, else fresh ones. The draw-induced error of E_q[phi] is the sandwich estimate over 8 independent
    groups of these draws, the error of averaging phi over them included.

    H is written out up to 512 parameters (a mean-field guide of 256 coordinates); above, conjugate gradients solve
    for each entry of phi.

    Args:
        key: a JAX random key for fresh draws; not looked at where the fit has draws of its own.
        fit: by reverse KL, of a guide whose draws carry gradients.
        of: phi: a function of one point z of shape (dim,), giving any structure of arrays; or a tuple of names of
            sites, for a dictionary of them in the model's own space; None for z itself.
        num_draws: fresh draws, rounded up to a multiple of 256.

    Returns:
        `LinearResponse`.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the fit is not by reverse KL or its guide has no draws with gradients; if a site is not known; if
            H is not positive definite, with the coordinate that is to blame.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> precision = jnp.array([[2.0, 1.2], [1.2, 1.0]])
        >>> target = vi.from_log_density(lambda z: -0.5 * z @ precision @ z, dim=2)
        >>> fit = vi.fit(jax.random.key(0), target, vi.fixed_draws(vi.MeanFieldNormal()))
        >>> vi.linear_response(jax.random.key(1), fit).covariance.round(3)  # the inverse of the precision
        array([[ 1.786, -2.143],
               [-2.143,  3.571]])

    Source: Giordano, Broderick & Jordan (2018), Covariances, robustness, and variational Bayes, arXiv:1709.02536;
    Giordano, Ingram & Broderick (2024), arXiv:2304.05527 (the draw-induced error).
    """
    check_key(key)
    check_instance(fit, Fit, "fit", "Pass what vi.fit returned.")
    guide = _guide_of(fit)
    function = _function(fit, of)
    draws_key, blocks = _draws_of(key, fit, check_positive_int(num_draws, "num_draws"))
    groups = min(GROUPS, blocks)
    where = (guide, fit.target, fit.params, draws_key)
    near = look(*where, function, np.int32(blocks), groups)
    gradients, values, J = (np.asarray(part, np.float64) for part in near)
    X, spent = _responses(fit, where, blocks, J)
    covariance = J @ X.T
    influence = values - gradients @ X.T  # of each group of draws on E phi at the optimum of all
    errors = influence.std(axis=0, ddof=1) / np.sqrt(groups) if groups > 1 else np.full(len(J), np.inf)
    sds = np.sqrt(np.diagonal(covariance))
    back = _structure(fit, function)
    return LinearResponse(
        mean=back(values.mean(axis=0)),
        sd=back(sds),
        draw_error=back(errors),
        covariance=0.5 * (covariance + covariance.T),
        num_draws=blocks * BLOCK,
        num_gradients=float(spent + blocks * BLOCK),
        warnings=_warnings(gradients.mean(axis=0) @ X.T, sds, errors),
    )


def _responses(fit: Fit, where: Any, blocks: int, J: np.ndarray) -> tuple[np.ndarray, float]:
    """H^-1 J', transposed, and the gradients spent; raises where H is not positive definite."""
    params = J.shape[1]
    if params > DENSE:
        rows = jnp.asarray(J, jnp.result_type(float))
        X, leasts, products = map(np.asarray, solutions(*where, np.int32(blocks), rows))
        if not (np.all(np.isfinite(X)) and leasts.min() > 0):
            raise ValueError(_refusal(float(leasts.min()), "among those that conjugate gradients went through"))
        return X.astype(np.float64), float(2 * products.sum() * blocks * BLOCK)
    H = np.asarray(hessian(*where, np.int32(blocks)), np.float64)
    if not np.all(np.isfinite(H)):
        raise ValueError("fit: the second derivatives of the log density are not finite at its draws.")
    H = 0.5 * (H + H.T)
    used = np.any(H != 0, axis=0) | np.any(J != 0, axis=0)  # a triangle's other half is no parameter
    least, most, direction = least_eigenvalue(H[np.ix_(used, used)])
    if least <= len(H) * np.finfo(jnp.result_type(float)).eps * most:
        raise ValueError(_refusal(least, _along(fit, where, used, direction)))
    Y = np.zeros_like(J)
    Y[:, used] = np.linalg.solve(H[np.ix_(used, used)], J[:, used].T).T
    return Y, float(2 * params * blocks * BLOCK)


def _guide_of(fit: Fit) -> Any:
    """The guide of a fit by reverse KL; raises where there is none."""
    guide, objective = getattr(fit.method, "guide", None), getattr(fit.method, "objective", None)
    if guide is None or not guide.reparameterised:
        raise ValueError(
            f"fit: linear response asks for a guide whose draws carry gradients, and {fit.method} has none. Fit for "
            "example vi.fixed_draws(vi.MeanFieldNormal())."
        )
    if objective is not None and not (isinstance(objective, ReverseKL) and objective.beta == 1):
        raise ValueError(
            f"fit: linear response is of fits by reverse KL, which the fit by {objective} is not. Use "
            f"vi.fixed_draws({guide})."
        )
    return guide


def _function(fit: Fit, of: Any) -> Function:
    if of is None:
        return Coordinates()
    if isinstance(of, (tuple, list)):
        known = list(jax.eval_shape(fit.target.constrain, jnp.zeros(fit.target.dim)))
        unknown = [name for name in of if name not in known]
        if unknown:
            raise ValueError(f"of: expected sites of the target, which are {known}, got {describe(unknown)}.")
        return NamedSites(tuple(of))
    if isinstance(of, str) or not callable(of):
        raise TypeError(
            f"of: expected a function of one point of R^dim, names of sites in a tuple, or None, got {describe(of)}."
        )
    return OwnFunction(of if isinstance(of, Partial) else Partial(of))


def _draws_of(key: Key, fit: Fit, num_draws: int) -> tuple[Key, int]:
    """The draws that the fit is the optimum of, or fresh ones."""
    if isinstance(fit.method, FixedDraws):
        state = fit.checkpoint.state
        return state.draws_key, int(state.blocks)
    return key, GROUPS * max(1, -(-num_draws // (BLOCK * GROUPS)))


def _structure(fit: Fit, function: Function) -> Callable[[np.ndarray], Any]:
    """Flat numbers in the structure of the function's value."""
    shape = jax.eval_shape(lambda z: function(fit.target, z), jnp.zeros(fit.target.dim))
    blank = jax.tree.map(lambda leaf: np.zeros(leaf.shape), shape)
    leaves, structure = jax.tree.flatten(blank)
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]

    def back(flat: np.ndarray) -> Any:
        parts = np.split(flat, ends)
        return jax.tree.unflatten(structure, [p.reshape(leaf.shape) for p, leaf in zip(parts, leaves, strict=True)])

    return back


def _warnings(shift: np.ndarray, sds: np.ndarray, errors: np.ndarray) -> tuple[str, ...]:
    """Whether the fit stands where its draws would have it, up to their noise."""
    off = np.max((np.abs(shift) - FAR * errors) / sds)
    if off <= TOLERANCE:
        return ()
    return (
        "The fit is not at the optimum of the ELBO: one more step would move a mean by "
        f"{np.max(np.abs(shift) / sds):.2g} posterior standard deviations, more than the draws explain. Let it run on, "
        "or use vi.fixed_draws.",
    )


def _refusal(least: float, along: str) -> str:
    return (
        f"fit: the Hessian of the loss is not positive definite: its least eigenvalue is {least:.2g}, {along}. The fit "
        "is not at an optimum, or its guide has parameters that do not change it; let it converge, for example by "
        "vi.fixed_draws(vi.MeanFieldNormal())."
    )


def _along(fit: Fit, where: Any, used: np.ndarray, direction: np.ndarray) -> str:
    """Which coordinate a direction of the parameters moves most."""
    guide, target, params, key = where
    step = np.zeros(len(used))
    step[used] = direction
    view = SampledElbo(guide, target, key, noise_for(guide, params)).view(params)
    moved = np.abs(np.asarray(view(jnp.asarray(step, ravel_pytree(params)[0].dtype)))).reshape(2, -1).sum(axis=0)
    most = int(np.argmax(moved))
    names = [site.name for site in target.sites if site.start <= most < site.stop]
    return f"in a direction that moves coordinate {most}{f', of {names[0]}' if names else ''}, most"
