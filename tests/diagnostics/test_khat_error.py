import numpy as np
import pytest

from vi_toolkit.diagnostics import smooth
from vi_toolkit.diagnostics.weights.khat_error import khat_error, khat_with_error, parameter_khats


def normal_log_weights(variance: float, seed: int, size: int = 4000, dim: int = 1) -> np.ndarray:
    """q = N(0, v I), p = N(0, I): the tail index is 1 - v for v < 1, and -2 / dim (w has an upper end) else."""
    z = np.sqrt(variance) * np.random.default_rng(seed).standard_normal((size, dim))
    return 0.5 * (1 / variance - 1) * (z**2).sum(axis=1)


@pytest.mark.parametrize(
    ("variance", "dim", "size"),
    [(0.9, 1, 4000), (0.7, 4, 4000), (0.5, 1, 4000), (0.3, 1, 1000), (0.1, 1, 4000), (1.5, 4, 4000), (1.5, 2, 4000)],
)
def test_the_error_of_khat_is_its_spread_over_repetitions(variance, dim, size):
    """The error of a spread over 100 repetitions is 7 %, and the formula's own deviation about a tenth."""
    found = [khat_with_error(normal_log_weights(variance, seed, size, dim)) for seed in range(100)]
    khats, ses = np.array(found).T
    assert np.sqrt((ses**2).mean()) == pytest.approx(khats.std(ddof=1), rel=0.3)


@pytest.mark.slow
@pytest.mark.parametrize("size", [200, 1000, 4000])
@pytest.mark.parametrize("variance", [0.9, 0.7, 0.5, 0.3, 0.1])
def test_the_error_of_khat_over_a_table(variance, size):
    """400 repetitions: 3.5 %. With 200 draws the tail is 40 of them, and the error is too small by up to a quarter."""
    khats, ses = np.array([khat_with_error(normal_log_weights(variance, seed, size)) for seed in range(400)]).T
    ratio = khats.std(ddof=1) / np.sqrt((ses**2).mean())
    assert 0.85 < ratio < (1.35 if size == 200 else 1.2)


def test_khat_with_error_is_that_of_smooth():
    log_weights = normal_log_weights(0.5, 0)
    khat = khat_with_error(log_weights)
    assert khat.value == smooth(log_weights).khat
    assert khat.se == khat_error(khat.value, 4000)
    # m = 3 sqrt(4000) = 189 draws, of a k-hat in which ten more at one half are counted
    raw = (khat.value * 199 - 5) / 189
    assert khat.se == pytest.approx((1 + raw) / np.sqrt(189) * 189 / 199)


@pytest.mark.parametrize("log_weights", [np.zeros(100), np.full(100, -np.inf), np.r_[np.zeros(99), np.nan]])
def test_an_infinite_khat_has_no_error(log_weights):
    khat = khat_with_error(log_weights)
    assert np.isinf(khat.value)
    assert khat.se == 0.0


def test_more_draws_make_khat_more_certain():
    assert khat_error(0.5, 16_000) == pytest.approx(khat_error(0.5, 1000) / 2, rel=0.1)  # tails of 379 and 94


@pytest.mark.parametrize("degrees", [2.2, 2.5])
def test_a_heavy_tailed_q_of_bounded_weights(degrees):
    """q Cauchy, p Student-t of nu degrees: w is bounded, and z^2 w ~ |z|^(3 - nu) has the index 3 - nu under q."""
    found, of_weights = [], []
    for seed in range(20):
        z = np.random.default_rng(seed).standard_cauchy((4000, 1))
        log_weights = (-0.5 * (degrees + 1) * np.log1p(z**2 / degrees) + np.log1p(z**2))[:, 0]
        found.append(parameter_khats(z, log_weights)[0])
        of_weights.append(smooth(log_weights).khat)
    assert np.mean(of_weights) < -1.0
    assert np.mean(found) == pytest.approx(3 - degrees, abs=5 * np.std(found) / np.sqrt(20))


def test_light_tails_leave_the_weights_to_decide():
    """In the first coordinate q = N(0, 1/2), p = N(0, 1); the second is the same under both, and independent."""
    found, of_weights = [], []
    for seed in range(20):
        z = np.random.default_rng(seed).standard_normal((4000, 2)) * [np.sqrt(0.5), 1.0]
        found.append(parameter_khats(z, 0.5 * z[:, 0] ** 2))
        of_weights.append(smooth(0.5 * z[:, 0] ** 2).khat)
    assert (np.array(found) >= np.array(of_weights)[:, None]).all()
    assert np.mean(found, axis=0)[1] == pytest.approx(0.5, abs=0.1)
    assert 0.5 < np.mean(found, axis=0)[0] < 0.7  # the square makes the index 1/2 times a logarithm


def test_parameter_khats_do_not_depend_on_units():
    z = np.random.default_rng(0).standard_t(5, size=(1000, 2))
    log_weights = 0.1 * z[:, 0]
    np.testing.assert_allclose(
        parameter_khats(1e6 + 1e-3 * z, log_weights + 700.0), parameter_khats(z, log_weights), atol=1e-5
    )


def test_parameter_khats_where_nothing_can_be_weighed():
    z = np.random.default_rng(0).standard_normal((100, 2))
    np.testing.assert_array_equal(parameter_khats(z, np.r_[np.zeros(99), np.nan]), np.inf)
    np.testing.assert_array_equal(parameter_khats(z, np.full(100, -np.inf)), np.inf)
    np.testing.assert_array_equal(parameter_khats(np.ones((100, 1)), np.zeros(100)), -np.inf)
    z[3, 1] = np.inf
    assert parameter_khats(z, np.zeros(100))[1] == np.inf


def test_bad_shapes():
    with pytest.raises(ValueError, match=r"draws: expected shape \(100, dim\)"):
        parameter_khats(np.zeros((99, 2)), np.zeros(100))
    with pytest.raises(ValueError, match="num_draws: expected at least 25"):
        khat_with_error(np.zeros(10))
