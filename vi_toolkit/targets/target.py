"""The target of a fit: an unnormalised log density on R^dim, and the way from R^dim to named sites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from vi_toolkit._types import Key, Scalar, Sites, Vector
from vi_toolkit.targets._arguments import Constant


@dataclass(frozen=True)
class Site:
    """One named unknown of the model: where it lies in the flat vector and how it looks in the model's own space."""

    name: str
    start: int  # first entry in the flat vector of R^dim
    stop: int  # one past its last entry
    unconstrained_shape: tuple[int, ...]
    shape: tuple[int, ...]  # in the model's own, constrained space
    dims: tuple[str, ...] = ()  # plate names and event dimensions, for labels


class Program(Protocol):
    """The functions of a target, free of its data: hashable, so that one compiled program serves every data set."""

    @property
    def dim(self) -> int: ...

    @property
    def sites(self) -> tuple[Site, ...]: ...

    def log_density(self, data: Any, z: Vector) -> Scalar: ...

    def log_density_with_closed_form_prior(
        self, data: Any, z: Vector, location: Vector, scale: Vector
    ) -> tuple[Scalar, Any]: ...

    def constrain(self, data: Any, z: Vector) -> Sites: ...

    def unconstrain(self, data: Any, sites: Sites) -> tuple[Vector, Scalar]: ...

    def prior_draw(self, data: Any, key: Key) -> Vector | None: ...

    def explain(self, data: Any, z: Vector) -> str: ...

    def remarks(self) -> tuple[str, ...]: ...

    def observed(self, data: Any) -> Mapping[str, np.ndarray]: ...

    def log_likelihood(self, data: Any, z: Vector) -> Sites: ...

    def counted(self, data: Any) -> Mapping[str, np.ndarray]: ...

    def predictive_draw(self, data: Any, key: Key, z: Vector) -> Sites: ...

    def dependencies(self, data: Any) -> Mapping[str, tuple[str, ...]]: ...

    def deterministic_dims(self) -> Mapping[str, tuple[str, ...]]: ...


@dataclass(frozen=True)
class Frozen:
    """A target with its data built in: hashable, equal to another by content; made by `Target.frozen`."""

    program: Program
    structure: Any
    constants: tuple[Constant, ...]

    @property
    def target(self) -> Target:
        """The target again."""
        leaves = [jnp.asarray(constant.array) for constant in self.constants]
        return Target(self.program, jax.tree.unflatten(self.structure, leaves))


