"""Any objective as the ``loss=`` of `numpyro.infer.SVI`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array
from numpyro.infer.elbo import ELBO

from vi_toolkit._checks import check_instance, check_positive_int
from vi_toolkit._types import Key, Params, Scalar
from vi_toolkit.estimators import ScoreFunction, Vimco
from vi_toolkit.numpyro_loss._parts import CELLS, TracedDensity, TracedGuide
from vi_toolkit.numpyro_loss._runs import Runs, Structure, find_structure
from vi_toolkit.numpyro_loss._valid import check_fit, check_num_draws, check_objective, in_full, is_linear
from vi_toolkit.objectives import LogVariance, Objective


@dataclass(frozen=True)
class NumPyroLoss(ELBO):
    """An objective that `numpyro.infer.SVI` takes as its ``loss``; made by `as_numpyro_loss`.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.as_numpyro_loss(vi.IWAE(8), num_draws=16).num_particles
        16
    """

    objective: Objective
    num_particles: int  # draws of the guide for one estimate

    @property
    def can_infer_discrete(self) -> bool:
        """Whether the gradient asks nothing of the draws, so that the guide may draw whole numbers."""
        estimator = getattr(self.objective, "estimator", None)
        return isinstance(estimator, (ScoreFunction, Vimco)) or isinstance(self.objective, LogVariance)

    def loss(
        self,
        rng_key: Key,
        param_map: dict[str, Any],
        model: Callable[..., Any],
        guide: Callable[..., Any],
        *args: Any,
        **kwargs: Any,
    ) -> Array:
        """A random estimate of the loss, in the objective's unit, differentiable in ``param_map``.

        Args:
            rng_key: a random key.
            param_map: the values of all ``numpyro.param`` sites, constrained.
            model: a NumPyro function.
            guide: another.
            *args: what both are called with.
            **kwargs: the same, by name.

        Raises:
            ValueError: where the objective does not go with this guide and model, in words.

        Example:
            >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist, vi_toolkit as vi
            >>> model = lambda: numpyro.sample("z", dist.Normal(0.0, 1.0))
            >>> guide = lambda: numpyro.sample("z", dist.Normal(numpyro.param("m", 0.0), 1.0))
            >>> loss = jax.jit(lambda p: vi.as_numpyro_loss(vi.ReverseKL()).loss(jax.random.key(0), p, model, guide))
            >>> round(float(loss({"m": jnp.zeros(())})), 6)  # q = p
            0.0
        """
        plate_key, draw_key = jax.random.split(rng_key)
        runs = Runs(model, guide, args, kwargs, plate_key, jax.random.fold_in(plate_key, 1))
        structure = find_structure(runs, param_map)

        def of_cell(cell: Any) -> Scalar:
            part = TracedGuide(runs, structure, cell)
            check_fit(self.objective, part)
            return self._loss_of_cell(draw_key, param_map, part)

        cells = jnp.arange(structure.layout.num_cells)
        return structure.layout.scale * jax.vmap(of_cell, axis_name=CELLS)(cells).sum()

    def loss_with_mutable_state(self, *args: Any, **kwargs: Any) -> Any:
        """Refuses: NumPyro asks for it where guide or model have mutable sites.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "model: it or the guide has mutable sites, which a loss of several draws cannot carry. Use "
            "numpyro.infer.Trace_ELBO() with one particle."
        )

    def _loss_of_cell(self, key: Key, params: Params, guide: TracedGuide) -> Scalar:
        """The objective's own loss, with the gradient in q's parameters, and then that in the parameters of log p~."""
        fixed = jax.lax.stop_gradient(params)
        density = TracedDensity(guide.runs, guide.structure, guide.cell, fixed)
        loss, _ = self.objective.loss(key, params, guide, density, self.num_particles)
        full = in_full(self.objective)
        if full is None or not _density_has_parameters(guide.structure, self.objective):
            return loss
        # An estimator of the gradient in q takes log p~ for a fixed function. What log p~ owes to the parameters is
        # a plain derivative at given draws.
        density = TracedDensity(guide.runs, guide.structure, guide.cell, params)
        learned, _ = full.loss(key, fixed, guide, density, self.num_particles)
        return loss + learned - jax.lax.stop_gradient(learned)


