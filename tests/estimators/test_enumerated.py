"""Gradients over discrete guides: held against the gradient of the sum over all states, taken independently."""

from dataclasses import dataclass
from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import vi_toolkit as vi
from tests.compilations import jit
from vi_toolkit.estimators import Shape
from vi_toolkit.estimators.enumerated import all_states

estimators = vi.estimators

# A Potts model of three vertices with different numbers of states.
NUM_VALUES = (2, 3, 2)
FIELD = jnp.array([[0.4, -0.2, 0.0], [0.0, 0.8, -0.5], [-0.6, 0.3, 0.0]])
COUPLING = jnp.array([0.9, -0.7, 0.5])  # of 0-1, 1-2, 0-2
GUIDE = vi.MeanFieldCategorical(NUM_VALUES)
PARAMS = {"logits": jnp.array([[0.2, -0.4, 3.0], [-0.3, 0.5, 0.9], [0.7, 0.1, 2.0]])}
STATES = jnp.array(list(product(*map(range, NUM_VALUES))))


def log_mass(x):
    pairs = jnp.stack([x[0] == x[1], x[1] == x[2], x[0] == x[2]])
    return FIELD[jnp.arange(3), x].sum() + COUPLING @ pairs


TARGET = vi.from_log_mass(log_mass, NUM_VALUES)
LOG_P = jnp.array([float(log_mass(x)) for x in STATES])


def log_q(params):
    """By hand, over all states."""
    rows = [params["logits"][i, :k] - jax.nn.logsumexp(params["logits"][i, :k]) for i, k in enumerate(NUM_VALUES)]
    return sum(row[STATES[:, i]] for i, row in enumerate(rows))


def reverse_kl(params):
    return jnp.sum(jnp.exp(log_q(params)) * (log_q(params) - LOG_P))


def iwae_of_two(params):
    log_w, probs = LOG_P - log_q(params), jnp.exp(log_q(params))
    bounds = jnp.logaddexp(log_w[:, None], log_w) - jnp.log(2.0)
    return -probs @ bounds @ probs


def mean_square(params):
    return jnp.sum(jnp.exp(log_q(params)) * (LOG_P - log_q(params)) ** 2)


def renyi_half(params):
    return -2.0 * jax.nn.logsumexp(0.5 * (LOG_P - log_q(params)) + log_q(params))


def hellinger(params):
    """E_q[(sqrt(p / q) - 1)^2] as the package counts it is twice the squared Hellinger distance, or a multiple."""
    log_u = LOG_P - jax.nn.logsumexp(LOG_P) - log_q(params)
    return jnp.sum(jnp.exp(log_q(params)) * vi.generators.hellinger(log_u))


@partial(jax.tree_util.register_dataclass, data_fields=[], meta_fields=["estimator", "group"])
@dataclass(frozen=True)
class Square(vi.LogWeightObjective):
    """E_q of the squared log weight: a mean over draws whose h is not linear."""

    estimator: estimators.Estimator
    group: int | None = 1

    @property
    def shape(self):
        return Shape(linear=False, smooth=True, group=self.group)

    def of(self, log_weights, log_shares):
        return jnp.sum(jnp.exp(log_shares) * log_weights**2)


UNBIASED = {
    "score function": (vi.ReverseKL(estimators.score_function), 2, reverse_kl),
    "Rao-Blackwellised": (vi.ReverseKL(estimators.rao_blackwellised), 1, reverse_kl),
    "log-variance": (vi.LogVariance(), 2, reverse_kl),
    "IWAE, score function": (vi.IWAE(2, estimators.score_function), 2, iwae_of_two),
    "IWAE, VIMCO": (vi.IWAE(2, estimators.vimco), 2, iwae_of_two),
    "IWAE of one, Rao-Blackwellised": (vi.IWAE(1, estimators.rao_blackwellised), 1, reverse_kl),
    "square, Rao-Blackwellised": (Square(estimators.rao_blackwellised), 1, mean_square),
}
EXACT = {
    "reverse KL": (vi.ReverseKL(estimators.enumerated), reverse_kl),
    "square": (Square(estimators.enumerated, None), mean_square),
    "Renyi": (vi.Renyi(0.5, estimator=estimators.enumerated), renyi_half),
    "Hellinger": (vi.FDivergence(vi.generators.hellinger, estimators.enumerated), hellinger),
}


