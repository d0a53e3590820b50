"""Stein mixtures: the parameters of several guides as particles that repel each other, by NumPyro's SteinVI."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.tree_util import register_dataclass
from jaxtyping import Array
from numpyro.contrib.einstein import SteinVI
from numpyro.contrib.einstein.steinvi import SteinVIState
from numpyro.distributions import Distribution
from numpyro.optim import optax_to_numpyro

from vi_toolkit import _start
from vi_toolkit._checks import check_instance, check_positive, check_positive_int
from vi_toolkit._types import Draws, Key, Params, Scalar, Vector
from vi_toolkit.algorithms._averages import (
    Averages,
    add,
    begin_half,
    divergence,
    halves_and_whole,
    no_averages,
    split_rhat,
)
from vi_toolkit.algorithms._guide_mixture import GuideMixture
from vi_toolkit.algorithms._optimizer import DEFAULT, Optimizer
from vi_toolkit.algorithms._stein_vi import PARAM, NumPyroKernel, stein_vi
from vi_toolkit.algorithms.algorithm import Method, Turn
from vi_toolkit.guides import Guide
from vi_toolkit.kernels import RBF, Kernel
from vi_toolkit.targets import Target


class MixtureState(NamedTuple):
    """The state of NumPyro's optimiser, which holds the parameters, and the coordinates that these are in."""

    optimizer: Any
    learning_rate: Scalar
    centre: Vector
    scale: Vector
    averages: Averages  # of the flat parameters (components, parameters)


