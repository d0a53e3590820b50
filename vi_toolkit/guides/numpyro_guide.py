"""NumPyro guide functions, written by hand, as guides."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array
from numpyro.distributions import constraints
from numpyro.handlers import block, seed, substitute, trace
from numpyro.infer.autoguide import AutoGuide

from vi_toolkit._checks import describe
from vi_toolkit._start import Start
from vi_toolkit._types import Key, Params, Scalar, Vector
from vi_toolkit.guides._guide_sites import check_guide, check_numpyro_target, constrained, is_latent, unconstrained
from vi_toolkit.guides.guide import Guide


@dataclass(frozen=True)
class GuideFunction(Guide):
    """q(z) of a NumPyro guide function, on the target's flat unconstrained vector; made by `from_numpyro_guide`."""

    needs_start: ClassVar[bool] = False

    function: Callable[..., Any]
    model: Any = field(repr=False)  # the target with its data built in, so that the guide is hashable

    def check(self, dim: int) -> None:
        """Refuses a target of another dimension."""
        if dim != self.model.target.dim:
            raise ValueError(
                f"guide: it was made for a model of {self.model.target.dim} unconstrained coordinates, the target has "
                f"{dim}. Make it again with vi.from_numpyro_guide(guide, target)."
            )

    def init(self, key: Key, start: Start) -> Params:
        """The guide's own initial parameters, unconstrained."""
        sites = self.run(key, {}, {})
        return {name: unconstrained(site) for name, site in sites.items() if site["type"] == "param"}

    def distribution(self, params: Params) -> dist.Distribution:
        """q(z) = prod_k q_k(x_k(z)) |det dx/dz|, k over the sites that the guide samples, x = constrain(z)."""
        return GuideFunctionDistribution(self, params)

    def draw_one(self, params: Params, key: Key) -> Vector:
        """The unconstrained point of one run of the guide."""
        sites = self.run(key, params, {})
        point: Vector = self.model.target.unconstrain({n: s["value"] for n, s in sites.items() if is_latent(s)})[0]
        return point

    def log_prob_of_one(self, params: Params, z: Vector) -> Scalar:
        """log q(z) of one point."""
        target = self.model.target
        everything = target.constrain(z)
        values = {site.name: everything[site.name] for site in target.sites}
        sites = self.run(jax.random.key(0), params, values)
        terms = [jnp.sum(site["fn"].log_prob(site["value"])) for site in sites.values() if is_latent(site)]
        return jnp.sum(jnp.stack(terms)) + target.unconstrain(values)[1]

    def run(self, key: Key, params: Params, values: dict[str, Any]) -> dict[str, Any]:
        """The trace of the guide, called with the model's arguments, with some of its sites at given values."""
        target = self.model.target
        args, kwargs = target.program.arguments.call(target.data)

        def given(site: dict[str, Any]) -> Any:
            if site["type"] == "param" and site["name"] in params:
                return constrained(site, params[site["name"]])
            return values.get(site["name"]) if site["type"] == "sample" else None

        with block():  # a trace inside another handler must not leak into it
            return trace(substitute(seed(self.function, key), substitute_fn=given)).get_trace(*args, **kwargs)


class GuideFunctionDistribution(dist.Distribution):
    """The distribution on R^dim that runs of a guide function have at given parameters."""

    support = constraints.real_vector
    pytree_data_fields = ("params",)
    pytree_aux_fields = ("guide",)

    def __init__(self, guide: GuideFunction, params: Params) -> None:
        self.guide, self.params = guide, params
        super().__init__((), (guide.model.target.dim,), validate_args=False)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Array:
        """Runs of the guide, differentiable in the parameters."""
        size = math.prod(sample_shape)
        points = jax.vmap(lambda key: self.guide.draw_one(self.params, key))(jax.random.split(key, size))
        return points.reshape(*sample_shape, *self.event_shape)

    def log_prob(self, value: Any) -> Array:
        """log q at points of shape (..., dim)."""
        return jnp.vectorize(lambda z: self.guide.log_prob_of_one(self.params, z), signature="(d)->()")(value)


def from_numpyro_guide(guide: Any, target: Any) -> GuideFunction:
    """Makes a guide of a NumPyro guide function that was written by hand for a model.

    The function is called with the model's arguments, as NumPyro does it; others are bound beforehand with
    `functools.partial`. Its ``numpyro.param`` sites are the parameters, unconstrained by their constraints, and start
    where the function says. Its sample sites are the model's unknowns: in any order, in plates, one given another, or
    the output of a network of the data. On the flat vector z of the target, with x = constrain(z),

        log q(z) = sum_k log q_k(x_k | earlier sites) + log |det dx/dz|        (nats)

    The model's data are built into the guide, which is thus for this target alone.

    Args:
        guide: the function.
        target: of the model, from `vi.from_numpyro`.

    Returns:
        The guide. Gradients flow through its draws.

    Raises:
        TypeError: if ``guide`` is not a function, does not take the model's arguments, or ``target`` is not of a
            NumPyro model.
        ValueError: if its sites are not the model's unknowns, by name, shape and support; if a site is auxiliary,
            observed, discrete, scaled, masked, subsampled, a point (Delta) or not reparameterised; if it has no
            parameters.

    Example:
        >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist, vi_toolkit as vi
        >>> def model(y):
        ...     rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
        ...     numpyro.sample("y", dist.Poisson(rate), obs=y)
        >>> def guide(y):
        ...     shape = numpyro.param("shape", 1.0, constraint=dist.constraints.positive)
        ...     numpyro.sample("rate", dist.Gamma(shape, 2.0))
        >>> target = vi.from_numpyro(model, 3)
        >>> method = vi.gradient(vi.from_numpyro_guide(guide, target), vi.ReverseKL())  # for vi.fit
        >>> posterior = {"shape": jnp.log(5.0)}  # Gamma(2 + 3, 1 + 1): every log weight is the log evidence
        >>> loss, _ = method.objective.loss(jax.random.key(0), posterior, method.guide, target, 2)
        >>> round(float(loss), 4)  # minus log of 3! 4 / 2^5 / 3!
        2.0794
    """
    if isinstance(guide, AutoGuide):
        raise TypeError(f"guide: {type(guide).__name__} is an automatic guide; use vi.from_autoguide(guide).")
    if isinstance(guide, type):
        raise TypeError(
            f"guide: expected a NumPyro guide function, got the class {guide.__name__} itself. Make an instance of it; "
            "that of an automatic guide goes to vi.from_autoguide."
        )
    if not callable(guide):
        raise TypeError(f"guide: expected a NumPyro guide function, got {describe(guide)}.")
    check_numpyro_target(target)
    made = GuideFunction(guide, target.frozen())
    check_guide(made, target)
    return made
