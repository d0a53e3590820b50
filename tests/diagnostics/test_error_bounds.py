import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from vi_toolkit.diagnostics.weights._squares import squares
from vi_toolkit.diagnostics.weights.bounds import bracket
from vi_toolkit.diagnostics.weights.error_bounds import ErrorBounds, error_bounds, second_divergence
from vi_toolkit.diagnostics.weights.khat_error import khat_with_error
from vi_toolkit.exact.gallery import EXAMPLES
from vi_toolkit.exact.posterior import ExactPosterior

NUM_DRAWS = 4000


def normal(mean: np.ndarray, covariance: np.ndarray) -> dist.MultivariateNormal:
    return dist.MultivariateNormal(jnp.asarray(mean), jnp.asarray(covariance))


def log_normal(z: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Up to the constant that all dimensions share."""
    root = np.linalg.cholesky(covariance)
    white = np.linalg.solve(root, (z - mean).T)
    return -0.5 * (white**2).sum(axis=0) - np.log(np.diag(root)).sum()


def pair(seed: int) -> tuple[ErrorBounds | None, dict[str, np.ndarray]]:
    """The bounds for two random normals in one to five dimensions, and the errors themselves."""
    rng = np.random.default_rng(seed)
    dim = int(rng.integers(1, 6))
    scale = np.exp(3 * rng.standard_normal(dim))
    tilt = np.eye(dim) + np.tril(0.2 * rng.random() * rng.standard_normal((dim, dim)))
    mean_p = rng.standard_normal(dim)
    mean_q = mean_p + 0.3 * rng.random() * scale * rng.standard_normal(dim)
    root_p = scale[:, None] * tilt
    p, q = root_p @ root_p.T, (1 + 0.3 * rng.random()) * np.diag(scale**2)
    z = mean_q + rng.standard_normal((NUM_DRAWS, dim)) * np.sqrt(np.diag(q))
    log_weights = 7.0 + log_normal(z, mean_p, p) - log_normal(z, mean_q, q)
    sd_p, sd_q = np.sqrt(np.diag(p)), np.sqrt(np.diag(q))
    mean, sd = np.abs(mean_q - mean_p) / sd_q, np.abs(sd_p / sd_q - 1)
    errors = {"mean": mean, "sd": sd, "wasserstein_1": mean, "wasserstein_2": np.hypot(mean, sd)}  # W_1 >= the mean's
    return error_bounds(log_weights, dist.Normal(mean_q, sd_q).to_event(1), z), errors


def violations(seeds: range) -> tuple[int, int]:
    """How many pairs have bounds, and how many bounds do not hold."""
    given = broken = 0
    for seed in seeds:
        bounds, errors = pair(seed)
        if bounds is not None:
            given += 1
            broken += sum(int((errors[name] > getattr(bounds, name)).any()) for name in errors)
    return given, broken


def test_bounds_hold_on_random_normals():
    given, broken = violations(range(40))
    assert given >= 25
    assert broken == 0


@pytest.mark.slow
def test_bounds_hold_on_many_random_normals():
    given, broken = violations(range(1000))
    print(f"bounds given for {given} of 1000 pairs, broken in {broken}")
    assert given >= 600
    assert broken == 0


def shifted(shift: float, scale: float, seed: int = 0, dim: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Draws of q = N(0, I), and log weights of p = N(shift, scale^2) in the first coordinate."""
    z = np.random.default_rng(seed).standard_normal((NUM_DRAWS, dim))
    return z, 0.5 * z[:, 0] ** 2 - 0.5 * ((z[:, 0] - shift) / scale) ** 2 - np.log(scale)


def standard(dim: int = 1) -> dist.Distribution:
    return dist.Normal(jnp.zeros(dim), 1.0).to_event(1)


def test_d2_is_its_closed_form():
    """D_2(N(m, s^2) || N(0, 1)) = log(1 / (s sqrt(2 - s^2))) + m^2 / (2 - s^2)."""
    shift, scale = 0.2, 0.9
    truth = -np.log(scale * np.sqrt(2 - scale**2)) + shift**2 / (2 - scale**2)
    found = np.array([error_bounds(w, standard(), z).d2 for z, w in (shifted(shift, scale, s) for s in range(30))])
    assert (found > truth).all()  # three standard errors above
    assert np.median(found) < 1.5 * truth


def test_a_heavier_tail_counts_the_same_in_d2_and_in_the_bracket():
    """D_2 is twice CUBO - log Z, and a rise of log E[w^2] by a tail three errors heavier is two errors of either."""
    z = np.sqrt(0.9) * np.random.default_rng(0).standard_normal(4000)
    log_weights = 0.5 * np.log(0.9) - 0.5 * z**2 * (1 - 1 / 0.9)  # q = N(0, 0.9), p = N(0, 1)
    khat = khat_with_error(log_weights)
    found = second_divergence(log_weights, khat)
    assert found.se == pytest.approx(0.5 * squares(log_weights, khat).rise)  # more than by the draws alone
    assert bracket(log_weights).width.se == pytest.approx(0.5 * found.se)
    assert abs(found.value + np.log(np.sqrt(0.9 * 1.1))) < 2 * found.se  # E[w^2] = 1 / sqrt(v (2 - v))


def test_the_bound_of_the_mean_is_sharp_for_a_shift():
    """c = sqrt(e^(m^2) - 1) is m and a little for p = N(m, 1)."""
    z, log_weights = shifted(0.1, 1.0)
    bounds = error_bounds(log_weights, standard(), z)
    assert 0.1 < bounds.mean[0] < 0.115
    assert bounds.mean == pytest.approx(np.sqrt(np.expm1(bounds.d2)))
    assert bounds.wasserstein_2 == pytest.approx(
        np.sqrt(2 * bounds.d2)
    )  # Talagrand's; the other is four times as large


def test_constants_without_closed_forms():
    """For q uniform the kurtosis is 9/5: E z^4 = 1/5 and Var z = 1/3 on (-1, 1)."""
    z = np.random.default_rng(0).uniform(-1, 1, (NUM_DRAWS, 1))
    log_weights = np.log1p(0.1 * z[:, 0])
    bounds = error_bounds(log_weights, dist.Uniform(-jnp.ones(1), 1.0).to_event(1), z)
    chi = np.sqrt(np.expm1(bounds.d2))
    assert chi == pytest.approx(0.1 / np.sqrt(3), rel=0.1)
    kurtosis = (bounds.wasserstein_2[0] / np.sqrt(2 * chi)) ** 4
    assert 1.8 < kurtosis < 1.95
    mean_error = 0.1 / 3 / np.sqrt(1 / 3)  # E_p z = 0.1 E z^2
    assert mean_error == pytest.approx(chi, rel=0.1)  # the bound is met: w is linear in z
    assert bounds.mean[0] > mean_error
    below = 1 - np.sqrt(1 - chi * np.sqrt(kurtosis - 1) - chi**2)
    assert bounds.sd[0] == pytest.approx(below)


def test_bounds_depend_on_neither_units_nor_dimension():
    z, log_weights = shifted(0.1, 1.0, dim=4)
    plain = error_bounds(log_weights, standard(4), z)
    units = error_bounds(log_weights + 500.0, dist.Normal(jnp.full(4, 5.0), 1e-4).to_event(1), 5.0 + 1e-4 * z)
    alone = error_bounds(log_weights, standard(1), z[:, :1])
    for name in ("mean", "sd", "wasserstein_1", "wasserstein_2"):
        np.testing.assert_allclose(getattr(units, name), getattr(plain, name), rtol=1e-6)
        np.testing.assert_allclose(getattr(plain, name), getattr(alone, name)[0])


def test_q_equal_to_p():
    z = shifted(0.0, 1.0)[0]
    bounds = error_bounds(np.full(NUM_DRAWS, 3.0), standard(), z)
    assert bounds.d2 == pytest.approx(0.0, abs=1e-12)
    for name in ("mean", "sd", "wasserstein_1", "wasserstein_2"):
        assert getattr(bounds, name)[0] == pytest.approx(0.0, abs=1e-5)


def test_no_bounds_from_bad_weights():
    z = np.sqrt(0.5) * shifted(0.0, 1.0)[0]
    assert error_bounds(0.5 * z[:, 0] ** 2, dist.Normal(jnp.zeros(1), np.sqrt(0.5)).to_event(1), z) is None
    assert error_bounds(np.r_[np.nan, np.zeros(NUM_DRAWS - 1)], standard(), z) is None
    assert error_bounds(np.full(NUM_DRAWS, -np.inf), standard(), z) is None


def test_a_q_that_does_not_know_its_variance():
    z = np.random.default_rng(0).standard_t(1.5, size=(NUM_DRAWS, 1))
    flow = dist.TransformedDistribution(standard(), dist.transforms.ComposeTransform([dist.transforms.ExpTransform()]))
    assert error_bounds(0.1 * np.tanh(z[:, 0]), flow, z).mean == np.inf  # its draws say that there is none
    z = np.random.default_rng(0).standard_normal((NUM_DRAWS, 1))
    assert error_bounds(0.1 * np.tanh(z[:, 0]), flow, z).mean < 0.2


def test_a_mode_that_q_never_visits_is_not_seen():
    """What the docstring warns of: q on one of two modes has even weights, and bounds that p as a whole breaks."""
    z, _ = shifted(0.0, 1.0)
    log_weights = np.logaddexp(-0.5 * z**2, -0.5 * (z - 40.0) ** 2)[:, 0] + 0.5 * z[:, 0] ** 2
    assert error_bounds(log_weights, standard(), z).mean[0] < 1e-3  # and E_p[z] is 20


@pytest.mark.parametrize(("degrees", "finite"), [(1.5, []), (3.0, ["mean"]), (40.0, ["mean", "wasserstein_2", "sd"])])
def test_moments_that_do_not_exist_bound_nothing(degrees, finite):
    """q a Student-t: variance from two degrees on, kurtosis from four, and to be had from draws from far more."""
    z = np.random.default_rng(2).standard_t(degrees, size=(NUM_DRAWS, 1))
    q = dist.MultivariateStudentT(degrees, jnp.zeros(1), jnp.eye(1))
    bounds = error_bounds(0.1 * np.tanh(z[:, 0]), q, z)
    for name in ("mean", "wasserstein_2", "sd"):
        assert np.isfinite(getattr(bounds, name)[0]) == (name in finite), name


def test_bad_shapes():
    with pytest.raises(ValueError, match=r"draws: expected shape \(100, dim\)"):
        error_bounds(np.zeros(100), standard(), np.zeros((99, 1)))


# The bounds against posteriors known exactly, by a normal q of the exact mean and covariance, a little wider.
WIDER = 1.1


def continuous(posterior: object) -> bool:
    return isinstance(posterior, ExactPosterior) and posterior.mean is not None and posterior.covariance is not None


def broken_on(posterior: ExactPosterior, seeds: range) -> tuple[int, int, int]:
    """For a q shifted as well, by a tenth where p is white: how many seeds have bounds, and how many bounds fail.

    The last are those of the evidence, ELBO, IWAE, CUBO and EUBO, beyond five standard errors.
    """
    mean, covariance = np.asarray(posterior.mean), np.asarray(posterior.covariance)
    shift = 0.1 * np.linalg.cholesky(covariance) @ np.full(len(mean), len(mean) ** -0.5)
    of_mean = np.abs(shift) / (WIDER * np.sqrt(np.diag(covariance)))
    q = normal(mean + shift, WIDER**2 * covariance)
    log_weights_at = jax.jit(lambda z: jax.vmap(posterior.target.log_density)(z) - q.log_prob(z))
    given = broken = crossed = 0
    for seed in seeds:
        z = q.sample(jax.random.key(seed), (NUM_DRAWS,))
        log_weights = np.asarray(log_weights_at(z))
        crossed += crossings(posterior, log_weights, log_weights_at(posterior.sample(jax.random.key(seed), NUM_DRAWS)))
        bounds = error_bounds(log_weights, q, z)
        if bounds is not None:
            given += 1
            broken += int((bounds.mean < of_mean).any() or (bounds.sd < 1 - 1 / WIDER).any())
    return given, broken, crossed


def crossings(posterior: ExactPosterior, at_q: np.ndarray, at_p: jax.Array) -> int:
    if posterior.log_evidence is None:
        return 0
    found, truth = bracket(at_q, at_p=at_p), posterior.log_evidence
    below = [each.value - 5 * each.se <= truth + 1e-9 for each in (found.elbo, found.iwae) if each is not None]
    above = [each.value + 5 * each.se >= truth - 1e-9 for each in (found.cubo, found.eubo) if each is not None]
    assert len(below) + len(above) >= 3
    return below.count(False) + above.count(False)


@pytest.mark.parametrize("name", ["gamma_poisson", "linear_regression"])
def test_bounds_hold_on_exact_posteriors(name):
    assert broken_on(EXAMPLES[name](), range(5)) == (5, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_bounds_hold_on_every_exact_posterior(name):
    posterior = EXAMPLES[name]()
    if not continuous(posterior):
        pytest.skip("discrete, or without moments")
    given, broken, crossed = broken_on(posterior, range(100))
    print(f"{name}: errors bounded for {given} of 100 seeds, {broken} broken; {crossed} bounds of the evidence broken")
    assert broken == crossed == 0