@partial(register_dataclass, data_fields=["data", "log_evidence"], meta_fields=["program"])
@dataclass(frozen=True)
class Target:
    """An unnormalised log density log p~(z) of one point z in R^dim, with Z = integral of p~ the evidence.

    Made by `from_numpyro` or `from_log_density`. A pytree: the data are its leaves, so they travel into
    compiled programs as arguments, and a fit to other data of the same shape compiles nothing.

    Attributes:
        program: the functions, without the data.
        data: the arrays that the functions are evaluated with.
        log_evidence: log Z in nats where it is known, else None.

    Example:
        >>> import jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2)
        >>> target.dim, float(target.log_density(jnp.zeros(2)))
        (2, 0.0)
    """

    program: Program
    data: Any
    log_evidence: Any = None

    @property
    def dim(self) -> int:
        """The number of unconstrained coordinates."""
        return self.program.dim

    @property
    def sites(self) -> tuple[Site, ...]:
        """The named unknowns, in the order of the flat vector."""
        return self.program.sites

    @property
    def num_values(self) -> tuple[int, ...] | None:
        """How many values 0, 1, ... each coordinate takes, for a target over finitely many points; else None."""
        return getattr(self.program, "num_values", None)

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Dimension names of every site and deterministic, from the model's plates; for ArviZ."""
        return {s.name: s.dims for s in self.sites if s.dims} | dict(self.program.deterministic_dims())

    def log_density(self, z: Vector) -> Scalar:
        """log p~(z) of one point z of shape (dim,), in nats, the Jacobian of `constrain` included."""
        return self.program.log_density(self.data, z)

    def constrain(self, z: Vector) -> Sites:
        """The named sites of one point z of shape (dim,), in the model's own space, deterministic sites included."""
        return self.program.constrain(self.data, z)

    def unconstrain(self, sites: Sites) -> tuple[Vector, Scalar]:
        """The point z (dim,) that `constrain` takes to these values of the unknowns, and log |det dx/dz| there.

        Raises:
            ValueError: if a site has no value; for a plain log density with a `constrain` of its own, which has no
                known way back.

        Example:
            >>> import jax.numpy as jnp, numpyro, numpyro.distributions as dist, vi_toolkit as vi
            >>> target = vi.from_numpyro(lambda: numpyro.sample("scale", dist.HalfNormal(1.0)))
            >>> z, log_jacobian = target.unconstrain({"scale": jnp.exp(2.0)})  # x = exp(z)
            >>> z.round(4), float(log_jacobian.round(4))
            (Array([2.], dtype=float64), 2.0)
        """
        return self.program.unconstrain(self.data, sites)

    def prior_draw(self, key: Key) -> Vector | None:
        """A point of shape (dim,) from the model's prior, or None where there is no prior to draw from."""
        return self.program.prior_draw(self.data, key)

    def explain(self, z: Vector) -> str:
        """Which sites give a density that is not finite at z, in words."""
        return self.program.explain(self.data, z)

    def observed(self) -> dict[str, np.ndarray]:
        """The observed sites' values; empty for a plain log density."""
        return dict(self.program.observed(self.data))

    def log_likelihood(self, z: Vector) -> Sites:
        """The log likelihood of every observation at one point z, by observed site; empty for a plain log density.

        Observed sites that depend on a discrete site that was summed out have none of their own, and are left out.
        """
        return self.program.log_likelihood(self.data, z)

    def counted(self) -> dict[str, np.ndarray]:
        """Which of the observed values the model does not mask out, as booleans; empty for a plain log density."""
        return dict(self.program.counted(self.data))

    def predictive_draw(self, key: Key, z: Vector) -> Sites:
        """The observed sites drawn anew from p(y | z) at one point z (dim,); empty for a plain log density.

        Every site has the shape of its data, values that are masked out included. Discrete sites that are summed out
        are drawn from p(c | z), whatever the data were, and ``factor`` sites, which have no values, are left out. A
        site that depends on another observed one follows what was drawn there, if the model reads it from the site.

        Raises:
            ValueError: if the distribution of an observed site cannot be drawn from.

        Example:
            >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist, vi_toolkit as vi
            >>> def model(y):
            ...     mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
            ...     numpyro.sample("y", dist.Normal(mean, 1e-9), obs=y)
            >>> target = vi.from_numpyro(model, jnp.array([0.0, 1.0]))
            >>> target.predictive_draw(jax.random.key(0), jnp.array([7.0]))["y"].round(3)
            Array([7., 7.], dtype=float64)
        """
        return self.program.predictive_draw(self.data, key, z)

    def dependencies(self) -> dict[str, tuple[str, ...]]:
        """The unknowns that each sample site's log density depends on, in the model's order; empty for a log density.

        Example:
            >>> import numpyro, numpyro.distributions as dist, vi_toolkit as vi
            >>> def model(y):
            ...     mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
            ...     scale = numpyro.sample("scale", dist.HalfNormal(1.0))
            ...     numpyro.sample("y", dist.Normal(mean, scale), obs=y)
            >>> vi.from_numpyro(model, 1.0).dependencies()
            {'mean': ('mean',), 'scale': ('scale',), 'y': ('mean', 'scale')}
        """
        return dict(self.program.dependencies(self.data))

    def log_density_with_closed_form_prior(self, z: Vector, location: Vector, scale: Vector) -> tuple[Scalar, Any]:
        """log p~(z) with normal priors integrated against q(z) = prod_i N(z_i; location_i, scale_i^2).

            log p~(z) - sum_k [log p(z_k | parents) + D_KL(q_k || p(. | parents))]        (nats)

        k over the sites on the real line whose prior, given the other sites at z, is independently normal. Its mean
        under q, plus the entropy of the other coordinates, is the ELBO.

        Returns:
            That number, and which coordinates belong to such sites, (dim,).

        Raises:
            ValueError: if there is no such site, or discrete sites are summed out.

        Source: Kingma & Welling (2014), Auto-encoding variational Bayes, arXiv:1312.6114, section 2.3.
        """
        return self.program.log_density_with_closed_form_prior(self.data, z, location, scale)

    def frozen(self) -> Frozen:
        """The same target as a hashable object with its data built in, for parts that are settings, such as guides."""
        leaves, structure = jax.tree.flatten(self.data)
        return Frozen(self.program, structure, tuple(Constant.of(leaf) for leaf in leaves))


@jax.jit
def log_densities(target: Target, draws: Any) -> Any:
    """log p~ at every row of ``draws`` (draws, dim), in one compiled call."""
    return jax.vmap(target.log_density)(draws)


@jax.jit
def constrain_draws(target: Target, draws: Any) -> Any:
    """Every row of ``draws`` (draws, dim) as named sites {site: (draws, ...)}, in one compiled call."""
    return jax.vmap(target.constrain)(draws)


@jax.jit
def predictive_draws(target: Target, key: Key, draws: Any) -> Any:
    """Data drawn anew at every row of ``draws`` (draws, dim), as {site: (draws, ...)}, in one compiled call."""
    return jax.vmap(target.predictive_draw)(jax.random.split(key, len(draws)), draws)
