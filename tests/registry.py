"""Every part of the toolkit, once: a new guide, objective, estimator, method or target is one line here.

`tests/test_conformance.py` and others run over these lists.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer.autoguide import (
    AutoDiagonalNormal,
    AutoIAFNormal,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
)

import vi_toolkit as vi
from tests.compilations import jit
from vi_toolkit._start import NUM_STARTS, Start

DIM = 2


def no_model() -> None:
    """Autoguides want a model; ours asks it for nothing."""


# Functions, so that a part can be built twice and the two held against each other.
GUIDES = {
    "mean field": lambda: vi.MeanFieldNormal(),
    "full rank": lambda: vi.FullRankNormal(),
    "low rank": lambda: vi.LowRankNormal(1),
    "mixture": lambda: vi.NormalMixture(3),
    "mixture of mean fields": lambda: vi.NormalMixture(2, covariance=vi.MeanFieldNormal()),
    "Student t": lambda: vi.StudentT(),
    "blocks": lambda: vi.BlockNormal(((1, 0),)),
    "sparse precision": lambda: vi.SparsePrecisionNormal(((1, 0),), (1, 0)),
    "sinh-arcsinh": lambda: vi.SinhArcsinhNormal(),
    "Student t, diagonal": lambda: vi.StudentT(covariance=vi.MeanFieldNormal()),
    "mean-field Student t": lambda: vi.MeanFieldStudentT(),
    "mixture of sinh-arcsinh": lambda: vi.Mixture(2, vi.SinhArcsinhNormal(vi.MeanFieldNormal())),
    "structured": lambda: vi.StructuredNormal.from_model(TARGETS["NumPyro model"]()),
}
# Put together from pieces of the others: in the conformance suite two objectives are enough for them.
PUT_TOGETHER = {
    "blocks", "sparse precision", "sinh-arcsinh", "Student t, diagonal", "mean-field Student t",
    "mixture of sinh-arcsinh", "structured",
}  # fmt: skip
AUTOGUIDES = {
    "auto diagonal": lambda: vi.from_autoguide(AutoDiagonalNormal(no_model)),
    "auto multivariate": lambda: vi.from_autoguide(AutoMultivariateNormal(no_model)),
    "auto low rank": lambda: vi.from_autoguide(AutoLowRankMultivariateNormal(no_model, rank=1)),
    "auto IAF": lambda: vi.from_autoguide(AutoIAFNormal(no_model, num_flows=2, hidden_dims=[4, 4])),
}
# Small, so that they compile fast; tests/guides/flows runs over them.
FLOWS = {
    "affine coupling": lambda: vi.AffineCouplingFlow(num_layers=2, width=4),
    "spline coupling": lambda: vi.SplineCouplingFlow(num_layers=2, width=4, num_knots=4),
    "inverse autoregressive": lambda: vi.AutoregressiveFlow(num_layers=2, width=4),
    "masked autoregressive": lambda: vi.AutoregressiveFlow(num_layers=2, width=4, cheap="score"),
    "block autoregressive": lambda: vi.BlockAutoregressiveFlow(width=4),
    "block autoregressive, scoring": lambda: vi.BlockAutoregressiveFlow(width=4, cheap="score"),
    "triangular spline": lambda: vi.TriangularSplineFlow(num_layers=2, num_knots=4),
}
# Their entropy has no closed form, or NumPyro does not know it.
NO_ENTROPY = {
    "mixture", "mixture of mean fields", "mixture of sinh-arcsinh", "Student t", "Student t, diagonal", "sinh-arcsinh",
    *AUTOGUIDES,
}  # fmt: skip
NO_PICKLE = {"auto IAF"}  # NumPyro builds it of local functions

ESTIMATORS = {
    "reparameterised": vi.estimators.reparameterised,
    "stick the landing": vi.estimators.stick_the_landing,
    "closed-form entropy": vi.estimators.closed_form_entropy,
    "doubly reparameterised": vi.estimators.doubly_reparameterised,
    "score function": vi.estimators.score_function,
    "defensive": vi.estimators.defensive,
    "reparameterised, independent": vi.estimators.reparameterised.drawing(vi.estimators.independent),
    "reparameterised, quasi-random": vi.estimators.reparameterised.drawing(vi.estimators.quasi_random),
    "score function, antithetic": vi.estimators.score_function.drawing(vi.estimators.antithetic),
}
GENERATORS = {
    "reverse KL": vi.generators.reverse_kl,
    "forward KL": vi.generators.forward_kl,
    "Jensen-Shannon": vi.generators.jensen_shannon(),
    "skewed Jensen-Shannon": vi.generators.jensen_shannon(0.2),
    "Jeffreys": vi.generators.jeffreys,
    "Hellinger": vi.generators.hellinger,
    "total variation": vi.generators.total_variation,
    "Pearson": vi.generators.pearson,
    "Neyman": vi.generators.neyman,
    "Amari 0.3": vi.generators.amari(0.3),
    "Amari -0.5": vi.generators.amari(-0.5),
}
OBJECTIVES = {
    "reverse KL": lambda: vi.ReverseKL(),
    "forward KL": lambda: vi.ForwardKL(),
    "forward KL of draws": lambda: vi.ForwardKL(draws=np.random.default_rng(0).normal(size=(50, DIM))),
    "forward KL by wake sleep": lambda: vi.ForwardKL(vi.sources.WakeSleep()),
    "forward KL by adaptive importance": lambda: vi.ForwardKL(vi.sources.AdaptiveImportance(1)),
    "reverse KL, annealed": lambda: vi.ReverseKL(beta=0.2, anneal_steps=100),
    "annealed chi-square": lambda: vi.AnnealedChi(num_temperatures=1, num_leapfrogs=3, every=4),
    "Renyi 0.5": lambda: vi.Renyi(0.5),
    "Renyi 2": lambda: vi.Renyi(2.0, estimator=vi.estimators.reparameterised),
    "Renyi -1": lambda: vi.Renyi(-1),
    "Renyi of two draws": lambda: vi.Renyi(0.5, num_importance=2),
    "IWAE": lambda: vi.IWAE(2),
    "IWAE by VIMCO": lambda: vi.IWAE(2, vi.estimators.vimco),
    "chi": lambda: vi.Chi(2),
    "Jensen-Shannon": lambda: vi.JensenShannon(),
    "total variation": lambda: vi.FDivergence(vi.generators.total_variation, vi.estimators.reparameterised),
    "log variance": lambda: vi.LogVariance(),
    "tail adaptive": lambda: vi.TailAdaptive(),
    "Fisher": lambda: vi.Fisher(),
    "Fisher by the covariance, sliced": lambda: vi.Fisher("covariance", num_directions=1),
    "kernel Stein": lambda: vi.KernelStein(),
} | {name: lambda estimator=estimator: vi.ReverseKL(estimator) for name, estimator in ESTIMATORS.items()}

METHODS = {
    "gradient": lambda: vi.gradient(vi.FullRankNormal(), vi.ReverseKL(), num_draws=4),
    "natural gradient": lambda: vi.natural_gradient(),
    "natural gradient, mean field": lambda: vi.natural_gradient(vi.MeanFieldNormal()),
    "natural gradient, mixture": lambda: vi.natural_gradient(vi.NormalMixture(2)),
    "Laplace": lambda: vi.laplace(),
    "Pathfinder": lambda: vi.pathfinder(2),
    "fixed draws": lambda: vi.fixed_draws(vi.MeanFieldNormal()),
    "batch and match": lambda: vi.batch_and_match(),
    "batch and match, low rank": lambda: vi.batch_and_match(rank=1),
    "Gaussian score matching": lambda: vi.gaussian_score_matching(),
    "SVGD": lambda: vi.svgd(6),
    "restarts": lambda: vi.restarts(vi.natural_gradient(), 2, "stack"),
    "Stein mixture": lambda: vi.stein_mixture(vi.FullRankNormal(), 2),
}


def normal_log_density(mean, precision, z):
    return -0.5 * (z - mean) @ precision @ (z - mean)


def normal_model(y):
    mean = numpyro.sample("mean", dist.Normal(0.0, 2.0))
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    with numpyro.plate("row", len(y)):
        numpyro.sample("y", dist.Normal(mean, scale), obs=y)


TARGETS = {
    "log density": lambda: vi.from_log_density(
        jax.tree_util.Partial(normal_log_density, jnp.array([1.0, -1.0]), jnp.array([[2.0, 0.9], [0.9, 1.0]])), dim=DIM
    ),
    "NumPyro model": lambda: vi.from_numpyro(normal_model, np.array([0.5, -1.0, 2.0])),
}


def start(dim: int, seed: int = 0) -> Start:
    """A start at a random place, with scales about one."""
    rng, dtype = np.random.default_rng(seed), jnp.result_type(float)
    location, log_scale = 0.5 * rng.normal(size=dim), 0.3 * rng.normal(size=dim)
    others = rng.normal(size=(NUM_STARTS, dim))
    return Start(*(jnp.asarray(x, dtype) for x in (location, np.exp(log_scale), others)), jnp.asarray(True))


@partial(jit, static_argnums=0)
def initial(guide: vi.Guide, key: jax.Array, begin: Start) -> Any:
    """Where a guide begins."""
    return guide.init(key, begin)


def random_params(guide: vi.Guide, dim: int = DIM, seed: int = 0, spread: float = 0.3) -> Any:
    """Parameters of a guide away from where it begins, so that no entry is zero by accident."""
    rng = np.random.default_rng(seed + 1)
    params = initial(guide, jax.random.key(seed), start(dim, seed))
    moved = jax.tree.map(
        lambda leaf: leaf + (spread * rng.normal(size=leaf.shape)).astype(leaf.dtype), jax.device_get(params)
    )
    return jax.device_put(moved)


@partial(jit, static_argnums=0)
def log_prob(guide: vi.Guide, params: Any, points: Any) -> Any:
    """log q at every row of ``points``."""
    return guide.distribution(params).log_prob(points)


@partial(jit, static_argnums=0)
def moments(guide: vi.Guide, params: Any) -> tuple[Any, Any]:
    """The mean and the variances that NumPyro states."""
    q = guide.distribution(params)
    return q.mean, q.variance