def _density_has_parameters(structure: Structure, objective: Objective) -> bool:
    # the weights of scaled sites bring in scores of q, which a linear loss can leave out: their mean is zero
    return bool(structure.learned or structure.moving or (structure.scaled and not is_linear(objective)))


def as_numpyro_loss(objective: Objective, num_draws: int | None = None) -> NumPyroLoss:
    """Makes an objective the ``loss=`` of `numpyro.infer.SVI`: model, guide, optimiser and loop stay NumPyro's.

    All objectives of log weights go: `ReverseKL`, `Renyi`, `IWAE`, `Chi`, `FDivergence`, `JensenShannon` and one's
    own, with the estimator that they were made with; so do `LogVariance`, `TailAdaptive`, `ForwardKL` (by importance
    weights), `Fisher` and `KernelStein`. Estimators are `reparameterised`, `stick_the_landing`,
    `doubly_reparameterised`, `defensive` and, for guides with discrete sites too, `score_function` and `vimco`.
    ``ReverseKL(vi.estimators.reparameterised)`` is NumPyro's ``Trace_ELBO``, and ``Renyi(alpha)`` with the same
    estimator its ``RenyiELBO``.

    Draws are flat vectors on the unconstrained space of the sites that the guide draws, so that `defensive` stretches
    sites of any support; Delta sites, such as those of autoguides, are computed from these. Scales, masks, ``factor``
    and subsampling count as NumPyro counts them, and all draws of one estimate see the same rows.

    Plates that enclose all sites of the guide and of the model split q and p into independent cells: the objective is
    that of each cell, summed, and then scaled if the plate is subsampled. Of other plates, only `ReverseKL` and
    `LogVariance` may take a part of the rows: their gradients are linear in the log density.

    ``numpyro.param`` sites of the model, and Delta sites at a parameter, are learned by the same loss, where it
    bounds the evidence from below: `ReverseKL`, `IWAE`, `Renyi` for alpha > 0, and `LogVariance` and `TailAdaptive`,
    for which it is by the ELBO.

    `FDivergence` estimates the evidence by the draws of one step alone, since SVI keeps nothing for it: with few draws
    it is biased by O(1 / num_draws). An objective that cannot do without a memory is refused.

    Losses that grow fast away from p, such as `Chi`, have huge gradients at a far start, which Adam then remembers for
    long: put ``optax.clip_by_global_norm(1.0)`` before it.

    Args:
        objective: such as ``vi.Renyi(0.5)``.
        num_draws: draws of the guide for one estimate; by default the objective's own number.

    Returns:
        The loss. Where the objective does not go with a guide and a model, it raises a ValueError in words when
        they are first seen.

    Raises:
        TypeError: if ``objective`` is not an objective.
        ValueError: if ``num_draws`` is too small, or the objective or its estimator cannot be a loss of SVI.

    Example:
        >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist, optax, vi_toolkit as vi
        >>> from numpyro.infer import SVI
        >>> from numpyro.infer.autoguide import AutoNormal
        >>> def model(y):
        ...     rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
        ...     numpyro.sample("y", dist.Poisson(rate), obs=y)
        >>> svi = SVI(model, AutoNormal(model), optax.adam(0.02), loss=vi.as_numpyro_loss(vi.IWAE(8), num_draws=64))
        >>> result = svi.run(jax.random.key(0), 500, jnp.array(3), progress_bar=False)
        >>> abs(float(result.losses[-100:].mean()) - 2.0794) < 0.01  # -log Z = log 8
        True

    Source: Bingham et al. (2019), Pyro: deep universal probabilistic programming, JMLR 20(28), whose interface this is.
    """
    check_instance(objective, Objective, "objective", "Use for example vi.Renyi(0.5).")
    num_draws = check_positive_int(objective.num_draws if num_draws is None else num_draws, "num_draws")
    check_objective(objective)
    check_num_draws(objective, num_draws)
    return NumPyroLoss(objective, num_draws)
