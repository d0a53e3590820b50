"""Mistakes that are easily made, put in on purpose: each is caught by the checks that the right code passes."""

import importlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from numpyro.distributions.transforms import SigmoidTransform

import vi_toolkit as vi
from tests.compilations import jit
from tests.estimators.test_gradients import (
    KEYS,
    NORMAL,
    ONE,
    TARGET,
    TWO,
    assert_unbiased,
    by_key,
    exact_gradients,
    exact_mean,
    exact_pair,
    gradients,
    mean_loss,
    normalised,
)

FEW = KEYS[:30_000]


def module(name):
    """A file of the package; its functions may stand in the package under the same name."""
    return importlib.import_module(f"vi_toolkit.{name}")


def check_mean(objective, generator, num_draws):
    """The gradient of a loss that is a mean over draws."""
    h = normalised(generator) if generator else lambda lw: -lw
    of = mean_loss(h) if generator else objective.of
    estimates = gradients(objective.estimator, [of], ONE if generator else objective.shape, NORMAL, num_draws, FEW)
    assert_unbiased(estimates, exact_gradients([partial(exact_mean, h)], NORMAL), [str(objective)])


def check_pair(objective):
    """The gradient of a bound of two draws, whose definition is written here once more."""
    power = {vi.IWAE: lambda o: 1.0, vi.Renyi: lambda o: 1.0 - o.alpha}[type(objective)](objective)
    bound = lambda lw, _: -jnp.log(jnp.mean(jnp.exp(power * lw))) / power  # noqa: E731
    estimates = gradients(objective.estimator, [objective.of], TWO, NORMAL, 2, FEW)
    assert_unbiased(estimates, exact_gradients([partial(exact_pair, bound)], NORMAL), [str(objective)])


def check_in_one_step(objective, h, draws=512, keys=FEW[:2000], slack=0.02):
    """The gradient of the objective as a fit takes it, where its bias is below ``slack`` of the largest entry."""
    guide, params = NORMAL
    flat, unflatten = ravel_pytree(params)
    estimates = by_key(lambda flat, key: objective.loss(key, unflatten(flat), guide, TARGET, draws)[0], flat, keys)
    truth = exact_gradients([h], NORMAL)[0]
    error = estimates.std(0) / np.sqrt(len(estimates))
    assert np.all(np.abs(estimates.mean(0) - truth) < 5 * error + slack * np.abs(truth).max())
    assert np.max(np.abs(truth) / error) > 20


def check_no_noise_at_the_target():
    """Where q is p, stick-the-landing has no gradient at all."""
    guide, params = NORMAL
    p = vi.from_log_density(lambda z: guide.distribution(params).log_prob(z), dim=1)
    loss = lambda params, key: vi.ReverseKL().loss(key, params, guide, p, 2)[0]  # noqa: E731
    slopes = jit(jax.vmap(jax.grad(loss), (None, 0)))(params, KEYS[:5])
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(slopes)) < 1e-9


def check_the_evidence_of_a_constrained_model():
    """The density on the unconstrained space has the same integral as the model."""
    exact = vi.exact.beta_binomial(7, 10, a=1.0, b=1.0)
    grid = jnp.linspace(-20.0, 20.0, 4001)[:, None]
    total = jnp.sum(jnp.exp(jit(jax.vmap(exact.target.log_density))(grid))) * (grid[1, 0] - grid[0, 0])
    np.testing.assert_allclose(jnp.log(total), exact.log_evidence, rtol=1e-8)


def log_mean_power(alpha):
    sign = 1.0 if alpha < 0 else -1.0
    return lambda guide, params: (
        sign * jnp.log(exact_mean(lambda lw: jnp.exp((1 - alpha) * lw), guide, params)) / (1 - alpha)
    )


JS = vi.generators.jensen_shannon()
CHECKS = {
    "reverse KL": partial(check_mean, vi.ReverseKL(), None, 1),
    "reverse KL by score": partial(check_mean, vi.ReverseKL(vi.estimators.score_function), None, 2),
    "Jensen-Shannon": partial(check_mean, vi.FDivergence(JS, vi.estimators.doubly_reparameterised), JS, 1),
    "Jensen-Shannon by score": partial(check_mean, vi.FDivergence(JS, vi.estimators.score_function), JS, 2),
    "IWAE": partial(check_pair, vi.IWAE(2)),
    "IWAE, in full": partial(check_pair, vi.IWAE(2, vi.estimators.reparameterised)),
    "IWAE by VIMCO": partial(check_pair, vi.IWAE(2, vi.estimators.vimco)),
    "Renyi": partial(check_pair, vi.Renyi(0.5, 2)),
    "Jensen-Shannon in a fit": partial(check_in_one_step, vi.JensenShannon(), partial(exact_mean, normalised(JS))),
    "chi in a fit": partial(check_in_one_step, vi.Chi(2), log_mean_power(-1)),
    "forward KL in a fit": partial(
        check_in_one_step, vi.ForwardKL(), partial(exact_mean, normalised(vi.generators.forward_kl))
    ),
    "log variance": partial(check_in_one_step, vi.LogVariance(), partial(exact_mean, lambda lw: -lw)),
    "no noise": check_no_noise_at_the_target,
    "the Jacobian": check_the_evidence_of_a_constrained_model,
}


