"""Calibration of exact and of deliberately wrong ways to fit."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax.tree_util import register_dataclass
from scipy.stats import norm

from tests.compilations import count_compilations
from vi_toolkit.algorithms.natural_gradient import NaturalGradient
from vi_toolkit.calibration import _fits, _model, sbc, vsbc
from vi_toolkit.guides import FullRankNormal
from vi_toolkit.targets import from_numpyro

X = np.array([[1.0, 0.6], [0.9, 1.2], [1.1, 0.8], [0.2, 0.5]])
SIMULATIONS = 200
GUIDE = FullRankNormal()
KEY = jax.random.key(0)


def regression(x, y=None):
    """Known noise: the posterior is normal, with a correlation of about -0.6."""
    slopes = numpyro.sample("slopes", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    numpyro.sample("y", dist.Normal(x @ slopes, 0.7).to_event(1), obs=y)


@partial(register_dataclass, data_fields=["start", "shift", "scale", "kept"], meta_fields=["guide"])
@dataclass(frozen=True)
class Wrong(NaturalGradient):
    """The default, of which the result is moved, stretched or stripped of correlations; all with one program."""

    guide: Any = GUIDE
    start: Any = 0
    shift: float = 0.0  # in standard deviations
    scale: float = 1.0
    kept: float = 1.0  # share of the correlations

    def posterior(self, params):
        q = super().posterior(params)
        sds = jnp.sqrt(q.variance)
        covariance = self.kept * q.covariance_matrix + (1 - self.kept) * jnp.diag(sds**2)
        return dist.MultivariateNormal(q.mean + self.shift * sds, self.scale**2 * covariance)


def calibrate(**changes):
    return sbc(KEY, regression, X, observed=("y",), method=Wrong(**changes), num_simulations=SIMULATIONS)


@pytest.fixture(scope="module")
def exact():
    return calibrate()


@pytest.mark.any_precision
def test_an_exact_guide_passes(exact):
    assert not exact.flagged
    assert exact.names == ("slopes[0]", "slopes[1]", "log likelihood", "log density")
    assert exact.statuses == {"CONVERGED": SIMULATIONS}
    assert "Nothing is found to be wrong with any of 4 quantities" in exact.sentence
    for share in (50, 80, 95):
        error = 100 * np.sqrt(share / 100 * (1 - share / 100) / SIMULATIONS)
        assert (np.abs(exact.table[f"covers {share} %"] - share) < 4 * error).all()


def test_ranks_are_those_of_the_exact_posterior(exact):
    """The unknowns and data are simulated again, and ranked under the posterior in closed form."""
    arguments, data = _fits.bind_arguments(regression, (X,), {})
    keys = jax.random.split(jax.random.split(KEY)[0], SIMULATIONS)[: _fits.CHUNK]
    values = jax.tree.map(np.asarray, _model.simulate(regression, arguments, data, keys))
    covariance = np.linalg.inv(np.eye(2) + X.T @ X / 0.7**2)
    means = values["y"] @ X @ covariance / 0.7**2
    expected = norm.cdf((values["slopes"] - means) / np.sqrt(np.diag(covariance)))
    error = np.sqrt(expected * (1 - expected) / exact.num_draws) + 1 / exact.num_draws
    assert (np.abs(exact.pit[: _fits.CHUNK, :2] - expected) < 5 * error).all()


@pytest.mark.parametrize(
    ("changes", "quantity", "words"),
    [
        ({"scale": 0.7}, "slopes[0]", "too narrow"),
        ({"scale": 1.5}, "slopes[1]", "too wide"),
        ({"shift": 0.5}, "slopes[0]", "too high"),
        ({"shift": -0.5}, "slopes[1]", "too low"),
        ({"kept": 0.0}, "log density", "too low"),  # no marginal is wrong, and only the joint quantities can tell
    ],
)
def test_a_wrong_guide_is_flagged(changes, quantity, words):
    found = calibrate(**changes)
    assert found.flagged
    assert words in found.table.loc[quantity, "found"]
    assert f"{quantity}: q is too" in found.sentence
    if "kept" in changes:
        assert list(found.table["found"].iloc[:2]) == ["", ""]
    if "shift" in changes:
        row = found.table.loc[quantity]
        assert abs(row["bias"] + changes["shift"]) < 4 * row["bias se"]
    if "scale" in changes:  # the errors are those of the exact posterior: 1 / scale of what q states
        row = found.table.loc[quantity]
        assert abs(row["spread"] - 1 / changes["scale"]) < 4 * row["spread se"]


def test_a_second_call_compiles_nothing_and_gives_the_same(exact):
    compiled, again = count_compilations(calibrate)
    assert compiled == 0
    np.testing.assert_array_equal(again.pit, exact.pit)


def test_vsbc_sees_a_shift_and_no_width():
    def found(**changes):
        return vsbc(KEY, regression, X, observed="y", method=Wrong(**changes), num_simulations=SIMULATIONS)

    shifted, narrow = found(shift=0.5), found(scale=0.6)
    assert shifted.flagged
    assert shifted.names == ("slopes[0]", "slopes[1]")
    assert all("too high" in words for words in shifted.table["found"])
    assert not narrow.flagged


def skewed(y=None):
    """A rate near zero: log rate has a long tail to the left, and no normal has."""
    rate = numpyro.sample("rate", dist.Exponential(1.0))
    numpyro.deterministic("twice", 2 * rate)
    numpyro.sample("y", dist.Normal(rate, 1.0), obs=y)


def test_a_normal_for_a_skewed_posterior_is_flagged():
    settings = {"sites": ("twice", "rate"), "method": Wrong(), "num_simulations": SIMULATIONS}
    found = sbc(KEY, skewed, observed=("y",), **settings)
    assert found.flagged
    assert found.names[:2] == ("twice", "rate")
    assert found.table.loc["rate", "found"]
    np.testing.assert_allclose(found.pit[:, 0], found.pit[:, 1], atol=1.5 / found.num_draws)  # one rank, two ties


def test_a_wrong_prior_is_flagged():
    def confident(x, y=None):
        slopes = numpyro.sample("slopes", dist.Normal(0.5, 0.5).expand([2]).to_event(1))
        numpyro.sample("y", dist.Normal(x @ slopes, 0.7).to_event(1), obs=y)

    settings = {"fit_model": confident, "method": Wrong(), "num_simulations": SIMULATIONS}
    found = sbc(KEY, regression, X, observed=("y",), **settings)
    assert found.flagged
    assert "too high" in found.table.loc["slopes[1]", "found"]


def test_fits_that_fail_are_told_and_flagged(monkeypatch):
    fit, calls = _fits.fit, []

    def sometimes(*arguments, **settings):
        calls.append(1)
        if len(calls) % 4 == 2:
            raise ValueError("target: no place to begin")
        return fit(*arguments, **settings)

    monkeypatch.setattr(_fits, "fit", sometimes)
    found = sbc(KEY, regression, X, observed=("y",), method=Wrong(), num_simulations=40)
    assert found.flagged
    assert len(found.pit) == 30
    assert found.failures == ("target: no place to begin",) * 10
    assert "10 could not be fitted" in found.sentence


def test_a_value_that_is_no_number_is_ranked_as_the_lowest():
    def model():
        numpyro.deterministic("root", jnp.sqrt(numpyro.sample("mean", dist.Normal(0.0, 1.0))))

    target = from_numpyro(model)
    roots = [_fits._quantities(target, jnp.array([z]), ("root",), False)["root"] for z in (-1.0, 4.0)]
    np.testing.assert_allclose(roots, [-np.inf, 2.0])


def test_an_interrupt_keeps_what_there_is(monkeypatch):
    fit, calls = _fits.fit, []

    def interrupted(*arguments, **settings):
        calls.append(1)
        if len(calls) > 25:
            raise KeyboardInterrupt
        return fit(*arguments, **settings)

    monkeypatch.setattr(_fits, "fit", interrupted)
    found = sbc(KEY, regression, X, observed=("y",), method=Wrong(), num_simulations=40)
    assert 20 <= len(found.pit) <= 25
    assert found.sentence.startswith("Interrupted. ")


def improper(y=None):
    mean = numpyro.sample("mean", dist.ImproperUniform(dist.constraints.real, (), ()))
    numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)


def with_factor(y=None):
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    numpyro.factor("extra", -(mean**2))
    numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)


@pytest.mark.parametrize(
    ("model", "settings", "words"),
    [
        (improper, {}, "model: it cannot be simulated from"),
        (with_factor, {}, "site 'extra' is a factor"),
        (partial(skewed, y=1.0), {}, "its site 'y' was given data"),
        (skewed, {"observed": ("x",)}, r"observed: the model has no sample site 'x'; it has \['rate', 'y'\]"),
        (skewed, {"sites": ("x",)}, r"sites: the model has no site 'x'; it has \['rate', 'twice'\]"),
        (skewed, {"fit_model": with_factor}, "fit_model: its unknown site 'mean' of shape"),
        (skewed, {"fit_model": lambda: numpyro.sample("rate", dist.Exponential(1.0))}, "fit_model: it has no sample"),
        (skewed, {"num_simulations": 5}, "num_simulations: expected at least 10, got 5"),
        (skewed, {"level": 0.0}, "level: expected the chance of a false alarm"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(model, settings, words):
    with pytest.raises(ValueError, match=words):
        sbc(KEY, model, **{"observed": ("y",), "num_simulations": 10} | settings)


@pytest.mark.usefixtures("without_type_checks")
def test_arguments_of_the_wrong_kind():
    with pytest.raises(TypeError, match="observed: expected names of sites"):
        sbc(KEY, skewed, observed=())
    with pytest.raises(TypeError, match="model: expected a NumPyro model"):
        sbc(KEY, "model", observed=("y",))
    with pytest.raises(TypeError, match="method: expected a Method"):
        sbc(KEY, skewed, observed=("y",), method="default")
    with pytest.raises(TypeError, match="num_draws"):
        sbc(KEY, skewed, observed=("y",), num_draws=10.5)
