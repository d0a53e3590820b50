"""Every valid pair of a loss and an estimator: the mean of many gradients is the exact one, by quadrature and autodiff.

Each gradient is made of as few draws as the estimator takes. What is known to be biased is held against its theory.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import vi_toolkit as vi
from tests.compilations import jit
from tests.registry import GENERATORS
from vi_toolkit.estimators import Shape

COUNT = 100_000
KEYS = jax.random.split(jax.random.key(0), COUNT)
GRID = jnp.linspace(-9.0, 9.0, 4001)[:, None]
COARSE = jnp.linspace(-7.0, 7.0, 281)[:, None]  # for two draws at once
NORMAL = vi.MeanFieldNormal(), {"location": jnp.array([0.4]), "log_scale": jnp.array([-0.1])}
MIXTURE = (
    vi.NormalMixture(2, covariance=vi.MeanFieldNormal()),
    {
        "log_weights": jnp.array([0.3, -0.2]),
        "components": {"location": jnp.array([[-0.5], [0.8]]), "log_scale": jnp.array([[-0.1], [0.1]])},
    },
)
ONE, TWO = Shape(False, True, None), Shape(False, True, 2)
PLAIN = vi.estimators.independent


def log_p_tilde(z):
    """A skewed bump whose tails are those of a normal, times exp(1.3)."""
    return 1.3 - 0.5 * jnp.sum(z**2) / 0.9 + 0.6 * jnp.sin(1.5 * z[0])


TARGET = vi.from_log_density(log_p_tilde, dim=1)


def integral(values, grid=GRID):
    """The trapezoidal rule, which is exact to rounding for smooth functions that vanish at the ends."""
    return values.sum() * (grid[1, 0] - grid[0, 0])


LOG_EVIDENCE = float(jnp.log(integral(jnp.exp(jax.vmap(log_p_tilde)(GRID)))))


def log_weights_on(guide, params, grid=GRID):
    log_q = guide.distribution(params).log_prob(grid)
    return jax.vmap(log_p_tilde)(grid) - log_q, log_q


def exact_mean(h, guide, params):
    """E_q[h(log p~ - log q)]."""
    log_weights, log_q = log_weights_on(guide, params)
    return integral(jnp.exp(log_q) * h(log_weights))


def exact_pair(of, guide, params):
    """E of a loss of two independent draws of q."""
    log_weights, log_q = log_weights_on(guide, params, COARSE)
    pairs = jnp.stack(jnp.broadcast_arrays(log_weights[:, None], log_weights[None]), -1)
    losses = jax.vmap(jax.vmap(lambda pair: of(pair, jnp.log(jnp.full(2, 0.5)))))(pairs)
    return (jnp.exp(log_q) @ losses @ jnp.exp(log_q)) * (COARSE[1, 0] - COARSE[0, 0]) ** 2


def gradients(estimator, losses, shape, family, num_draws, keys=KEYS):
    """The gradient of every loss at every key, flat: (keys, losses, parameters)."""
    guide, params = family

    def at(params, key):
        return jnp.stack([estimator.estimate(of, shape, key, params, guide, TARGET, num_draws).loss for of in losses])

    flat, unflatten = ravel_pytree(params)
    return by_key(lambda flat, key: at(unflatten(flat), key), flat, keys)


def by_key(losses_at, flat, keys):
    def body(key):
        return jax.jacrev(losses_at)(flat, key)

    return np.asarray(jit(lambda keys: jax.lax.map(body, keys, batch_size=5000))(keys))


def exact_gradients(exacts, family):
    guide, params = family
    flat, unflatten = ravel_pytree(params)
    return np.asarray(
        jit(jax.jacrev(lambda flat: jnp.stack([exact(guide, unflatten(flat)) for exact in exacts])))(flat)
    )


def assert_unbiased(estimates, truths, names):
    """Each within five standard errors, and none without something to be wrong about."""
    errors = estimates.std(0, ddof=1) / np.sqrt(len(estimates))
    gaps = np.abs(estimates.mean(0) - truths)
    for name, gap, error, truth in zip(names, gaps, errors, truths, strict=True):
        assert np.all(gap <= 5 * error + 1e-9), f"{name}: {gap / error} standard errors off {truth}"
        assert np.max(np.abs(truth) / error) > 5, f"{name}: an error of {error} could hide a gradient of {truth}"


def mean_loss(h):
    """The loss that is a mean over draws of h."""
    return lambda log_weights, log_shares: jnp.sum(jnp.exp(log_shares) * h(log_weights))


def normalised(generator):
    return lambda log_weights: generator(log_weights - LOG_EVIDENCE)


SMOOTH = [name for name, generator in GENERATORS.items() if generator.smooth]
LINEAR = {
    "reparameterised": 1,
    "stick_the_landing": 1,
    "closed_form_entropy": 1,
    "doubly_reparameterised": 1,
    "score_function": 2,
}
NOISES = {"antithetic": 2, "quasi_random": 2}


@pytest.mark.parametrize("name", LINEAR)
def test_reverse_kl(name):
    estimator = getattr(vi.estimators, name)
    objective = vi.ReverseKL(estimator)
    estimates = gradients(estimator, [objective.of], objective.shape, NORMAL, LINEAR[name])
    assert_unbiased(estimates, exact_gradients([partial(exact_mean, lambda lw: -lw)], NORMAL), [name])


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("name", ["reparameterised", "doubly_reparameterised", "score_function"])
def test_reverse_kl_by_other_noise(name, noise):
    estimator = getattr(vi.estimators, name).drawing(getattr(vi.estimators, noise))
    objective = vi.ReverseKL(estimator)
    draws = 8 if name == "score_function" else 2
    estimates = gradients(estimator, [objective.of], objective.shape, NORMAL, draws, KEYS[:20_000])
    assert_unbiased(estimates, exact_gradients([partial(exact_mean, lambda lw: -lw)], NORMAL), [name])


@pytest.mark.parametrize("name", ["reparameterised", "doubly_reparameterised", "score_function"])
@pytest.mark.parametrize("family", [NORMAL, MIXTURE], ids=["normal", "mixture"])
def test_f_divergences_of_known_evidence(family, name):
    """Means over draws of f(log u), all generators in one program."""
    estimator = getattr(vi.estimators, name)
    names = SMOOTH if name == "doubly_reparameterised" else list(GENERATORS)
    hs = [normalised(GENERATORS[each]) for each in names]
    draws = 2 if family is MIXTURE or name == "score_function" else 1
    estimates = gradients(estimator, [mean_loss(h) for h in hs], ONE, family, draws, KEYS[:30_000])
    assert_unbiased(estimates, exact_gradients([partial(exact_mean, h) for h in hs], family), names)


PAIRS = {
    "IWAE": vi.IWAE(2),
    "Renyi 0.5": vi.Renyi(0.5, num_importance=2),
    "Renyi 2": vi.Renyi(2, num_importance=2),
    "Renyi -1": vi.Renyi(-1, num_importance=2),
}


@pytest.mark.parametrize("name", ["reparameterised", "doubly_reparameterised", "score_function", "vimco"])
def test_bounds_of_two_draws(name):
    ofs = [objective.of for objective in PAIRS.values()]
    estimates = gradients(getattr(vi.estimators, name), ofs, TWO, NORMAL, 2)
    assert_unbiased(estimates, exact_gradients([partial(exact_pair, of) for of in ofs], NORMAL), PAIRS)


def test_bounds_of_two_draws_by_quasi_random_groups():
    """Independent within a group of two, evenly spread across four groups."""
    ofs = [objective.of for objective in PAIRS.values()]
    estimator = vi.estimators.doubly_reparameterised.drawing(vi.estimators.quasi_random)
    estimates = gradients(estimator, ofs, TWO, NORMAL, 8, KEYS[:20_000])
    assert_unbiased(estimates, exact_gradients([partial(exact_pair, of) for of in ofs], NORMAL), PAIRS)


ORDERS = (0.5, 2.0, -0.2)


@pytest.mark.parametrize("name", ["reparameterised", "doubly_reparameterised"])
def test_the_bias_of_a_logarithm_of_a_mean_is_what_theory_says(name):
    """E log of a mean of K is log m - (E[x^2] / m^2 - 1) / (2 K) + O(1 / K^2); so the bias of the gradient."""
    draws = 64

    def sign(alpha):
        return 1.0 if alpha < 0 else -1.0

    def exact(alpha, share, guide, params):
        power = 1 - alpha
        m = exact_mean(lambda lw: jnp.exp(power * lw), guide, params)
        second = exact_mean(lambda lw: jnp.exp(2 * power * lw), guide, params)
        return sign(alpha) * (jnp.log(m) - share * (second / m**2 - 1) / (2 * draws)) / power

    ofs = [vi.Renyi(alpha).of for alpha in ORDERS]
    estimator = getattr(vi.estimators, name).drawing(PLAIN)
    estimates = gradients(estimator, ofs, ONE, NORMAL, draws, KEYS[:20_000])
    unbiased = exact_gradients([partial(exact, alpha, 0.0) for alpha in ORDERS], NORMAL)
    biased = exact_gradients([partial(exact, alpha, 1.0) for alpha in ORDERS], NORMAL)
    errors = estimates.std(0) / np.sqrt(len(estimates))
    slack = 5 * errors + 0.3 * np.abs(biased - unbiased)  # the next order in 1 / K
    assert np.all(np.abs(estimates.mean(0) - biased) < slack)
    assert np.max(np.abs(estimates.mean(0) - unbiased) / errors) > 5  # the bias is there to be seen


def defensive_losses():
    named = {name: mean_loss(normalised(generator)) for name, generator in GENERATORS.items()}
    return named | {f"order {alpha}": vi.Renyi(alpha).of for alpha in ORDERS}


def defensive_exacts():
    named = {name: partial(exact_mean, normalised(generator)) for name, generator in GENERATORS.items()}
    orders = {}
    for alpha in ORDERS:

        def exact(guide, params, alpha=alpha):
            power = (-1.0 if alpha > 0 else 1.0) / (1 - alpha)
            return power * jnp.log(exact_mean(lambda lw: jnp.exp((1 - alpha) * lw), guide, params))

        orders[f"order {alpha}"] = exact
    return named | orders


@pytest.mark.slow
@pytest.mark.parametrize("family", [NORMAL, MIXTURE], ids=["normal", "mixture"])
def test_the_bias_of_self_normalised_weights_falls_like_one_over_the_draws(family):
    """2 g(2 K) - g(K) has no bias of order 1 / K left, and the bias at K is there to be seen."""
    losses, exacts = defensive_losses(), exact_gradients(list(defensive_exacts().values()), family)
    means, errors, count = {}, {}, 4_000 if family is MIXTURE else 10_000
    for draws, keys in ((16, KEYS[:count]), (32, KEYS[count : 2 * count])):
        estimates = gradients(vi.estimators.defensive, list(losses.values()), ONE, family, draws, keys)
        means[draws], errors[draws] = estimates.mean(0), estimates.std(0) / np.sqrt(len(keys))
    extrapolated = 2 * means[32] - means[16]
    error = np.sqrt(4 * errors[32] ** 2 + errors[16] ** 2)
    left = 0.25 * np.abs(means[32] - means[16])  # of order 1 / K^2
    assert np.all(np.abs(extrapolated - exacts) < 5 * error + left)
    assert np.max(np.abs(means[16] - exacts) / errors[16]) > 10
    for row, each, name in zip(exacts, error, losses, strict=True):
        assert np.max(np.abs(row) / each) > 5, name


@pytest.mark.slow
def test_defensive_draws_may_be_quasi_random():
    """Nearer to the exact gradients, at the same number of draws."""
    losses, exacts = defensive_losses(), exact_gradients(list(defensive_exacts().values()), NORMAL)
    spreads = {}
    for name in ("independent", "quasi_random"):
        estimator = vi.estimators.defensive.drawing(getattr(vi.estimators, name))
        estimates = gradients(estimator, list(losses.values()), ONE, NORMAL, 512, KEYS[:500])
        spreads[name] = estimates.std(0)
        error = spreads[name] / np.sqrt(500)
        assert np.all(np.abs(estimates.mean(0) - exacts) < 5 * error + 0.03 * np.abs(exacts).max(1, keepdims=True))
    assert np.all(spreads["quasi_random"] < 0.6 * spreads["independent"])


def test_the_log_variance_has_the_gradient_of_reverse_kl():
    guide, params = NORMAL
    flat, unflatten = ravel_pytree(params)
    estimates = by_key(lambda flat, key: vi.LogVariance().loss(key, unflatten(flat), guide, TARGET, 2)[0], flat, KEYS)
    truth = exact_gradients([partial(exact_mean, lambda lw: -lw)], NORMAL)
    assert_unbiased(estimates[:, None], truth, ["log variance"])


def test_its_value_is_half_the_variance_of_the_log_weights():
    guide, params = NORMAL
    values = jit(jax.vmap(lambda key: vi.LogVariance().loss(key, params, guide, TARGET, 2)[0]))(KEYS)
    mean = exact_mean(lambda lw: lw, guide, params)
    exact = 0.5 * exact_mean(lambda lw: (lw - mean) ** 2, guide, params)
    assert abs(np.mean(values) - exact) < 5 * np.std(values) / np.sqrt(COUNT)


@pytest.mark.slow
def test_many_draws_give_tail_adaptive_weights_by_their_quantiles():
    """The coefficient at z tends to the tail probability of u there, to minus the power, over its mean.

    The mean of (i / n)^-power over ranks i is off its integral by O(n^-(1 - power)), which two sizes take out.
    """
    guide, params = NORMAL
    flat, unflatten = ravel_pytree(params)
    power = 0.3
    objective = vi.TailAdaptive(power=power)

    def exact(guide, params):
        fixed = jax.lax.stop_gradient(params)
        log_weights, log_q = log_weights_on(guide, fixed)
        share = jnp.exp(log_q) * (GRID[1, 0] - GRID[0, 0])
        at_least = jax.lax.map(lambda lw: jnp.sum(share * (log_weights >= lw)), log_weights)
        coefficients = at_least**-power
        coefficients /= jnp.sum(share * coefficients)
        # the same points, moved with the parameters
        scale = jnp.exp(params["log_scale"] - fixed["log_scale"])
        points = params["location"] + scale * (GRID - fixed["location"])
        moved = jax.vmap(log_p_tilde)(points) - guide.distribution(fixed).log_prob(points)
        return -jnp.sum(share * coefficients * moved)

    means, errors = {}, {}
    for draws, keys in ((256, KEYS[:4_000]), (1024, KEYS[4_000:5_000])):
        loss = partial(lambda n, flat, key: objective.loss(key, unflatten(flat), guide, TARGET, n)[0], draws)
        estimates = by_key(loss, flat, keys)
        means[draws], errors[draws] = estimates.mean(0), estimates.std(0) / np.sqrt(len(keys))
    factor = 4 ** (1 - power)
    extrapolated = (factor * means[1024] - means[256]) / (factor - 1)
    error = np.hypot(factor * errors[1024], errors[256]) / (factor - 1)
    truth = exact_gradients([exact], NORMAL)[0]
    assert np.all(np.abs(extrapolated - truth) < 5 * error + 0.3 * np.abs(means[1024] - truth))
    assert np.max(np.abs(truth) / error) > 20
