"""The three posteriors of the demonstration, and what is fitted to each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpyro
import numpyro.distributions as dist

from vi_toolkit import exact
from vi_toolkit._types import Key
from vi_toolkit.algorithms import Method, gradient
from vi_toolkit.datasets import EIGHT_SCHOOLS, EIGHT_SCHOOLS_EFFECTS, EIGHT_SCHOOLS_SES
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.guides import FullRankNormal, MeanFieldNormal, NormalMixture
from vi_toolkit.objectives import ForwardKL, ReverseKL
from vi_toolkit.targets import from_numpyro


@dataclass(frozen=True)
class Sizes:
    """How much the demonstration computes.

    Example:
        >>> from vi_toolkit.demo import Sizes
        >>> Sizes().max_steps
        20000
    """

    max_steps: int = 20_000
    num_draws: int = 4000  # for each diagnosis
    num_tree_draws: int = 1000
    num_exact_draws: int = 10_000  # for forward KL from draws of p
    num_warmup: int = 1000  # of the NUTS reference, for each of its chains
    num_chain_draws: int = 4000


@dataclass(frozen=True, eq=False)
class Problem:
    """One posterior of the demonstration, and what is fitted to it.

    Example:
        >>> import jax
        >>> from vi_toolkit.demo import Sizes, two_modes
        >>> two_modes(jax.random.key(0), Sizes()).reference.dim
        2
    """

    name: str
    title: str
    question: str
    reference: ExactPosterior
    methods: Mapping[str, Method]
    dims: Mapping[str, Sequence[str]]
    coords: Mapping[str, Sequence[str]]


def diabetes(key: Key, sizes: Sizes) -> Problem:
    """Progression of diabetes after a year against ten measurements, standardised; noise sd set to the residuals'.

    Example:
        >>> import jax
        >>> from vi_toolkit.demo import Sizes, diabetes
        >>> diabetes(jax.random.key(0), Sizes()).reference.dim
        10
    """
    from sklearn.datasets import load_diabetes  # an extra, and only this needs it

    data = load_diabetes()
    X = (data.data - data.data.mean(axis=0)) / data.data.std(axis=0)
    y = data.target - data.target.mean()
    residuals = y - X @ np.linalg.lstsq(X, y)[0]
    noise_sd = float(np.sqrt(residuals @ residuals / (len(y) - X.shape[1] - 1)))
    posterior = exact.linear_regression(X, y, noise_sd=noise_sd, prior_sd=100.0)
    draws = posterior.sample(key, sizes.num_exact_draws)
    return Problem(
        name="diabetes",
        title="Diabetes: a regression whose posterior is known in closed form",
        question=(
            "442 patients; the response is the progression of the disease after a year, in points, less its mean;"
            " the 10 predictors are standardised, the prior of each coefficient is Normal(0, 100), the noise sd "
            f"is {noise_sd:.1f} points. The posterior is normal, so a full-rank normal can be exact, in both "
            "directions. A mean-field one cannot: s1 and s2 are strongly correlated. Reverse KL makes it too "
            "narrow; forward KL gets every marginal right and covers far more of the space than p does. Forward "
            "KL uses exact draws of p here."
        ),
        reference=posterior,
        methods={
            "full-rank, reverse KL": gradient(FullRankNormal(), ReverseKL()),
            "full-rank, forward KL": gradient(FullRankNormal(), ForwardKL(draws)),
            "mean-field, reverse KL": gradient(MeanFieldNormal(), ReverseKL()),
            "mean-field, forward KL": gradient(MeanFieldNormal(), ForwardKL(draws)),
        },
        dims={"beta": ["predictor"]},
        coords={"predictor": list(data.feature_names)},
    )


def eight_schools_model(ses: Any, effects: Any = None) -> None:
    """theta_j = mu + tau * standard_j;  effect_j ~ Normal(theta_j, se_j), non-centred.

    Example:
        >>> from vi_toolkit import datasets, demo
        >>> from vi_toolkit.targets import from_numpyro
        >>> from_numpyro(demo.eight_schools_model, datasets.EIGHT_SCHOOLS_SES, datasets.EIGHT_SCHOOLS_EFFECTS).dim
        10
    """
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("school", len(ses)):
        standard = numpyro.sample("standard", dist.Normal(0.0, 1.0))
        theta = numpyro.deterministic("theta", mu + tau * standard)
        numpyro.sample("effects", dist.Normal(theta, ses), obs=effects)


def eight_schools(key: Key, sizes: Sizes) -> Problem:
    """Effects of coaching in eight schools: a hierarchical model, against a long run of NUTS.

    Example:
        >>> from vi_toolkit.demo import eight_schools
        >>> eight_schools.__name__  # its reference takes NUTS a while
        'eight_schools'
    """
    target = from_numpyro(eight_schools_model, EIGHT_SCHOOLS_SES, EIGHT_SCHOOLS_EFFECTS)
    reference = exact.reference(key, target, num_warmup=sizes.num_warmup, num_draws=sizes.num_chain_draws)
    return Problem(
        name="eight-schools",
        title="Eight schools: a hierarchical model, held against a long run of NUTS",
        question=(
            "The effect of coaching on a test in eight schools, in points, with standard errors of 9 to 18. mu is"
            " the mean effect, tau the spread between schools, theta_j = mu + tau * standard_j the effect in "
            f"school j. The posterior has no closed form; the reference is a {reference.how}. Forward KL works by "
            "importance weights here."
        ),
        reference=reference,
        methods={
            "full-rank, reverse KL": gradient(FullRankNormal(), ReverseKL()),
            "full-rank, forward KL": gradient(FullRankNormal(), ForwardKL()),
            "mean-field, reverse KL": gradient(MeanFieldNormal(), ReverseKL()),
        },
        dims={},
        coords={"school": list(EIGHT_SCHOOLS)},
    )


def two_modes(key: Key, sizes: Sizes) -> Problem:
    """A mixture of two normals in the plane.

    Example:
        >>> import jax
        >>> from vi_toolkit.demo import Sizes, two_modes
        >>> two_modes(jax.random.key(0), Sizes()).reference.mode_weights.round(3)
        array([0.4, 0.6])
    """
    covariances = [[[1.0, 0.6], [0.6, 1.0]], [[1.0, -0.5], [-0.5, 0.8]]]
    return Problem(
        name="two-modes",
        title="Two modes: where the directions part",
        question=(
            "A mixture of two normals with weights 0.4 and 0.6. One normal cannot be both: reverse KL seeks one "
            "mode and leaves the other out, forward KL covers both and puts mass between them, where there is "
            "none. A mixture of two normals as the guide is exact. Note that the fit to one mode looks fine from "
            "inside: nearly all of its draws are effective."
        ),
        reference=exact.gaussian_mixture([0.4, 0.6], [[-2.5, -2.0], [2.5, 2.0]], covariances),
        methods={
            "one normal, reverse KL": gradient(FullRankNormal(), ReverseKL()),
            "one normal, forward KL": gradient(FullRankNormal(), ForwardKL()),
            "two normals, reverse KL": gradient(NormalMixture(2), ReverseKL()),
        },
        dims={},
        coords={},
    )