def gradients(objective, num_draws, count, seed=0):
    """(count, 9) gradients of the loss in the logits."""

    def one(key):
        return jax.grad(lambda params: objective.loss(key, params, GUIDE, TARGET, num_draws)[0])(PARAMS)["logits"]

    keys = jax.random.split(jax.random.key(seed), (count // 1000, 1000))
    return np.asarray(jit(lambda keys: jax.lax.map(jax.vmap(one), keys))(keys)).reshape(count, -1)


@pytest.mark.parametrize("name", UNBIASED)
def test_the_mean_of_many_gradients_is_the_gradient_of_the_sum(name):
    objective, num_draws, loss = UNBIASED[name]
    exact = np.asarray(jax.grad(loss)(PARAMS)["logits"]).ravel()
    found = gradients(objective, num_draws, 100_000)
    errors = found.std(axis=0) / np.sqrt(len(found))
    assert np.all(np.abs(found.mean(axis=0) - exact) <= 5 * errors + 1e-12)
    assert np.sort(np.abs(exact))[-5] > 10 * errors.max()  # zero would be right by accident


@pytest.mark.parametrize("name", EXACT)
def test_enumerated_values_and_gradients_are_exact(name, key):
    objective, loss = EXACT[name]
    value, gradient = jit(jax.value_and_grad(lambda p: objective.loss(key, p, GUIDE, TARGET, 1)[0]))(PARAMS)
    exact, slope = jit(jax.value_and_grad(loss))(PARAMS)
    np.testing.assert_allclose(value, exact, rtol=1e-10)
    np.testing.assert_allclose(gradient["logits"], slope["logits"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("name", "num_draws"), [("enumerated", 1), ("rao_blackwellised", 20_000)])
def test_loss_and_facts_are_those_of_the_sum(name, num_draws, key):
    objective = vi.ReverseKL(getattr(estimators, name))
    loss, facts = jit(lambda key: objective.loss(key, PARAMS, GUIDE, TARGET, num_draws))(key)
    exact = float(reverse_kl(PARAMS))
    spread = float(jnp.sqrt(mean_square(PARAMS) - exact**2)) / np.sqrt(num_draws)
    assert float(loss) == pytest.approx(exact, abs=1e-10 if name == "enumerated" else 5 * spread)
    assert float(facts["elbo"]) == pytest.approx(-float(loss), rel=1e-12)


def test_the_less_is_left_to_chance_the_less_noise():
    def noise(estimator):
        return gradients(vi.ReverseKL(estimator), 2, 20_000).var(axis=0)

    score, local, none = map(noise, (estimators.score_function, estimators.rao_blackwellised, estimators.enumerated))
    matters = score > 1e-12  # what does not exist has no gradient
    assert np.all(none < 1e-20)
    assert np.all(local[matters] < 0.5 * score[matters])
    assert local.sum() > 0.01


def test_states_are_listed_once_each_with_the_last_coordinate_first():
    np.testing.assert_array_equal(all_states(GUIDE, jnp.float64), STATES)
    assert all_states(vi.MeanFieldCategorical((3,)), jnp.float64).tolist() == [[0.0], [1.0], [2.0]]


def test_what_is_not_valid_is_refused_by_name(key):
    linear, all_draws, of_two = vi.ReverseKL().shape, Shape(False, True, None), vi.IWAE(2).shape
    assert estimators.valid(linear, GUIDE) == ("enumerated", "rao_blackwellised", "score_function")
    assert estimators.valid(all_draws, GUIDE) == ("enumerated", "score_function")
    assert estimators.valid(of_two, GUIDE) == ("score_function", "vimco")
    assert "rao_blackwellised" in estimators.valid(vi.IWAE(1).shape, GUIDE)
    assert not {"enumerated", "rao_blackwellised"} & set(estimators.valid(linear, vi.FullRankNormal()))
    assert estimators.rao_blackwellised.refuses(linear, Dependent(NUM_VALUES)).startswith("the guide's coordinates")
    many = vi.from_log_mass(lambda x: 0.0 * x.sum(), (2,) * 17)
    guide = vi.MeanFieldCategorical((2,) * 17)
    with pytest.raises(ValueError, match=r"enumerated .* has 131,072 states, and at most 65,536 .* rao_blackwellised"):
        vi.fit(key, many, vi.gradient(guide, vi.ReverseKL(estimators.enumerated)))
    with pytest.raises(ValueError, match="stick_the_landing does not go with ReverseKL over MeanFieldCategorical"):
        vi.fit(key, TARGET, vi.gradient(GUIDE, vi.ReverseKL()))


class Dependent(vi.MeanFieldCategorical):
    """As a guide whose coordinates depend on one another would say of itself."""

    factorises = False


def optimum():
    """The logits of the best q, by SciPy on the exact sum, from the best of several starts."""
    value = jit(jax.value_and_grad(lambda flat: reverse_kl({"logits": flat.reshape(3, 3)})))

    def objective(flat):
        found, slope = value(jnp.asarray(flat))
        return float(found), np.asarray(slope)

    starts = np.random.default_rng(0).normal(size=(5, 9))
    return min((minimize(objective, s, jac=True, method="BFGS") for s in starts), key=lambda found: found.fun)


@pytest.mark.parametrize(
    "name",
    ["enumerated", *(pytest.param(n, marks=pytest.mark.slow) for n in ("rao_blackwellised", "score_function"))],
)
def test_fits_end_where_a_deterministic_optimiser_does(name):
    best = optimum()
    exact = np.asarray(GUIDE.distribution({"logits": jnp.asarray(best.x).reshape(3, 3)}).probs)
    far = {"logits": jnp.array([[3.0, -3.0, 0.0], [0.0, 3.0, -3.0], [-3.0, 3.0, 0.0]])}
    draws = 1 if name == "enumerated" else 256
    method = vi.gradient(GUIDE, vi.ReverseKL(getattr(estimators, name)), num_draws=draws, start=far)
    fit = vi.fit(jax.random.key(0), TARGET, method)
    assert fit.status is vi.Status.CONVERGED
    np.testing.assert_allclose(fit.posterior.probs, exact, rtol=0.02)
    states = {"enumerated": 12, "rao_blackwellised": 256 * 9, "score_function": 256}[name]
    assert fit.num_gradients == pytest.approx(fit.num_steps * states / 3)
    diagnosis = vi.diagnose(jax.random.key(1), fit)
    assert abs(diagnosis.elbo + best.fun) < 5 * diagnosis.elbo_se + 1e-4
    assert abs(diagnosis.log_evidence - float(jax.nn.logsumexp(LOG_P))) < 5 * diagnosis.log_evidence_se
    assert diagnosis.khat == -np.inf  # the largest weight was seen often
    assert diagnosis.verdicts["tails"] is vi.Verdict.GOOD


def test_a_fit_is_saved_and_made_a_tree(key, tmp_path):
    method = vi.gradient(GUIDE, vi.ReverseKL(estimators.rao_blackwellised), num_draws=4)
    fit = vi.fit(key, TARGET, method, max_steps=20)
    vi.save(fit, tmp_path / "fit")
    again = vi.load(tmp_path / "fit", TARGET)
    assert again.method == method
    np.testing.assert_array_equal(again.posterior.probs, fit.posterior.probs)
    tree = vi.to_datatree(key, fit, num_draws=50)
    assert set(np.unique(tree["posterior"]["z"])) <= {0, 1, 2}
    assert bool((tree["sample_stats"]["log_p"] > -np.inf).all())


@pytest.mark.float32
def test_in_single_precision_the_sums_are_the_same():
    for objective in (vi.ReverseKL(estimators.enumerated), vi.ReverseKL(estimators.rao_blackwellised)):
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), PARAMS)
        loss, gradient = jax.value_and_grad(
            lambda params, objective=objective: objective.loss(jax.random.key(0), params, GUIDE, TARGET, 20_000)[0]
        )(params)
        assert loss.dtype == gradient["logits"].dtype == jnp.float32
        exact = jax.grad(reverse_kl)(params)["logits"]
        np.testing.assert_allclose(gradient["logits"], exact, atol=0.02)