@pytest.mark.parametrize("name", CHECKS)
def test_the_code_as_it_is_passes(name):
    CHECKS[name]()


def flip_the_sign(patch):
    of = vi.ReverseKL.of
    patch.setattr(vi.ReverseKL, "of", lambda self, lw, shares: -of(self, lw, shares))


def land_without_stopping_the_gradient(patch):
    patch.setattr(module("estimators.estimator").jax.lax, "stop_gradient", lambda x: x)


def stick_the_landing_of_a_bound(patch):
    """The parameters of log q held fixed, with the weights of the loss itself."""

    def coefficients(of, log_weights, log_shares):
        by_log_weight, by_log_share = jax.grad(of, argnums=(0, 1))(log_weights, log_shares)
        return by_log_weight, by_log_share - by_log_weight

    patch.setattr(module("estimators.doubly_reparameterised"), "_coefficients", coefficients)


def squares_without_the_linear_part(patch):
    """The coefficients of IWAE, squares of the normalised weights, for every order."""

    def coefficients(of, log_weights, log_shares):
        by_log_weight, by_log_share = jax.grad(of, argnums=(0, 1))(log_weights, log_shares)
        return -(by_log_weight**2), by_log_share - by_log_weight

    patch.setattr(module("estimators.doubly_reparameterised"), "_coefficients", coefficients)


def take_the_score_alone(patch):
    """As for the ELBO: the loss's own dependence on log q left out."""
    right = vi.estimators.ScoreFunction.estimate

    def estimate(self, of, shape, *rest):
        return right(self, of, shape._replace(linear=True), *rest)

    patch.setattr(vi.estimators.ScoreFunction, "estimate", estimate)


def let_a_draw_into_its_own_baseline(patch):
    patch.setattr(module("estimators.score_function"), "_without", lambda of, lw, shares, others: of(lw, shares) * 0.5)


def replace_by_the_draw_itself(patch):
    patch.setattr(module("estimators.score_function"), "_with_mean", lambda lw, others: lw)


def skip_the_evidence(patch):
    patch.setattr(module("objectives.f_divergence"), "_log_evidence", lambda lw, shares: 0.0 * lw[0])


def weigh_the_proposal_as_if_it_were_q(patch):
    defensive = module("estimators.defensive")
    right = defensive.defensive_draws

    def draws(key, guide, params, num_draws, noise=None):
        points, _ = right(key, guide, params, num_draws, noise)
        return points, guide.distribution(params).log_prob(points)

    patch.setattr(defensive, "defensive_draws", draws)


def forget_the_stretch_in_the_density(patch):
    """log r of q stretched, without the log of the stretch."""
    defensive = module("estimators.defensive")
    right = defensive.jnp.log
    patch.setattr(defensive, "_STRETCHES", (0.0, 2.0, 6.0))
    patch.setattr(defensive, "jnp", _Without(defensive.jnp, "log", lambda x: 0.0 * right(x)))


class _Without:
    """A module with one function replaced."""

    def __init__(self, other, name, function):
        self.other, self.name, self.function = other, name, function

    def __getattr__(self, name):
        return self.function if name == self.name else getattr(self.other, name)


def take_another_power(patch):
    right = module("objectives.chi").log_power_mean
    patch.setattr(module("objectives.chi"), "log_power_mean", lambda lw, shares, power: right(lw, shares, power - 1.0))


def differentiate_the_draws_of_the_variance(patch):
    variance = module("objectives.log_variance")
    patch.setattr(variance, "jax", _WithoutStop(jax))


class _WithoutStop:
    """jax, whose stop_gradient does nothing."""

    def __init__(self, jax):
        self.jax = jax
        self.lax = _Without(jax.lax, "stop_gradient", lambda x: x)

    def __getattr__(self, name):
        return getattr(self.jax, name)


def forget_the_jacobian(patch):
    """Of the map from the line to the unit interval, where the site lives."""
    patch.setattr(SigmoidTransform, "log_abs_det_jacobian", lambda self, x, y, intermediates=None: jnp.zeros_like(x))


MUTANTS = [
    (flip_the_sign, "reverse KL"),
    (land_without_stopping_the_gradient, "no noise"),
    (stick_the_landing_of_a_bound, "IWAE"),
    (stick_the_landing_of_a_bound, "Jensen-Shannon"),
    (squares_without_the_linear_part, "Renyi"),
    (take_the_score_alone, "Jensen-Shannon by score"),
    (let_a_draw_into_its_own_baseline, "reverse KL by score"),
    (replace_by_the_draw_itself, "IWAE by VIMCO"),
    (skip_the_evidence, "Jensen-Shannon in a fit"),
    (weigh_the_proposal_as_if_it_were_q, "chi in a fit"),
    (weigh_the_proposal_as_if_it_were_q, "Jensen-Shannon in a fit"),
    (forget_the_stretch_in_the_density, "chi in a fit"),
    (take_another_power, "chi in a fit"),
    (differentiate_the_draws_of_the_variance, "log variance"),
    (forget_the_jacobian, "the Jacobian"),
]


@pytest.mark.parametrize(("mutant", "check"), MUTANTS, ids=[f"{mutant.__name__}: {name}" for mutant, name in MUTANTS])
def test_a_mutant_is_caught(mutant, check, monkeypatch):
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        CHECKS[check]()
