"""What is known of objectives of log weights whatever the target: identities, bounds, refusals, and their statuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi
from tests.compilations import jit
from tests.registry import OBJECTIVES, random_params

SAME = vi.estimators.reparameterised.drawing(vi.estimators.independent)
GUIDE = vi.FullRankNormal()
LOG_EVIDENCE = 1.7
KEYS = jax.random.split(jax.random.key(3), 400)


def laplace(z):
    """Normalised, times exp(1.7)."""
    return LOG_EVIDENCE - jnp.sum(jnp.abs(z)) - 2 * jnp.log(2.0)


TARGET = vi.from_log_density(laplace, dim=2)


def losses(objective, num_draws, target=TARGET, params=None, keys=KEYS):
    params = random_params(GUIDE) if params is None else params
    return np.asarray(jit(jax.vmap(lambda key: objective.loss(key, params, GUIDE, target, num_draws)[0]))(keys))


def test_one_importance_draw_is_the_elbo():
    lanes = jax.vmap(lambda key: jax.random.split(key, 1)[0])(KEYS)  # each draw of a group has a key of its own
    elbo = -losses(vi.ReverseKL(SAME), 1, keys=lanes)
    np.testing.assert_allclose(-losses(vi.IWAE(1, SAME), 1), elbo, rtol=1e-12)
    np.testing.assert_allclose(-losses(vi.Renyi(0.3, 1, SAME), 1), elbo, rtol=1e-12)


@pytest.mark.parametrize("alpha", [1 - 1e-6, 1 + 1e-6])
def test_renyi_near_order_one_is_the_elbo(alpha):
    np.testing.assert_allclose(
        losses(vi.Renyi(alpha, estimator=SAME), 32), losses(vi.ReverseKL(SAME), 32), rtol=1e-4, atol=1e-4
    )


def test_chi_is_renyi_of_a_negative_order():
    np.testing.assert_allclose(losses(vi.Chi(2.5), 64), losses(vi.Renyi(-1.5), 64), rtol=1e-12)


def test_bounds_stand_in_their_order():
    """Of the same draws: the smaller the order, the higher; on average ELBO < IWAE < log Z < chi of many draws."""
    elbo, iwae = -losses(vi.ReverseKL(SAME), 64), -losses(vi.IWAE(8, SAME), 64)
    bridge, sharp = -losses(vi.Renyi(0.5, estimator=SAME), 64), -losses(vi.Renyi(2, estimator=SAME), 64)
    upper = losses(vi.Chi(2, SAME), 64)
    assert np.all(sharp <= elbo)
    assert np.all(elbo <= bridge)
    assert np.all(bridge <= upper)
    error = 5 * iwae.std() / np.sqrt(len(KEYS))
    assert elbo.mean() < iwae.mean() - error < LOG_EVIDENCE
    by_many = losses(vi.Chi(2), 4096)
    assert by_many.mean() > LOG_EVIDENCE + 5 * by_many.std() / np.sqrt(len(KEYS))


@pytest.mark.parametrize("name", ["Renyi 0.5", "Renyi 2", "Renyi -1", "IWAE", "chi", "Jensen-Shannon", "log variance"])
def test_where_q_is_p_nothing_is_left_but_the_evidence(name):
    """Every draw gives the same: minus log Z, log Z or zero, and gradients by draws alone have no noise."""
    params = random_params(GUIDE)
    p = vi.from_log_density(lambda z: GUIDE.distribution(params).log_prob(z) + LOG_EVIDENCE, dim=2)
    objective = OBJECTIVES[name]()
    expected = {"Renyi -1": LOG_EVIDENCE, "chi": LOG_EVIDENCE, "Jensen-Shannon": 0.0, "log variance": 0.0}
    found = losses(objective, 8, p, params)
    np.testing.assert_allclose(found, expected.get(name, -LOG_EVIDENCE), rtol=1e-9, atol=1e-12)
    if name not in ("Renyi 2", "log variance"):  # in full, and by scores times a zero that rounds
        slope = jit(jax.grad(lambda params: objective.loss(KEYS[0], params, GUIDE, p, 8)[0]))(params)
        assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(slope)) < 1e-9


def test_the_running_evidence_forgets_a_poor_start():
    """Of a target whose evidence is known, estimated by a q that has come to it."""
    target = vi.from_log_density(lambda z: 9.0 - 0.5 * jnp.sum((z - 20.0) ** 2) - jnp.log(2 * jnp.pi), dim=2)
    fit = vi.fit(jax.random.key(0), target, vi.gradient(GUIDE, vi.JensenShannon()))
    assert abs(fit.history["log_evidence"][-1] - 9.0) < 0.01
    np.testing.assert_allclose(fit.posterior.mean, [20.0, 20.0], atol=0.02)


def test_beta_flattens_the_target_and_annealing_lets_go_of_it():
    target = vi.from_log_density(lambda z: -0.5 * jnp.sum((z - 1.0) ** 2 / 0.3), dim=2)
    flat = vi.fit(jax.random.key(0), target, vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL(beta=0.25)))
    np.testing.assert_allclose(flat.posterior.variance, [0.3 / 0.25] * 2, rtol=0.02)
    # the ELBO in the history is that of the target itself: q of four times its variance
    exact = np.log(2 * np.pi * 0.3) - (4 - 1 - np.log(4))
    elbos = flat.history["elbo"][-200:]
    assert abs(elbos.mean() - exact) < 4 * elbos.std() / np.sqrt(200)
    cooled = vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL(beta=0.25, anneal_steps=200))
    fit = vi.fit(jax.random.key(0), target, cooled)
    np.testing.assert_allclose(fit.posterior.variance, [0.3] * 2, rtol=0.02)
    assert fit.num_steps > 200


def test_weights_on_a_few_draws_end_as_collapsed_and_say_so():
    """A mean-field normal on a strong correlation in many dimensions: chi-square cannot be estimated there."""
    dim = 30
    root = jnp.linalg.cholesky(0.1 * jnp.eye(dim) + 0.9)
    target = vi.from_log_density(
        lambda z: -0.5 * jnp.sum(jax.scipy.linalg.solve_triangular(root, z, lower=True) ** 2), dim=dim
    )
    fit = vi.fit(jax.random.key(0), target, vi.gradient(vi.MeanFieldNormal(), vi.Chi(2)), max_steps=400)
    assert fit.status is vi.Status.COLLAPSED
    assert any("Chi: the importance weights had an effective size of" in words for words in fit.warnings)
    normal = vi.fit(jax.random.key(0), target, vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL()), max_steps=400)
    assert normal.status is not vi.Status.COLLAPSED
    plain = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2)
    good = vi.fit(jax.random.key(0), plain, vi.gradient(GUIDE, vi.Chi(2)), max_steps=400)
    assert good.status is not vi.Status.COLLAPSED
    assert not any("effective size" in words for words in good.warnings)


def test_the_effective_share_is_that_of_the_weights_that_the_loss_rests_on():
    log_weights, shares = jnp.array([[0.0, 1.0, 2.0]]), jnp.full((1, 3), 1 / 3)
    estimate = vi.estimators.Estimate(jnp.zeros(()), log_weights, shares, log_weights)
    for power in (1.0, 2.0, -1.0):
        w = np.exp(power * np.array([0.0, 1.0, 2.0]))
        np.testing.assert_allclose(estimate.ess(power), w.sum() ** 2 / (w**2).sum() / 3, rtol=1e-12)
    assert (vi.Chi(2.5).power, vi.Renyi(3.0).power, vi.JensenShannon().power) == (2.5, -2.0, 1.0)


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: vi.Renyi(1.0), ValueError, r"alpha: the divergence of order 1 is reverse KL. Use vi.ReverseKL\(\)"),
        (lambda: vi.Renyi(0.0), ValueError, r"alpha: at order 0 .* Use vi.IWAE\(num_importance\)"),
        (lambda: vi.Renyi("half"), TypeError, "alpha: expected a number, got str"),
        (lambda: vi.IWAE(0), ValueError, "num_importance: expected at least 1, got 0"),
        (lambda: vi.Chi(1.0), ValueError, r"order: expected a number above 1, got 1.0.*vi.Renyi\(1 - order\)"),
        (lambda: vi.ReverseKL(beta=0.0), ValueError, "beta: expected a finite number above 0"),
        (lambda: vi.ReverseKL(anneal_steps=-3), ValueError, "anneal_steps: expected at least 1"),
        (lambda: vi.TailAdaptive(0.0), ValueError, "power: expected a finite number above 0"),
        (lambda: vi.Chi(2, "defensive"), TypeError, "estimator: expected a Estimator, got str 'defensive'"),
    ],
    ids=["order 1", "order 0", "order in words", "no draws", "chi of 1", "beta", "steps", "power", "estimator"],
)
def test_bad_arguments(call, error, words):
    with pytest.raises(error, match=words):
        call()


PAIRS = {
    "kink": (vi.FDivergence(vi.generators.total_variation, vi.estimators.doubly_reparameterised), GUIDE, "has a kink"),
    "not linear": (
        vi.Renyi(0.5, estimator=vi.estimators.stick_the_landing),
        GUIDE,
        "biased for a loss that is not linear",
    ),
    "strata": (vi.IWAE(4), vi.NormalMixture(2), "biased for groups of draws that come by strata"),
    "groups": (vi.IWAE(4, vi.estimators.defensive), GUIDE, "the loss is of groups of independent draws"),
    "one draw": (vi.IWAE(1, vi.estimators.score_function), GUIDE, "one draw has no others"),
    "no groups": (vi.ReverseKL(vi.estimators.vimco), GUIDE, "made for losses of groups"),
    "entropy": (vi.Chi(2, vi.estimators.closed_form_entropy), GUIDE, "can be taken out only where"),
    "noise": (
        vi.Renyi(0.5, estimator=vi.estimators.score_function.drawing(vi.estimators.quasi_random)),
        GUIDE,
        "quasi_random noise makes dependent",
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_that_is_not_valid_is_refused_with_those_that_are(name):
    objective, guide, reason = PAIRS[name]
    valid = vi.estimators.valid(objective.shape, guide)
    assert objective.estimator.name not in valid or name == "noise"
    with pytest.raises(
        ValueError, match=f"{objective.estimator.name} does not go with .*{reason}.* Valid here: {valid[0]}"
    ):
        vi.fit(jax.random.key(0), TARGET, vi.gradient(guide, objective))
