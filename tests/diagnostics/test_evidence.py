import jax
import numpy as np
import numpyro.distributions as dist
import pytest

from vi_toolkit.diagnostics import bridge, effective_draws, elbo, forward_kl, log_evidence, nearly_even, reverse_kl
from vi_toolkit.diagnostics.weights.evidence import correlated_error

LOG_Z = 3.0


def log_weights(z: np.ndarray, mean: float, sd: float) -> np.ndarray:
    """log p~ - log q with p = N(0, 1), Z = e^3, and q = N(mean, sd^2)."""
    return LOG_Z - 0.5 * z**2 + 0.5 * ((z - mean) / sd) ** 2 + np.log(sd)


def draws_of_q(seed: int, size: int = 2000, mean: float = 0.3, sd: float = 0.8) -> np.ndarray:
    return log_weights(mean + sd * np.random.default_rng(seed).standard_normal(size), mean, sd)


def draws_of_p(seed: int, size: int = 2000, mean: float = 0.3, sd: float = 0.8) -> np.ndarray:
    return log_weights(np.random.default_rng(seed).standard_normal(size), mean, sd)


def kl(mean_a: float, sd_a: float, mean_b: float, sd_b: float) -> float:
    return float(dist.kl_divergence(dist.Normal(mean_a, sd_a), dist.Normal(mean_b, sd_b)))


REVERSE, FORWARD = kl(0.3, 0.8, 0.0, 1.0), kl(0.0, 1.0, 0.3, 0.8)


def assert_calibrated(estimates, truth: float) -> None:
    """The estimates are unbiased, and their standard errors are the size of their spread."""
    values, ses = np.array([[e.value, e.se] for e in estimates]).T
    spread = values.std(ddof=1)
    assert abs(values.mean() - truth) < 5 * spread / np.sqrt(len(values))
    assert np.sqrt((ses**2).mean()) == pytest.approx(spread, rel=5 / np.sqrt(2 * len(values)))


def test_elbo_and_its_error():
    assert_calibrated([elbo(draws_of_q(seed)) for seed in range(200)], LOG_Z - REVERSE)


def test_log_evidence_and_its_error():
    assert_calibrated([log_evidence(draws_of_q(seed)) for seed in range(200)], LOG_Z)


def test_reverse_kl_and_its_error():
    assert_calibrated([reverse_kl(draws_of_q(seed), LOG_Z) for seed in range(200)], REVERSE)


def test_forward_kl_and_its_error():
    assert_calibrated([forward_kl(draws_of_p(seed), LOG_Z) for seed in range(200)], FORWARD)


def test_an_uncertain_evidence_adds_to_the_error():
    known, unknown = reverse_kl(draws_of_q(0), LOG_Z), reverse_kl(draws_of_q(0), LOG_Z, 0.5)
    assert unknown.se == pytest.approx(np.hypot(known.se, 0.5))


def test_bridge_and_its_error():
    assert_calibrated([bridge(draws_of_p(seed), draws_of_q(seed + 1000)) for seed in range(200)], LOG_Z)


def test_bridge_with_unequal_numbers_of_draws():
    assert_calibrated([bridge(draws_of_p(s, 300), draws_of_q(s + 1000, 3000)) for s in range(200)], LOG_Z)


def test_bridge_is_the_fixed_point_of_the_iteration():
    """Meng and Wong's own iteration, written out."""
    at_p, at_q = np.exp(draws_of_p(0, 500)), np.exp(draws_of_q(1, 800))
    share = 500 / 1300
    z = 1.0
    for _ in range(200):
        z = (at_q / (share * at_q + (1 - share) * z)).mean() / (1 / (share * at_p + (1 - share) * z)).mean()
    assert bridge(np.log(at_p), np.log(at_q)).value == pytest.approx(np.log(z), abs=1e-9)


def chain(seed: int, size: int = 4000, memory: float = 0.9) -> np.ndarray:
    """An AR(1) chain whose stationary law is p = N(0, 1); its draws are worth (1 - a) / (1 + a) of their number."""
    noise = np.random.default_rng(seed).standard_normal(size)
    z = np.empty(size)
    z[0] = noise[0]
    for i in range(1, size):
        z[i] = memory * z[i - 1] + np.sqrt(1 - memory**2) * noise[i]
    return z


