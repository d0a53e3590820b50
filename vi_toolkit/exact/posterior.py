"""A posterior that is known: its target, its evidence, its moments, its modes, and draws from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Distribution
from numpyro.handlers import block, seed
from numpyro.infer.util import log_density

from vi_toolkit._checks import check_key, check_positive_int, describe
from vi_toolkit._types import Draws, Key, Scalar, Vector, numpy_generator
from vi_toolkit.targets import Target

Sampler = Callable[[np.random.Generator, int], np.ndarray]  # (source of randomness, number of draws) -> (draws, dim)
Shares = Callable[[np.ndarray], np.ndarray]  # (draws, dim) -> (draws, modes), each row summing to one


@dataclass(frozen=True, eq=False)
class ExactPosterior:
    """A posterior p(z) = p~(z) / Z on the unconstrained space R^dim of its target, known by other means than a fit.

    Moments and modes are NumPy arrays in float64 whatever JAX's precision; only the target's density is in JAX's.
    What does not exist or is not known is None, never NaN.

    Attributes:
        name: what it is called.
        target: log p~ on R^dim, with its ``log_evidence`` set where that is known.
        how: how it is known, in a few words.
        sampler: (generator, num_draws) -> draws of shape (num_draws, dim); `sample` calls it.
        log_evidence: log Z in nats, or None.
        log_evidence_error: for an evidence by quadrature, its error, estimated from above, in nats. None where there
            is nothing to state: closed forms and sums are exact but for rounding, and a reference has no evidence.
        mean: E[z], of shape (dim,), or None where it does not exist.
        covariance: of shape (dim, dim), or None where it does not exist.
        modes: local maxima of the density of z, of shape (modes, dim), or None.
        mode_weights: the expected `mode_shares` of a draw from p, of shape (modes,), summing to one, or None.
        shares: (draws, dim) -> (draws, modes), how draws are shared out among the modes; None is the nearest mode.
        constrained_moments: {site: (mean, sd)} in the model's own space, for the sites where both are known.
        marginals: {site: NumPyro distribution} of the sites in the model's own space, where these have a name.
        predictive: what is known of a further observation: a function of what it needs (nothing, or new rows of a
            design, ...) that returns a NumPyro distribution, as the entry's docstring says; or None.
        model: the NumPyro model of the same posterior, or None.
        args: its positional arguments.
        kwargs: its named arguments.
        draws: for a reference that is known by its draws alone, these draws, of shape (draws, dim); else None.
        mcse: for such a reference, the Monte-Carlo standard error of ``mean``, of shape (dim,); else None.
        sd_mcse: for such a reference, that of ``sd``, of shape (dim,); else None.

    Example:
        >>> import jax
        >>> from vi_toolkit import exact
        >>> posterior = exact.beta_binomial(7, 10, a=1.0, b=1.0)
        >>> posterior.target.dim, round(posterior.log_evidence, 4)  # every count from 0 to 10 was as likely: -log 11
        (1, -2.3979)
        >>> posterior.sample(jax.random.key(0), 5).shape
        (5, 1)
        >>> round(float(posterior.log_prob_constrained({"probability": 0.5})), 4)  # that of Beta(8, 4) at 1/2
        0.2539
    """

    name: str
    target: Target
    how: str
    sampler: Sampler
    log_evidence: float | None = None
    mean: np.ndarray | None = None
    covariance: np.ndarray | None = None
    modes: np.ndarray | None = None
    mode_weights: np.ndarray | None = None
    shares: Shares | None = None
    constrained_moments: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    marginals: Mapping[str, Distribution] = field(default_factory=dict)
    predictive: Callable[..., Distribution] | None = None
    model: Callable[..., Any] | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    draws: np.ndarray | None = None
    mcse: np.ndarray | None = None
    sd_mcse: np.ndarray | None = None
    log_evidence_error: float | None = None

    @property
    def dim(self) -> int:
        """The number of unconstrained coordinates."""
        return self.target.dim

    @property
    def sd(self) -> np.ndarray | None:
        """Standard deviations of the coordinates, of shape (dim,), or None where the covariance is."""
        return None if self.covariance is None else np.sqrt(np.diag(self.covariance))

    @property
    def log_prob(self) -> Callable[[Vector], Scalar] | None:
        """The function z -> log p(z) = log p~(z) - log Z of ONE point of R^dim, in nats; None without log Z."""
        return None if self.log_evidence is None else partial(_log_prob, self.target, self.log_evidence)

    def log_prob_constrained(self, sites: Mapping[str, Any]) -> Scalar:
        """log p(x | data) of ONE point x = {site: array} in the model's own space, in nats; without any Jacobian.

        A site on the simplex has its density in all coordinates but the last, as NumPyro's distributions have.

        Raises:
            ValueError: if the evidence is not known, a site is missing, or its shape is not the model's.
        """
        if self.log_evidence is None:
            raise ValueError(f"log_prob_constrained: the evidence of {self.name} is not known.")
        for site in self.target.sites:
            found = jnp.shape(sites[site.name]) if site.name in sites else "none"
            if found != site.shape:
                raise ValueError(f"sites: expected {site.name!r} of shape {site.shape}, got {found}.")
        return self._log_joint(sites) - self.log_evidence

    def _log_joint(self, sites: Mapping[str, Any]) -> Scalar:
        """log p(x, data), by the model, or where z itself is the only site, by the target."""
        if self.model is None:
            if [site.name for site in self.target.sites] != ["z"]:
                raise ValueError(f"log_prob_constrained: {self.name} has no NumPyro model to evaluate.")
            return self.target.log_density(jnp.asarray(sites["z"]))
        values = {site.name: sites[site.name] for site in self.target.sites}
        with block():  # the sites of the model are not to be seen by whatever calls this
            return log_density(seed(self.model, 0), self.args, dict(self.kwargs), values)[0]

    def sample(self, key: Key, num_draws: int) -> Draws:
        """``num_draws`` draws of z from p, of shape (num_draws, dim), in JAX's precision; not for use under jit.

        They are independent and exact, except for a reference known by its draws: then they are drawn from those.
        """
        generator, num_draws = check_draw_request(key, num_draws)
        return jnp.asarray(self.sampler(generator, num_draws), jnp.result_type(float))

    def mode_shares(self, draws: Any) -> np.ndarray:
        """How ``draws`` (draws, dim) are shared out among the modes: (draws, modes), each row summing to one.

        The mean over draws of any q is q's mass per mode, to be held against ``mode_weights``.
        """
        draws = np.asarray(draws, dtype=np.float64)
        if self.modes is None:
            raise ValueError(f"mode_shares: {self.name} has no list of modes to share draws among.")
        if draws.ndim != 2 or draws.shape[1] != self.dim:
            raise ValueError(f"draws: expected shape (draws, {self.dim}), got {describe(draws)}.")
        return nearest_mode(self.modes, draws) if self.shares is None else self.shares(draws)


def check_draw_request(key: Any, num_draws: Any) -> tuple[np.random.Generator, int]:
    """NumPy's generator for a JAX key, and a number of draws; both checked."""
    check_key(key)
    generator = numpy_generator(key)
    return generator, check_positive_int(num_draws, "num_draws")


def _log_prob(target: Target, log_evidence: float, z: Vector) -> Scalar:
    return target.log_density(z) - log_evidence


def nearest_mode(modes: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """(draws, modes): one for the mode that is nearest in Euclidean distance, zero for the others."""
    distance = np.stack([np.sum((draws - mode) ** 2, axis=-1) for mode in modes], axis=-1)
    return np.eye(len(modes))[np.argmin(distance, axis=-1)]
