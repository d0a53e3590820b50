"""Monte Carlo against closed forms and quadrature, over many keys: are the standard errors honest?

A standard normal number is beyond five with a probability of 6e-7, so that none of 100 is expected to be; the spread
of 100 of them lies within 1 +- 0.25, and their mean within +- 0.5, but for once in thousands of times.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import vi_toolkit as vi
from vi_toolkit import information
from vi_toolkit.information import _functionals as functionals
from vi_toolkit.information._measure import _by_quadrature
from vi_toolkit.information._monte_carlo import from_draws_of_both, from_weights

NUM_KEYS, NUM_DRAWS, MISSES = 100, 2000, 0
LINE = (dist.Normal(0.0, 1.0), dist.Laplace(0.3, 0.9))
SPACE = (
    dist.MultivariateNormal(jnp.zeros(3), jnp.eye(3)),
    dist.MultivariateNormal(jnp.array([0.4, 0.0, -0.2]), jnp.diag(jnp.array([1.2, 0.9, 1.1]))),
)
COUNTS = (dist.Poisson(3.0), dist.NegativeBinomial2(3.5, 6.0))
PAIRS = {"line": LINE, "counts": COUNTS}
MEASURES = {
    "entropy": (functionals.ENTROPY, lambda p, q, **how: information.entropy(p, **how)),
    "cross-entropy": (functionals.CROSS_ENTROPY, information.cross_entropy),
    "KL": (functionals.KL, information.kl_divergence),
    "Jeffreys": (functionals.JEFFREYS, information.jeffreys),
    "Jensen-Shannon": (functionals.JENSEN_SHANNON, information.jensen_shannon),
    "Renyi of order 1/2": (
        functionals.renyi_divergence(0.5),
        lambda p, q, **how: information.renyi_divergence(p, q, order=0.5, **how),
    ),
    "Renyi of order 2": (
        functionals.renyi_divergence(2.0),
        lambda p, q, **how: information.renyi_divergence(p, q, order=2.0, **how),
    ),
    "Tsallis of order 3/2": (
        functionals.tsallis_divergence(1.5),
        lambda p, q: information.tsallis_divergence(p, q, order=1.5),
    ),
    "Renyi entropy": (functionals.renyi_entropy(2.0), lambda p, q: information.renyi_entropy(p, order=2.0)),
    "chi-square": (functionals.CHI_SQUARE, information.chi_square),
    "Hellinger": (functionals.HELLINGER, information.hellinger),
    "total variation": (functionals.TOTAL_VARIATION, information.total_variation),
}


def check_honest(estimate, truth):
    """``estimate(key)`` over many keys: within five standard errors, without bias, and as spread as they say."""
    found = [estimate(key) for key in jax.random.split(jax.random.key(1), NUM_KEYS)]
    z = np.array([(each.value - truth) / each.se for each in found])
    assert np.sum(np.abs(z) > 5.0) <= MISSES, z
    assert 0.75 < z.std() < 1.25, z.std()
    assert abs(z.mean()) < 0.5, z.mean()
    return found


def slow_but(quick, cases):
    """All cases, marked as slow but for some."""
    return [case if case in quick else pytest.param(*case, marks=pytest.mark.slow) for case in cases]


QUICK = [("KL", "line"), ("entropy", "line"), ("Renyi of order 2", "line"), ("KL", "counts"), ("Hellinger", "counts")]


@pytest.mark.parametrize(("name", "kind"), slow_but(QUICK, [(name, kind) for name in MEASURES for kind in PAIRS]))
def test_draws_of_both(name, kind):
    pair = PAIRS[kind]
    functional, measure = MEASURES[name]
    truth = measure(*pair)
    assert truth.route != "Monte Carlo"
    found = check_honest(lambda key: from_draws_of_both(functional, *pair, key, NUM_DRAWS), truth.value)
    assert found[0].route == "Monte Carlo, 2,000 draws"


@pytest.mark.parametrize("name", ["KL", "Renyi of order 1/2", "chi-square"])
def test_draws_of_both_in_three_dimensions(name):
    functional, measure = MEASURES[name]
    truth = measure(*SPACE)
    assert truth.route == "closed form"
    check_honest(lambda key: from_draws_of_both(functional, *SPACE, key, NUM_DRAWS), truth.value)


def normal_density(z):
    """exp(1.7) times the density of SPACE's first."""
    return 1.7 - 0.5 * jnp.sum(z**2) - 1.5 * jnp.log(2 * jnp.pi)