def test_the_error_of_correlated_draws():
    means = [chain(seed).mean() for seed in range(200)]
    errors = [float(correlated_error(chain(seed))) for seed in range(200)]
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(means), rel=0.25)
    assert np.mean(errors) > 3 * 1 / np.sqrt(4000)  # independent draws would have a quarter of the error


def test_bridge_with_correlated_draws():
    at_p = [log_weights(chain(seed), 0.3, 0.8) for seed in range(100)]
    estimates = [bridge(w, draws_of_q(seed + 1000), correlated=True) for seed, w in enumerate(at_p)]
    values, ses = np.array(estimates).T
    assert abs(values.mean() - LOG_Z) < 5 * values.std() / 10
    assert np.sqrt((ses**2).mean()) == pytest.approx(values.std(), rel=0.35)


def test_bridge_where_q_misses_much_of_p():
    """q sits on one of two modes that overlap little: importance sampling is off, the bridge is not."""
    generator = np.random.default_rng(0)
    at = lambda z: np.logaddexp(-0.5 * (z - 2) ** 2, -0.5 * (z + 2) ** 2) + 0.5 * (z - 2) ** 2  # noqa: E731
    p = generator.standard_normal(20_000) + generator.choice([-2, 2], 20_000)
    q = generator.standard_normal(20_000) + 2
    estimate = bridge(at(p), at(q))
    assert abs(estimate.value - np.log(2)) < 5 * estimate.se
    assert estimate.se < 0.05


def test_q_equal_to_p_has_no_error():
    exact = np.full(100, LOG_Z)
    for estimate in (elbo(exact), log_evidence(exact), bridge(exact, exact)):
        assert estimate == pytest.approx((LOG_Z, 0.0), abs=1e-12)
    assert effective_draws(exact) == pytest.approx(100)


def test_effective_draws():
    weights = np.array([1.0, 2.0, 3.0])
    assert effective_draws(np.log(weights) - 700) == pytest.approx(36 / 14)
    assert effective_draws([0.0, -np.inf]) == pytest.approx(1.0)
    assert effective_draws([-np.inf, -np.inf]) == 0.0
    assert effective_draws([0.0, np.nan]) == 0.0


def test_draws_where_p_is_zero():
    half = [np.log(2.0), -np.inf] * 50
    assert elbo(half) == (-np.inf, np.inf)
    assert log_evidence(half).value == pytest.approx(0.0)
    assert log_evidence([-np.inf] * 3) == (-np.inf, np.inf)
    assert np.isnan(log_evidence([np.nan, 0.0]).value)


def test_bridge_says_so_where_there_is_no_overlap():
    assert np.isnan(bridge([0.0, 0.0], [-np.inf, -np.inf]).value)
    with pytest.raises(ValueError, match="log_weights_q: expected at least two"):
        bridge([0.0, 0.0], [np.nan, 1.0])


def test_elbo_of_jax_arrays_is_computed_in_float64():
    values = jax.numpy.asarray(draws_of_q(0), jax.numpy.float32) + 1e4
    assert elbo(values).value == pytest.approx(np.asarray(values, np.float64).mean(), abs=1e-9)


@pytest.mark.parametrize(
    ("sd", "even"),
    [
        (0.0, True),
        (0.2, True),  # D(q||p) = sd^2 / 2 = 0.02, and exp(-sd^2) = 96 % effective
        (0.25, False),  # 94 % effective
        (0.35, False),  # D = 0.06
    ],
)
def test_weights_that_are_nearly_all_alike(sd, even):
    log_weights = sd * np.random.default_rng(0).normal(size=100_000) + 7.0
    assert nearly_even(log_weights) is even
    for bad in (-np.inf, np.nan, np.inf):
        assert not nearly_even(np.append(log_weights, bad))


def test_draws_where_p_is_next_to_nothing_are_not_even():
    """0.5 % of log weights at -20: 99.5 % of the draws are effective, but D(q||p) = 0.1 + log 0.995."""
    log_weights = np.where(np.arange(20_000) < 100, -20.0, 0.0)
    assert effective_draws(log_weights) > 0.99 * 20_000
    assert not nearly_even(log_weights)
