"""Long NUTS runs, against closed forms; and their checks, made to fail."""

import jax
import numpy as np
import pytest

from tests.exact.checks import check_mean
from tests.typecheck import as_users_call_it
from vi_toolkit import exact, from_log_density, zoo
from vi_toolkit.exact import reference as run
from vi_toolkit.exact.reference import _check_chains


def test_agrees_with_a_closed_form(key):
    X = np.random.default_rng(0).normal(size=(20, 2))
    known = exact.linear_regression_unknown_noise(X, X[:, 0], prior_sd=2.0, shape=2.0, rate=1.0)
    found = run(key, known.target, num_warmup=500, num_draws=2500)
    assert found.draws.shape == (10_000, 3)
    assert np.all(np.abs(found.mean - known.mean) < 5 * found.mcse)
    assert np.all(found.mcse < 0.03 * known.sd)
    np.testing.assert_allclose(found.sd, known.sd, rtol=0.06)
    np.testing.assert_allclose(found.constrained_moments["beta"][0], known.mean[1:], atol=0.1 * known.sd[1:].max())
    np.testing.assert_allclose(
        found.constrained_moments["variance"][0], known.constrained_moments["variance"][0], rtol=0.05
    )
    assert (found.log_prob, found.log_evidence) == (None, None)
    again = np.asarray(found.sample(jax.random.key(1), 5000))
    assert np.isin(again[:, 0], found.draws[:, 0]).all()
    check_mean(again - found.mean, np.zeros(3))


def test_too_few_draws_are_refused(key):
    with pytest.raises(RuntimeError, match=r"the bulk effective sample size is \d+, not above 2000"):
        run(key, zoo.skewed(1).target, num_warmup=100, num_draws=100)


def test_each_check_can_fail():
    rng = np.random.default_rng(0)
    good = rng.normal(size=(4, 5000, 2))
    mean_errors, sd_errors = _check_chains(good, 0)
    np.testing.assert_allclose(mean_errors, 1 / np.sqrt(20_000), rtol=0.1)
    np.testing.assert_allclose(sd_errors, 1 / np.sqrt(2 * 20_000), rtol=0.1)
    apart = good + np.array([0.0, 0.0, 0.0, 1.0])[:, None, None]
    with pytest.raises(RuntimeError, match=r"split R-hat is 1\.\d+, not below 1.01"):
        _check_chains(apart, 0)
    with pytest.raises(RuntimeError, match=r"NUTS did not pass: 3 transitions diverged"):
        _check_chains(good, 3)
    tails = good.copy()
    tails[0, :500] *= 10.0  # a long excursion of one chain
    with pytest.raises(RuntimeError, match="tail effective sample size"):
        _check_chains(tails, 0)
    with pytest.raises(RuntimeError, match="R-hat is nan"):
        _check_chains(good * np.nan, 0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"key": 0}, TypeError, "key: expected one JAX random key"),
        ({"target": None}, TypeError, "target: expected a Target"),
        ({"num_chains": 1}, ValueError, "num_chains: expected at least 2"),
        ({"num_draws": 0}, ValueError, "num_draws: expected at least 1"),
        ({"num_warmup": 1.5}, TypeError, "num_warmup: expected a whole number"),
    ],
)
def test_bad_input(key, change, error, message):
    arguments = {"key": key, "target": zoo.skewed(1).target} | change
    with pytest.raises(error, match=message):
        as_users_call_it(run)(arguments.pop("key"), arguments.pop("target"), **arguments)


def test_a_density_without_starts_is_refused(key):
    nowhere = from_log_density(lambda z: z[0] * np.nan, dim=1)
    with pytest.raises(ValueError, match="finite at 0 of 256 candidates"):
        run(key, nowhere)