def truth_of(measure, p, q):
    """In closed form, or by a run so long that its own error is a small part of the others'."""
    return measure(p, q, key=jax.random.key(9), num_draws=1_000_000).value


WEIGHED = ["cross-entropy", "KL", "Jeffreys", "Jensen-Shannon", "Renyi of order 2", "Hellinger", "total variation"]


@pytest.mark.parametrize(
    ("name", "log_evidence"), slow_but([("KL", None)], [(name, known) for name in WEIGHED for known in (None, 1.7)])
)
def test_weights(name, log_evidence):
    functional, measure = MEASURES[name]
    target = vi.from_log_density(normal_density, dim=3, log_evidence=log_evidence)
    p, q = SPACE
    truth, back = truth_of(measure, p, q), truth_of(measure, q, p)
    check_honest(lambda key: from_weights(functional, target, q, key, NUM_DRAWS), truth)
    found = check_honest(lambda key: from_weights(functional, q, target, key, NUM_DRAWS), back)
    assert ("self-normalised" in found[0].route) == (log_evidence is None)
    assert "of 2,000 draws effective" in found[0].route


@pytest.mark.slow
def test_weights_on_the_line_against_quadrature():
    target = vi.from_log_density(lambda z: -jnp.log(jnp.cosh(z[0])) + 0.3, dim=1)  # a hyperbolic secant
    q = dist.Normal(jnp.zeros(1), 2.0).to_event(1)
    for pair in ((target, q), (q, target)):
        truth = _by_quadrature(functionals.KL, *pair).value
        check_honest(lambda key, pair=pair: from_weights(functionals.KL, *pair, key, NUM_DRAWS), truth)


def test_the_identity_of_one_set_of_draws():
    parts = information.decompose(SPACE[0], dist.MultivariateStudentT(5.0, jnp.zeros(3), jnp.eye(3)),
                                  key=jax.random.key(0))  # fmt: skip
    assert parts.entropy.route == "Monte Carlo, 10,000 draws"
    assert abs(parts.residual) < 1e-12
    assert parts.kl_divergence.se < parts.cross_entropy.se
    alone = information.kl_divergence(SPACE[0], dist.MultivariateStudentT(5.0, jnp.zeros(3), jnp.eye(3)),
                                      key=jax.random.key(1))  # fmt: skip
    both = np.hypot(alone.se, parts.kl_divergence.se)
    assert abs(alone.value - parts.kl_divergence.value) < 5 * both


def test_impossible_draws_make_it_infinite_and_certain():
    p, q = dist.Normal(jnp.zeros(3), 1.0).to_event(1), dist.Uniform(-jnp.ones(3), 1.0).to_event(1)
    found = information.kl_divergence(p, q, key=jax.random.key(0))
    assert (found.value, found.se) == (np.inf, 0.0)
    assert information.jensen_shannon(p, q, key=jax.random.key(0)).value < np.log(2)
    assert information.kl_divergence(q, p, key=jax.random.key(0)).value == pytest.approx(
        3 * information.kl_divergence(dist.Uniform(-1.0, 1.0), dist.Normal(0.0, 1.0)).value, rel=0.05
    )


def test_far_apart_in_many_dimensions():
    """log of an integral that underflows: 5-D Laplaces 200 scales apart. I = prod e^(-d/2) (1 + d/2)."""
    p, q = dist.Laplace(jnp.zeros(5), 1.0).to_event(1), dist.Laplace(jnp.full(5, 400.0), 1.0).to_event(1)
    found = information.renyi_divergence(p, q, order=0.5, key=jax.random.key(0))
    assert 500.0 < found.value < np.inf
    assert information.hellinger(p, q, key=jax.random.key(0)).value == pytest.approx(1.0)


@pytest.mark.float32
def test_float32():
    found = [from_draws_of_both(functionals.KL, *SPACE, key, NUM_DRAWS) for key in jax.random.split(jax.random.key(1))]
    truth = information.kl_divergence(*SPACE).value
    assert all(abs(each.value - truth) < 5 * each.se for each in found)
