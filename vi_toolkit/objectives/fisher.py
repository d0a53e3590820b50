"""The Fisher divergence as an objective: the slopes of log q against those of log p."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jax.tree_util import register_dataclass
from jaxtyping import Array

from vi_toolkit._checks import check_positive_int
from vi_toolkit._types import Density, Key, Params, Scalar, Vector
from vi_toolkit.guides import Guide
from vi_toolkit.guides.noise import independent
from vi_toolkit.objectives._spread import covariance_root
from vi_toolkit.objectives.objective import Objective

Weighting = Literal["identity", "covariance", "fixed covariance"]


@partial(register_dataclass, data_fields=[], meta_fields=["weighting", "num_directions"])
@dataclass(frozen=True)
class Fisher(Objective):
    r"""F(q‖p) = E_q |R^T (grad log q(z) - grad log p~(z))|^2, without a factor 1/2, as `information.fisher_divergence`.

    The evidence Z does not enter: the slope of log p~ is that of log p. The gradient is that of this expectation in
    full: through the draws z and through log q, which needs the Hessian of log p times a vector at every draw. The
    matrix R is set by ``weighting``:

    - ``"identity"``: R = I, the plain Fisher divergence. Its unit is one over that of z, squared, so the best q
      depends on the units of the coordinates.
    - ``"covariance"``: R R^T = Cov(q), differentiated too. Invariant to affine maps of z. But as q narrows to a point
      the value goes to dim, wherever the point is: from a start further off than that, down is towards a point, and
      a coordinate that a mean-field q cannot follow may collapse too.
    - ``"fixed covariance"``: the same value, with R held fixed in the gradient. Invariant too, and nothing collapses;
      what a fit ends at is a fixed point rather than the minimum of one function of q.

    On a normal p with precision matrix P, the mean-field normal has p's mean and the variances s with
    s_i^2 (P P)_ii = 1; (P*P) s = diag(P); s_i ((P*P) s)_i = 1, in turn, P*P being squared entry by entry. All are at
    most 1 / P_ii, the variances of reverse KL. The covariance is q's own for normals, Student-t's (of more than two
    degrees of freedom), other location-scale families and mixtures of these, else that of further draws of q.

    With ``num_directions`` = K it is sliced: per draw the mean of (v . (grad log q - grad log p~))^2 over K random
    v = R u, with u uniform on a sphere and E u u^T = I. The mean is the same and there is more noise. Each direction
    takes a directional derivative, forwards, instead of a gradient; with one direction a step is a third cheaper.

    It is blind to the weights of modes that lie far apart, since those leave the slopes as they are, so a mixture's
    weights hardly move. The estimate is unbiased; at q = p its gradient has no noise.

    Args:
        weighting: ``"identity"``, ``"covariance"`` or ``"fixed covariance"``.
        num_directions: K, or None for the whole gradient.

    Raises:
        TypeError, ValueError: if ``weighting`` is none of these, or ``num_directions`` is not a whole number above 0.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=1)
        >>> guide, params = vi.MeanFieldNormal(), {"location": 2 * jnp.ones(1), "log_scale": jnp.zeros(1)}
        >>> loss, _ = vi.Fisher().loss(jax.random.key(0), params, guide, target, 4)
        >>> round(float(loss), 4)  # the slopes differ by the shift, everywhere
        4.0

    Source: Hyvaerinen (2005), Estimation of non-normalized statistical models by score matching, JMLR 6, 695; Song,
    Garg, Shi & Ermon (2019), Sliced score matching, arXiv:1905.07088; Cai, Modi, Margossian, Gower, Blei & Saul (2024),
    Batch and match, arXiv:2402.14758 (weighted by the covariance); Margossian, Pillaud-Vivien & Saul (2024),
    Variational inference for uncertainty quantification, arXiv:2403.13748 (the mean-field optima).
    """

    weighting: Weighting = "identity"
    num_directions: int | None = None

    def __post_init__(self) -> None:
        if self.weighting not in get_args(Weighting):
            names = ", ".join(map(repr, get_args(Weighting)))
            raise ValueError(f"weighting: expected one of {names}, got {self.weighting!r}.")
        if self.num_directions is not None:
            check_positive_int(self.num_directions, "num_directions")

    @property
    def tracked(self) -> tuple[str, ...]:
        """The divergence, which is the loss, and the ELBO on the way."""
        return ("fisher", "elbo")

    def check(self, guide: Guide, dim: Any) -> None:
        """Gradients must flow through the draws."""
        if not guide.reparameterised:
            raise ValueError(
                f"guide: Fisher does not go with {guide}, whose draws carry no gradients. Use a continuous guide, such "
                "as vi.FullRankNormal()."
            )

    def loss(
        self, key: Key, params: Params, guide: Guide, target: Density, num_draws: int
    ) -> tuple[Scalar, dict[str, Scalar]]:
        """The mean over ``num_draws`` draws of q of the weighted square of the difference of the slopes."""
        key_draw, key_root, key_directions = jax.random.split(key, 3)
        points, weights, _ = guide.draw(key_draw, params, num_draws)
        q = guide.distribution(params)
        root = self._root(key_root, params, guide, num_draws)

        def log_ratio(z: Vector) -> Scalar:
            return q.log_prob(z) - target.log_density(z)

        if self.num_directions is None:
            logs, slopes = jax.vmap(jax.value_and_grad(log_ratio))(points)
            squares = jnp.sum(_seen_through(root, slopes) ** 2, axis=-1)
        else:
            directions = _directions(key_directions, root, points, self.num_directions)
            logs, slopes = jax.vmap(partial(_derivatives_along, log_ratio))(points, directions)
            squares = jnp.mean(slopes**2, axis=-1)
        fisher = weights @ squares
        return fisher, {"fisher": fisher, "elbo": -(weights @ logs)}

    def _root(self, key: Key, params: Params, guide: Guide, num_draws: int) -> Array | None:
        """R, of draws of their own where only draws know it, so that the estimate stays unbiased."""
        if self.weighting == "identity":
            return None
        if self.weighting == "fixed covariance":
            params = jax.lax.stop_gradient(params)
        draws = guide.draw(key, params, max(num_draws, 2), independent)
        return covariance_root(guide.distribution(params), draws)

    def gradients_per_step(self, num_draws: int) -> float:
        """A gradient and a Hessian times a vector, which counts two, a draw; sliced, the latter for each direction."""
        return 3.0 * num_draws if self.num_directions is None else 2.0 * num_draws * self.num_directions


def _seen_through(root: Array | None, slopes: Array) -> Array:
    """R^T times every row."""
    if root is None:
        return slopes
    return slopes * root if root.ndim == 1 else slopes @ root


def _directions(key: Key, root: Array | None, points: Array, count: int) -> Array:
    """R u for ``count`` points u to each draw, uniform on the sphere whose radius is the root of their dimension."""
    size = points.shape[-1] if root is None else root.shape[-1]
    normal = jax.random.normal(key, (len(points), count, size), points.dtype)
    u = jnp.sqrt(size) * normal / jnp.linalg.norm(normal, axis=-1, keepdims=True)
    if root is None:
        return u
    return u * root if root.ndim == 1 else u @ root.T


def _derivatives_along(f: Any, z: Vector, directions: Array) -> tuple[Scalar, Array]:
    """f(z), and its derivative along every row of ``directions``."""
    values, slopes = jax.vmap(lambda v: jax.jvp(f, (z,), (v,)))(directions)
    return values[0], slopes