@partial(
    register_dataclass,
    data_fields=[],
    meta_fields=["guide", "num_components", "kernel", "num_draws", "repulsion", "optimizer"],
)
@dataclass(frozen=True)
class SteinMixture(Method):
    """Stein mixtures; made by `stein_mixture`."""

    guide: Guide
    num_components: int
    kernel: Kernel
    num_draws: int
    repulsion: float
    optimizer: Optimizer | None

    @property
    def tracked(self) -> tuple[str, ...]:
        return ("loss", "ok", "elbo")

    @property
    def spreads(self) -> bool:
        return True

    def check(self, target: Target) -> None:
        self.guide.check(target.dim)
        if not self.guide.reparameterised or self.guide.stratified:
            raise ValueError(
                f"guide: stein_mixture does not go with {self.guide}, whose draws carry no gradients one by one. Use a "
                "guide of one component, such as vi.MeanFieldNormal()."
            )

    def init(self, key: Key, target: Target, candidates: Draws) -> tuple[MixtureState, _start.Start]:
        start = _start.find_start(target, candidates)
        others = (start.others - start.location) / start.scale
        keys = jax.random.split(key, self.num_components)
        flat = jax.vmap(lambda key, i: self._first(key, others, others[i % _start.NUM_STARTS]))(
            keys, jnp.arange(self.num_components)
        )
        rate = jnp.asarray(1.0 if self.optimizer else self.guide.learning_rate(target.dim), flat.dtype)
        optimizer = self._optimizer(rate).init({PARAM: flat})
        return MixtureState(optimizer, rate, start.location, start.scale, no_averages(flat, flat.dtype)), start

    def _first(self, key: Key, others: Draws, location: Vector) -> Array:
        """The guide's own first parameters at a place, as a flat vector."""
        key_jitter, key_guide = jax.random.split(key)
        location = location + 0.1 * jax.random.normal(key_jitter, location.shape, location.dtype)
        start = _start.Start(location, jnp.ones_like(location), others, jnp.asarray(True))
        return ravel_pytree(self.guide.init(key_guide, start))[0]

    def _unravel(self, flat: Array, like: Vector) -> Params:
        """Flat parameters (components, parameters) as the guide's, with a leading axis."""
        others = jnp.zeros((_start.NUM_STARTS, len(like)), like.dtype)
        start = _start.Start(jnp.zeros_like(like), jnp.ones_like(like), others, jnp.asarray(True))
        shapes = jax.eval_shape(self.guide.init, jax.random.key(0), start)
        unravel = ravel_pytree(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes))[1]
        return jax.vmap(unravel)(flat)

    def _optimizer(self, rate: Scalar) -> Any:
        transformation = self.optimizer.transformation if self.optimizer else DEFAULT
        # A user's optimiser ends in a negative learning rate, as optax has it; the default one does not.
        return optax_to_numpyro(optax.chain(transformation, optax.scale(rate if self.optimizer else -rate)))

    def _stein(self, state: MixtureState, target: Target) -> SteinVI:
        """NumPyro's SteinVI of the target in the start's coordinates x = (z - centre) / scale."""

        def log_density(x: Vector) -> Scalar:
            return target.log_density(state.centre + state.scale * x)

        def family(flat: Vector) -> Distribution:
            return self.guide.distribution(jax.tree.map(lambda leaf: leaf[0], self._unravel(flat[None], state.centre)))

        first = self._flat(state)[0]
        return stein_vi(
            log_density,
            family,
            (jnp.zeros_like(state.centre), jnp.zeros_like(first)),
            optim=self._optimizer(state.learning_rate),
            kernel_fn=NumPyroKernel(self.kernel),
            num_stein_particles=self.num_components,
            num_elbo_particles=self.num_draws,
            repulsion_temperature=self.repulsion,
        )

    def _flat(self, state: MixtureState) -> Array:
        return self._optimizer(state.learning_rate).get_params(state.optimizer)[PARAM]

    def begin_half(self, state: MixtureState) -> MixtureState:
        return state._replace(averages=begin_half(state.averages))

    def step(self, key: Key, state: MixtureState, target: Target) -> tuple[MixtureState, dict[str, Scalar]]:
        key_stein, key_elbo = jax.random.split(key)
        stein = self._stein(state, target)
        stein.init(key)  # for the names and transforms that it notes; its first parameters are not used
        moved, _ = stein.update(SteinVIState(state.optimizer, key_stein, 1.0, self.repulsion))
        elbo = self._elbo(key_elbo, state, target)
        ok = jnp.isfinite(elbo) & jnp.all(jnp.isfinite(stein.get_params(moved)[PARAM]))
        optimizer = jax.tree.map(partial(jnp.where, ok), moved.optim_state, state.optimizer)
        state = state._replace(optimizer=optimizer)
        state = state._replace(averages=add(state.averages, self._flat(state)))
        return state, {"loss": -elbo, "elbo": elbo, "ok": ok.astype(elbo.dtype)}

    def _elbo(self, key: Key, state: MixtureState, target: Target) -> Scalar:
        """The ELBO of the mixture, with as many draws of every component; SteinVI itself keeps no account of it."""
        q = self.posterior(self._params(state, self._flat(state)))
        keys = jax.random.split(key, self.num_components)
        draws = jax.vmap(lambda key, params: self.guide.draw(key, params, self.num_draws).points)(keys, q.components)
        z = state.centre + state.scale * draws.reshape(-1, len(state.centre))
        return jnp.mean(jax.vmap(target.log_density)(z) - q.log_prob(z))

    def _params(self, state: MixtureState, flat: Array) -> Params:
        return {"components": self._unravel(flat, state.centre), "centre": state.centre, "scale": state.scale}

    def turn(self, key: Key, state: MixtureState) -> Turn:
        first, second, whole, before = (
            self._params(state, flat) for flat in (*halves_and_whole(state.averages), state.averages.before)
        )
        change = divergence(key, self.posterior(before), self.posterior(whole))
        noise = divergence(key, self.posterior(first), self.posterior(second))
        return Turn(whole, change, noise, split_rhat(state.averages))

    def next_window(self, state: MixtureState, average: Params, pace: float) -> MixtureState:
        rate = np.asarray(state.learning_rate) * np.asarray(pace, state.learning_rate.dtype)
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(average["components"])]
        flat = np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)
        return state._replace(averages=state.averages._replace(before=flat), learning_rate=rate)

    def set_back(self, state: MixtureState) -> MixtureState:
        fresh = self._optimizer(jnp.asarray(state.learning_rate)).init({PARAM: jnp.asarray(state.averages.before)})
        # dtypes as they were, since a weak one would compile a second program
        return state._replace(optimizer=jax.tree.map(lambda x, old: jnp.asarray(x, old.dtype), fresh, state.optimizer))

    def latest(self, state: MixtureState) -> Params:
        return self._params(state, self._flat(state))

    def posterior(self, params: Params) -> Distribution:
        return GuideMixture(self.guide, params["components"], params["centre"], params["scale"])

    def num_gradients(self, target: Target, history: dict[str, np.ndarray]) -> float:
        # SteinVI draws afresh for every pair of components
        each = self.num_draws * (self.num_components**2 + self.num_components / 3)
        return _start.num_gradients() + len(history["loss"]) * each

    def warnings(self, history: dict[str, np.ndarray]) -> list[str]:
        return []


