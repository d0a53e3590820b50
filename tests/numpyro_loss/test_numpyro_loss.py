"""Fits by NumPyro's SVI against deterministic optima, and what the loss refuses."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.distributions import constraints
from numpyro.infer import SVI
from numpyro.infer.autoguide import AutoDelta, AutoNormal
from scipy.optimize import minimize_scalar

import vi_toolkit as vi
from tests.compilations import count_compilations
from tests.numpyro_loss import programs as pr
from vi_toolkit import estimators
from vi_toolkit.estimators import closed_form_entropy, reparameterised, score_function

COVARIANCE = np.array([[2.0, -1.0], [-1.0, 2.0]]) / 3.0  # of the posterior below, with mean (1, 1)


def sum_model(y):
    z = [numpyro.sample(name, dist.Normal(0.0, 1.0)) for name in ("a", "b")]
    numpyro.sample("y", dist.Normal(z[0] + z[1], 1.0), obs=y)


def sum_guide(y):
    for name, start in (("a", -3.0), ("b", 4.0)):
        location = numpyro.param(f"{name}_location", start)
        numpyro.sample(
            name, dist.Normal(location, numpyro.param(f"{name}_scale", 0.2, constraint=constraints.positive))
        )


def between_normals(order, first, second):
    """D_order(N(0, first) || N(0, second)) for covariances."""
    mixed = order * second + (1 - order) * first
    if np.linalg.eigvalsh(mixed)[0] <= 0:
        return np.inf
    logs = [np.linalg.slogdet(matrix)[1] for matrix in (mixed, first, second)]
    return (logs[0] - (1 - order) * logs[1] - order * logs[2]) / (2 * (1 - order))


def renyi_of_half(v):
    return between_normals(0.5, v * np.eye(2), COVARIANCE)


def renyi_of_two(v):
    return between_normals(2.0, COVARIANCE, v * np.eye(2))


def log_ratio(z, v):
    """log p - log q for q = N(0, v I), and log q."""
    precision = np.linalg.inv(COVARIANCE)
    log_p = -0.5 * np.einsum("...i,ij,...j", z, precision, z) - np.log(2 * np.pi) + 0.5 * np.log(3.0)
    log_q = -0.5 * (z**2).sum(-1) / v - np.log(2 * np.pi * v)
    return log_p - log_q, log_q


NOISE = np.random.default_rng(1).normal(size=(50_000, 8, 2))


def minus_iwae(v):
    noise = np.concatenate([NOISE, NOISE[:, :, ::-1] * [1, -1]])
    return -np.mean(np.log(np.mean(np.exp(log_ratio(noise * v**0.5, v)[0]), axis=1)))


def jensen_shannon(v):
    axis = np.linspace(-7.0, 7.0, 281)
    log_u, log_q = log_ratio(np.stack(np.meshgrid(axis, axis), -1), v)
    log_mean = np.logaddexp(log_u, 0.0) - np.log(2.0)  # of p and q, over q
    return np.sum(np.exp(log_q) * (np.exp(log_u) * (log_u - log_mean) - log_mean)) * (axis[1] - axis[0]) ** 2 / 2


@pytest.mark.parametrize(
    ("objective", "function"),
    [
        (vi.ReverseKL(), None),
        pytest.param(vi.LogVariance(), None, marks=pytest.mark.slow),
        pytest.param(vi.TailAdaptive(), None, marks=pytest.mark.slow),
        pytest.param(vi.Renyi(0.5), renyi_of_half, marks=pytest.mark.slow),
        pytest.param(vi.Chi(2), renyi_of_two, marks=pytest.mark.slow),
        pytest.param(vi.IWAE(8), minus_iwae, marks=pytest.mark.slow),
        pytest.param(vi.JensenShannon(), jensen_shannon, marks=pytest.mark.slow),
    ],
    ids=lambda part: type(part).__name__ if isinstance(part, vi.Objective) else "",
)
def test_a_fit_by_svi_ends_at_the_optimum(key, objective, function):
    rate = optax.exponential_decay(0.1, 400, 0.01, transition_begin=200)
    svi = SVI(
        sum_model,
        sum_guide,
        optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate)),
        loss=vi.as_numpyro_loss(objective),
    )
    fitted = svi.run(key, 800, 3.0, progress_bar=False).params
    variance = 0.5 if function is None else minimize_scalar(function, bounds=(0.3, 2.5), method="bounded").x
    for name in ("a", "b"):
        if isinstance(objective, vi.TailAdaptive):  # its fixed point has no closed form: a covering one
            assert float(fitted[f"{name}_scale"]) > 1.02 * variance**0.5
        else:
            np.testing.assert_allclose(fitted[f"{name}_scale"], variance**0.5, rtol=0.02)
        np.testing.assert_allclose(fitted[f"{name}_location"], 1.0, atol=0.02 * variance**0.5)


@pytest.mark.any_precision
def test_updates_run_in_either_precision_and_compile_once(key):
    loss = vi.as_numpyro_loss(vi.Chi(2), num_draws=16)
    guide = AutoNormal(pr.mean_model)
    svi = SVI(pr.mean_model, guide, optax.adam(0.05), loss=loss)
    state = jax.jit(svi.init)(key, pr.ROWS)
    rows = jnp.asarray(pr.ROWS, jnp.result_type(float))
    step = jax.jit(svi.stable_update)
    state, _ = step(state, rows)
    count, (after, value) = count_compilations(lambda: step(state, rows))
    assert count == 0
    assert value.dtype == jnp.result_type(float)
    key_step = jax.random.split(state.rng_key)[1]
    again, _ = pr.value_and_grad(loss, pr.mean_model, guide, rows)(svi.get_params(state), key_step)
    np.testing.assert_allclose(value, again, rtol=1e-4)  # the loss that the step reports
    assert not np.array_equal(svi.get_params(after)["z_auto_loc"], svi.get_params(state)["z_auto_loc"])


def test_equal_losses_are_equal_and_survive_pickling():
    loss = vi.as_numpyro_loss(vi.IWAE(4))
    assert loss == vi.as_numpyro_loss(vi.IWAE(4)) == pickle.loads(pickle.dumps(loss))
    assert hash(loss) == hash(vi.as_numpyro_loss(vi.IWAE(4)))
    assert loss != vi.as_numpyro_loss(vi.IWAE(4), num_draws=8)
    assert loss.num_particles == vi.IWAE.num_draws


@pytest.mark.parametrize(
    ("objective", "discrete"),
    [(vi.ReverseKL(), False), (vi.ReverseKL(score_function), True), (vi.LogVariance(), True), (vi.Fisher(), False)],
    ids=["stick the landing", "score", "log-variance", "Fisher"],
)
def test_says_whether_it_takes_discrete_sites(objective, discrete):
    assert vi.as_numpyro_loss(objective).can_infer_discrete is discrete


antithetic = reparameterised.drawing(estimators.antithetic)


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((vi.ReverseKL,), TypeError, "got the class ReverseKL itself"),
        ((vi.ReverseKL(), 0), ValueError, "num_draws: expected at least 1"),
        ((vi.IWAE(8), 4), ValueError, "needs at least 8 draws"),
        ((vi.LogVariance(), 1), ValueError, "needs at least 2 draws"),
        ((vi.ReverseKL(score_function), 1), ValueError, "needs at least 2 draws"),
        ((vi.ReverseKL(closed_form_entropy),), ValueError, "closed_form_entropy does not go.*stick_the_landing"),
        ((vi.ReverseKL(antithetic),), ValueError, "noise antithetic does not go"),
        ((vi.ReverseKL(beta=0.1, anneal_steps=9),), ValueError, "anneal_steps counts steps"),
        ((vi.ForwardKL(np.zeros((5, 2))),), ValueError, "no names of sites"),
        ((vi.ForwardKL(vi.sources.ScoreClimbing()),), ValueError, "ScoreClimbing.*has no memory"),
        ((vi.AnnealedChi(),), ValueError, "AnnealedChi.*has no memory"),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", ""),
)
def test_refuses_what_cannot_be_a_loss(arguments, error, words):
    with pytest.raises(error, match=words):
        vi.as_numpyro_loss(*arguments)


def discrete_guide(rows):
    pr.guide_params()
    numpyro.sample("z", dist.Poisson(1.0))


def point_guide(rows):
    numpyro.sample("z", dist.Delta(numpyro.param("slope", 0.3)))


def moving_guide(rows):
    slope, width = pr.guide_params()
    numpyro.sample("z", dist.Uniform(slope, slope + width))


def mutable_model(rows):
    numpyro.primitives.mutable("count", {"n": jnp.zeros(())})
    pr.mean_model(rows)


def empty_guide(rows):
    pr.guide_params()


def subsampled(program):
    return lambda rows: program(rows, 2)


PARTS = (subsampled(pr.mean_model), subsampled(pr.mean_guide))


@pytest.mark.parametrize(
    ("objective", "model", "guide", "words"),
    [
        (vi.Renyi(0.5), *PARTS, "plate 'row' is subsampled.*Renyi.*would be biased"),
        (vi.TailAdaptive(), *PARTS, "TailAdaptive.*would be biased"),
        (vi.ReverseKL(), pr.mean_model, discrete_guide, "stick_the_landing does not go.*Valid here: score_function"),
        (vi.Chi(2), pr.mean_model, discrete_guide, "defensive does not go.*Valid here: score_function"),
        (vi.ForwardKL(), pr.mean_model, discrete_guide, "does not go with this NumPyro guide"),
        (vi.Fisher(), pr.mean_model, discrete_guide, "Fisher does not go with this NumPyro guide"),
        (vi.Chi(2), pr.learned_model, pr.global_guide_of_z, r"\['level'\] are learned.*Chi does not make the evidence"),
        (vi.Chi(2), pr.mean_model, point_guide, r"\['z'\] are learned"),
        (vi.Fisher(), pr.mean_model, moving_guide, "supports that move, which Fisher cannot take"),
        (vi.ReverseKL(), mutable_model, pr.mean_guide, r"\['count'\] are mutable sites"),
        (vi.ReverseKL(), pr.mean_model, empty_guide, r"no sample sites \['z'\]"),
    ],
)
def test_refuses_what_does_not_go_with_guide_or_model(key, objective, model, guide, words):
    loss, p = vi.as_numpyro_loss(objective), pr.params(pr.PARAMS | {"level": 0.5})
    with pytest.raises(ValueError, match=words):
        jax.eval_shape(lambda p: loss.loss(key, p, model, guide, pr.ROWS), p)


def test_refuses_mutable_state():
    with pytest.raises(ValueError, match="mutable sites"):
        vi.as_numpyro_loss(vi.ReverseKL()).loss_with_mutable_state()


@pytest.mark.slow
def test_a_point_is_learned_by_the_log_density_alone(key):
    guide = AutoDelta(pr.mean_model)
    svi = SVI(pr.mean_model, guide, optax.adam(0.1), loss=vi.as_numpyro_loss(vi.IWAE(2), num_draws=2))
    fitted = svi.run(key, 300, pr.ROWS, progress_bar=False).params
    np.testing.assert_allclose(fitted["z_auto_loc"], pr.ROWS.sum() / 7, rtol=1e-3)
