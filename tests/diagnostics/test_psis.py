import numpy as np
import pytest

from vi_toolkit.diagnostics import smooth


def pareto_log_weights(index: float, size: int = 4000) -> np.ndarray:
    """Log weights w = u^-index at evenly spread u, in no order: their tail is generalised Pareto of that index."""
    u = (np.arange(size) + 0.5) / size
    return np.random.default_rng(0).permutation(-index * np.log(u))


def mean_field_log_weights(correlation: float, generator: np.random.Generator, size: int = 4000) -> np.ndarray:
    """At draws of q = N(0, (1 - rho^2) I), the reverse-KL mean field of p = N(0, [[1, rho], [rho, 1]])."""
    variance = 1 - correlation**2
    z = np.sqrt(variance) * generator.standard_normal((size, 2))
    precision = np.array([[1, -correlation], [-correlation, 1]]) / variance
    return -0.5 * np.einsum("ni,ij,nj->n", z, precision, z) + 0.5 * (z**2).sum(axis=1) / variance


@pytest.mark.parametrize("index", [0.2, 0.5, 0.8, 1.2])
def test_khat_is_the_index_of_a_pareto_tail(index):
    num_tail = np.floor(3 * np.sqrt(4000))
    shrunk = (num_tail * index + 10 * 0.5) / (num_tail + 10)  # a prior worth ten draws at one half
    assert smooth(pareto_log_weights(index)).khat == pytest.approx(shrunk, abs=0.06)


@pytest.mark.parametrize("correlation", [0.3, 0.6, 0.8])
def test_khat_is_the_correlation_at_the_mean_field_optimum(correlation):
    generator = np.random.default_rng(1)
    khats = [smooth(mean_field_log_weights(correlation, generator)).khat for _ in range(20)]
    # the estimate is shrunk and slow to reach its limit: about 0.06 low at 0.8
    assert np.mean(khats) == pytest.approx(correlation, abs=0.1)


def test_the_sign_matters():
    log_weights = pareto_log_weights(0.8)
    assert smooth(log_weights).khat > 0.7
    assert smooth(-log_weights).khat < 0  # 1 / w is bounded


def test_a_common_constant_does_not_matter():
    log_weights = pareto_log_weights(0.6)
    assert smooth(log_weights + 1234.0).khat == pytest.approx(smooth(log_weights).khat, abs=1e-9)
    np.testing.assert_allclose(smooth(log_weights + 1e3).log_weights, smooth(log_weights).log_weights, atol=1e-9)


def test_smoothed_weights():
    log_weights = pareto_log_weights(0.9)
    smoothed = smooth(log_weights).log_weights
    order = np.argsort(log_weights)
    num_tail = int(np.floor(3 * np.sqrt(4000)))
    assert np.exp(smoothed).sum() == pytest.approx(1.0, abs=1e-12)
    assert (np.diff(smoothed[order]) >= 0).all()  # the order is kept
    body = order[:-num_tail]
    np.testing.assert_allclose(np.ptp(smoothed[body] - log_weights[body]), 0.0, atol=1e-9)  # only the tail moves
    # no smoothed weight exceeds the largest raw one
    assert smoothed.max() - smoothed[body[0]] <= log_weights.max() - log_weights[body[0]] + 1e-12


def test_constant_weights_are_as_good_as_it_gets():
    khat, log_weights = smooth(np.full(100, -7.0))[::-1]
    assert khat == -np.inf
    np.testing.assert_allclose(log_weights, -np.log(100))


def test_weights_that_differ_by_rounding_alone_are_constant():
    noise = 1e-6 * np.random.default_rng(0).standard_normal(1000)
    assert smooth(noise, rounding=1e-5).khat == -np.inf
    assert smooth(noise).khat > -np.inf


def test_ties_from_coarse_digits_are_broken():
    fine = pareto_log_weights(0.3)
    coarse = np.round(fine, 1)  # about a third of the tail is tied
    assert smooth(coarse, rounding=0.1).khat == pytest.approx(smooth(fine).khat, abs=0.1)


def test_an_upper_end_that_was_seen_often_is_no_tail():
    """Weights of few values, as those of a discrete q: lumps, in which a Pareto tail would be found by accident."""
    generator = np.random.default_rng(5)
    log_weights = generator.choice([-1.0, -0.2, 0.0, 0.4, 0.9], size=4000, p=[0.3, 0.3, 0.2, 0.19, 0.01])
    khat, smoothed = smooth(log_weights, rounding=1e-12)[::-1]
    assert khat == -np.inf
    np.testing.assert_allclose(np.exp(smoothed), np.exp(log_weights) / np.exp(log_weights).sum(), rtol=1e-12)
    heavy = np.append(pareto_log_weights(0.9), np.full(4, 30.0))  # four are not enough
    assert smooth(heavy).khat > 0.7


def test_largest_weights_all_the_same():
    log_weights = np.where(np.arange(1000) < 300, 0.0, -1.0)
    khat, smoothed = smooth(log_weights)[::-1]
    assert khat == -np.inf
    np.testing.assert_allclose(smoothed[0], -np.log(300 + 700 * np.exp(-1)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_one_unusable_weight(bad):
    log_weights = pareto_log_weights(0.2)
    log_weights[5] = bad
    khat, smoothed = smooth(log_weights)[::-1]
    assert khat == np.inf
    assert np.exp(smoothed).sum() == pytest.approx(1.0)
    assert np.exp(smoothed[5]) == (1.0 if bad == np.inf else 0.0)


def test_a_share_of_zeros_is_allowed():
    log_weights = pareto_log_weights(0.2)
    zero = np.arange(4000) % 4 == 0
    khat, smoothed = smooth(np.where(zero, -np.inf, log_weights))[::-1]
    assert khat < 0.5
    assert (np.exp(smoothed[zero]) == 0).all()
    assert np.exp(smoothed).sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    "log_weights",
    [
        1e4 * np.random.default_rng(0).standard_normal(4000),  # one draw carries everything
        np.where(np.arange(4000) < 40, np.linspace(0, 1, 4000), -np.inf),  # nearly all zero
        np.full(4000, -np.inf),
    ],
)
def test_no_usable_tail(log_weights):
    khat, smoothed = smooth(log_weights)[::-1]
    assert khat == np.inf
    assert np.exp(smoothed).sum() == pytest.approx(1.0)


@pytest.mark.parametrize("size", [1, 10, 24])
def test_too_few_draws(size):
    with pytest.raises(ValueError, match="num_draws: expected at least 25"):
        smooth(np.zeros(size))


def test_how_many_draws_are_enough():
    log_weights = np.random.default_rng(0).standard_normal(30)
    assert np.isfinite(smooth(log_weights).khat)
    assert smooth(log_weights[:29]).khat == np.inf  # a tail of five is too short for its quartile
    assert smooth(np.zeros(25)).khat == -np.inf


def test_wrong_shape():
    with pytest.raises(ValueError, match="log_weights: expected shape"):
        smooth(np.zeros((5, 5)))