def stein_mixture(
    guide: Guide,
    num_components: int,
    kernel: Kernel | None = None,
    optimizer: optax.GradientTransformation | None = None,
    *,
    num_draws: int = 8,
    repulsion: float = 1.0,
) -> SteinMixture:
    """A mixture of equally weighted guides, whose parameters climb the ELBO of the mixture and repel each other.

        q(z) = (1/m) sum_k q(z; w_k)
        w_k <- w_k + rate * [sum_j k(w_j, w_k) grad_{w_j} L_j + (repulsion / m) sum_j grad_{w_j} k(w_j, w_k)]

    with L_j = E_{q(z; w_j)}[log p~(z) - log q(z)], the other components held fixed. This is Stein variational gradient
    descent on the parameters w, with the mixture's own density in place of a prior on them. The step is that of
    ``numpyro.contrib.einstein.SteinVI``, its ``SteinLoss`` included, on the flat density; the kernel is one of
    `vi.kernels` behind NumPyro's interface, with a bandwidth of the median distance divided by sqrt(2 log(m + 1)).
    NumPyro sums the first term and takes the mean of the second, as above: the repulsion is 1/m of the textbook's.

    Everything is in units of the start's scale. The components begin at the points that the search for a start
    reached, the most distant first. The weights stay equal, so masses of modes come in steps of 1/m. The repulsion
    keeps the components a little apart, in any number of draws: it is not the minimiser of D_KL(q || p) over
    mixtures. Components that share a mode may turn about each other without end, in which case the steps run out.
    With one component the kernel has no say: it is reverse KL.

    Args:
        guide: of each component, such as ``vi.MeanFieldNormal()``; its draws must carry gradients one by one.
        num_components: m.
        kernel: on the parameters: `vi.kernels.RBF` (the default), `IMQ`, or a `Sum`.
        optimizer: an optax optimiser with its own learning rate, in units of the start's scale; by default Adam, at the
            guide's rate.
        num_draws: for each pair of components a step.
        repulsion: of the second term, above 0; NumPyro's ``repulsion_temperature``.

    Returns:
        A method for `vi.fit`. ``loss`` is minus the ELBO of the mixture, in nats.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if a number is not above 0; at the fit, if the guide is itself a mixture, or discrete.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> exact = vi.zoo.two_modes(separation=8.0, dim=1)
        >>> fit = vi.fit(jax.random.key(0), exact.target, vi.stein_mixture(vi.MeanFieldNormal(), 2), max_steps=500)
        >>> draws = fit.posterior.sample(jax.random.key(1), (1000,))
        >>> round(float((draws > 0).mean()), 1)  # a component in each mode
        0.5

    Source: Liu & Wang (2016), arXiv:1608.04471; Wang & Liu (2019), Nonlinear Stein variational gradient descent for
    learning diversified mixture models, ICML; Ronning et al. (2024), ELBOing Stein, arXiv:2410.22948.
    """
    check_instance(guide, Guide, "guide", "Use for example vi.MeanFieldNormal().")
    kernel = RBF() if kernel is None else kernel
    check_instance(kernel, Kernel, "kernel", "Use for example vi.kernels.RBF().")
    if optimizer is not None:
        check_instance(optimizer, optax.GradientTransformation, "optimizer", "Use for example optax.adam(0.05).")
    return SteinMixture(
        guide,
        check_positive_int(num_components, "num_components"),
        kernel,
        check_positive_int(num_draws, "num_draws"),
        check_positive(repulsion, "repulsion"),
        None if optimizer is None else Optimizer(optimizer),
    )
