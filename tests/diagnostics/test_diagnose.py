"""Whole diagnoses, of fits whose parameters are set by hand: every number is then known in closed form."""

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import vi_toolkit as vi
from vi_toolkit import exact
from vi_toolkit.diagnostics import Verdict, diagnose
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.fit import Fit

LOG_Z = 2.0
COVARIANCE = np.array([[1.0, 0.6], [0.6, 2.0]])


@cache
def gaussian(log_z: float = LOG_Z) -> ExactPosterior:
    """N((1, -1), COVARIANCE), as a density that is off by the factor e^log_z."""
    known = exact.gaussian_mixture([1.0], [[1.0, -1.0]], [COVARIANCE])
    target = vi.from_log_density(Shifted(known.target, log_z), dim=2)
    return dataclasses.replace(known, target=target, log_evidence=log_z)


@dataclasses.dataclass(frozen=True, eq=False)
class Shifted:
    target: vi.Target
    shift: float

    def __call__(self, z):
        return self.target.log_density(z) + self.shift


@cache
def some_fit(guide: vi.Guide) -> Fit:
    target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=1)
    return vi.fit(jax.random.key(0), target, vi.gradient(guide, vi.ReverseKL()), max_steps=1)


def set_by_hand(target: vi.Target, guide: vi.Guide, params, status: vi.Status = vi.Status.CONVERGED) -> Fit:
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(float)), params)
    return dataclasses.replace(some_fit(guide), target=target, params=params, status=status, warnings=())


def full_rank(target: vi.Target, mean, covariance, **kwargs) -> Fit:
    factor = np.linalg.cholesky(covariance)
    params = {"location": np.asarray(mean), "log_diagonal": np.log(np.diag(factor)), "lower": np.tril(factor, -1)}
    return set_by_hand(target, vi.FullRankNormal(), params, **kwargs)


def mean_field(target: vi.Target, mean, sd, **kwargs) -> Fit:
    return set_by_hand(target, vi.MeanFieldNormal(), {"location": np.asarray(mean), "log_scale": np.log(sd)}, **kwargs)


def kl(mean_a, covariance_a, mean_b, covariance_b) -> float:
    a, b = (
        dist.MultivariateNormal(jnp.array(m), jnp.array(c)) for m, c in ((mean_a, covariance_a), (mean_b, covariance_b))
    )
    return float(dist.kl_divergence(a, b))


MEAN = np.array([1.0, -1.0])


@pytest.mark.any_precision
def test_q_equal_to_p(key):
    fit = full_rank(gaussian().target, MEAN, COVARIANCE)
    report = diagnose(key, fit, reference=gaussian())
    tolerance = 1e-9 if jax.config.jax_enable_x64 else 1e-4
    assert report.khat == -np.inf
    assert report.ess == pytest.approx(4000, rel=tolerance)
    for value in (report.elbo, report.log_evidence, report.reference_log_evidence):
        assert value == pytest.approx(LOG_Z, abs=tolerance)
    for value in (report.reverse_kl, report.forward_kl, report.mean_error, report.log_sd_ratio, report.elbo_se):
        assert value == pytest.approx(0.0, abs=tolerance)
    assert report.verdict is Verdict.GOOD
    assert set(report.verdicts.values()) == {Verdict.GOOD}
    np.testing.assert_allclose(report.mode_masses, [1.0])


@pytest.mark.any_precision
def test_every_number_against_its_closed_form(key):
    mean, covariance = np.array([1.2, -1.0]), np.array([[0.8, 0.3], [0.3, 1.5]])
    report = diagnose(key, full_rank(gaussian().target, mean, covariance), reference=gaussian(), num_draws=20_000)
    reverse, forward = kl(mean, covariance, MEAN, COVARIANCE), kl(MEAN, COVARIANCE, mean, covariance)
    assert abs(report.elbo - (LOG_Z - reverse)) < 5 * report.elbo_se
    assert abs(report.log_evidence - LOG_Z) < 5 * report.log_evidence_se
    assert abs(report.reverse_kl - reverse) < 5 * report.reverse_kl_se
    assert abs(report.forward_kl - forward) < 5 * report.forward_kl_se
    assert max(report.elbo_se, report.log_evidence_se, report.reverse_kl_se, report.forward_kl_se) < 0.02
    np.testing.assert_allclose(report.mean_errors, [0.2, 0.0], atol=1e-5)
    np.testing.assert_allclose(report.log_sd_ratios, 0.5 * np.log([0.8, 0.75]), atol=1e-5)
    assert report.mean_error == pytest.approx(0.2, abs=1e-5)
    assert report.log_sd_ratio == pytest.approx(-0.5 * np.log(0.75), abs=1e-5)


def test_mean_field_on_a_strong_correlation_is_not_trusted(key):
    known = exact.gaussian_mixture([1.0], [[0.0, 0.0]], [[[1.0, 0.95], [0.95, 1.0]]])
    sd = np.full(2, np.sqrt(1 - 0.95**2))
    fit = mean_field(known.target, np.zeros(2), sd)
    seeing, blind = diagnose(key, fit, reference=known), diagnose(key, fit)
    assert seeing.khat == blind.khat > 0.7
    assert blind.verdict is seeing.verdict is Verdict.NOT_TRUSTED
    assert seeing.verdicts["means"] is Verdict.GOOD
    assert seeing.verdicts["spreads"] is Verdict.NOT_TRUSTED
    np.testing.assert_allclose(np.exp(seeing.log_sd_ratios), sd)
    assert blind.reverse_kl is None
    assert blind.mean_errors is None


def test_slightly_narrow_is_usable_after_reweighting(key):
    fit = full_rank(gaussian().target, MEAN, 0.75 * COVARIANCE)  # log sd ratio -0.14
    for report in (diagnose(key, fit), diagnose(key, fit, reference=gaussian())):
        assert report.verdict is Verdict.USABLE_AFTER_REWEIGHTING
        assert report.verdicts["spreads"] is Verdict.USABLE_AFTER_REWEIGHTING
        assert report.verdicts["means"] is Verdict.GOOD


def test_a_missed_mode_is_found_without_a_reference(key):
    """One of two modes far apart, exactly: constant weights, which know nothing of it."""
    known = exact.gaussian_mixture([0.7, 0.3], [[-20.0], [20.0]], [[[1.0]], [[1.0]]])
    fit = full_rank(known.target, [-20.0], np.eye(1))
    blind, seeing = diagnose(key, fit), diagnose(key, fit, reference=known)
    assert blind.khat == -np.inf
    assert blind.verdict is blind.verdicts["modes"] is blind.verdicts["means"] is Verdict.NOT_TRUSTED
    assert blind.basins.missed == (1,)
    assert abs(blind.basins.mass.values[1] - 0.3) < 5 * blind.basins.mass.ses[1] < 0.1
    np.testing.assert_allclose(blind.basins.sites[1]["z"], [20.0], atol=1e-3)
    assert "of the posterior lies about z = [20]" in blind.reasons["modes"]
    assert any("NormalMixture(2)" in advice for advice in blind.advice)
    assert seeing.verdict is seeing.verdicts["modes"] is Verdict.NOT_TRUSTED
    np.testing.assert_allclose(seeing.mode_masses, [1.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(seeing.reference_mode_masses, [0.7, 0.3])
    assert seeing.reverse_kl == pytest.approx(-np.log(0.7), abs=1e-9)
    assert seeing.forward_kl > 100


def test_and_without_a_search_it_cannot_be_told(key):
    known = exact.gaussian_mixture([0.7, 0.3], [[-20.0], [20.0]], [[[1.0]], [[1.0]]])
    report = diagnose(key, full_rank(known.target, [-20.0], np.eye(1)), search=False, explain=False)
    assert report.verdict is report.verdicts["modes"] is Verdict.CANNOT_TELL
    assert report.verdicts["tails"] is Verdict.GOOD
    assert "whether a mode is missed cannot be told" in report.sentence
    assert report.basins is report.shape is report.convergence is None


def test_a_wide_q_is_not_good(key):
    """The forward-KL optimum for two modes: the moments are right, and most of its draws lie where p is nearly zero."""
    known = exact.gaussian_mixture([0.5, 0.5], [[-6.0], [6.0]], [[[1.0]], [[1.0]]])
    report = diagnose(key, full_rank(known.target, [0.0], known.covariance), reference=known)
    assert report.khat < 0.5
    assert report.verdicts["means"] is report.verdicts["spreads"] is report.verdicts["modes"] is Verdict.GOOD
    assert report.verdict is report.verdicts["tails"] is Verdict.USABLE_AFTER_REWEIGHTING


def draws_only(known: ExactPosterior, size: int = 20_000) -> ExactPosterior:
    """The same posterior as a NUTS run would know it."""
    draws = np.asarray(known.sample(jax.random.key(7), size), np.float64)
    return dataclasses.replace(
        known,
        log_evidence=None,
        mean=draws.mean(axis=0),
        covariance=np.cov(draws.T),
        modes=None,
        mode_weights=None,
        draws=draws,
        mcse=draws.std(axis=0) / np.sqrt(size),
    )


def test_a_reference_known_by_its_draws(key):
    covariance = 0.8 * COVARIANCE
    report = diagnose(key, full_rank(gaussian().target, MEAN, covariance), reference=draws_only(gaussian()))
    assert abs(report.reference_log_evidence - LOG_Z) < 5 * report.reference_log_evidence_se
    assert abs(report.reverse_kl - kl(MEAN, covariance, MEAN, COVARIANCE)) < 5 * report.reverse_kl_se
    assert abs(report.forward_kl - kl(MEAN, COVARIANCE, MEAN, covariance)) < 5 * report.forward_kl_se
    assert 0 < report.reference_log_evidence_se < 0.02
    np.testing.assert_allclose(report.log_sd_ratios, 0.5 * np.log(0.8), atol=0.03)
    assert report.verdicts["modes"] is Verdict.CANNOT_TELL
    assert report.verdict is Verdict.USABLE_AFTER_REWEIGHTING


def test_a_reference_with_another_constant(key):
    """The fit's own log density has another constant than the reference's: D(q||p) is the same."""
    fit = full_rank(gaussian(-5.0).target, MEAN, COVARIANCE)
    report = diagnose(key, fit, reference=gaussian())
    assert report.elbo == pytest.approx(-5.0, abs=1e-9)
    assert report.reference_log_evidence == pytest.approx(-5.0, abs=1e-9)
    assert report.reverse_kl == pytest.approx(0.0, abs=1e-9)


def test_a_reference_of_another_posterior(key):
    other = exact.gaussian_mixture([1.0], [[0.0, 0.0]], [np.eye(2)])
    fit = full_rank(gaussian().target, MEAN, COVARIANCE)
    with pytest.raises(ValueError, match="is of another posterior than the fit"):
        diagnose(key, fit, reference=other)
    with pytest.raises(ValueError, match="expected one of dim 2, that of the fit's target, got 1"):
        diagnose(key, fit, reference=exact.beta_binomial(3, 5, a=1.0, b=1.0))


def test_a_reference_without_moments(key):
    known = dataclasses.replace(gaussian(), mean=None, covariance=None)
    report = diagnose(key, full_rank(gaussian().target, MEAN, COVARIANCE), reference=known)
    assert report.mean_error is None
    assert report.verdicts["means"] is Verdict.CANNOT_TELL
    assert report.reverse_kl == pytest.approx(0.0, abs=1e-9)
    assert "largest error" not in str(report)


def test_draws_where_the_posterior_is_zero(key):
    """p is N(0, 1) cut at zero, q is N(0, 1): half of the draws count, Z = 1/2."""
    target = vi.from_log_density(
        lambda z: jnp.where(z[0] > 0, -0.5 * z[0] ** 2 - 0.5 * jnp.log(2 * jnp.pi), -jnp.inf), dim=1
    )
    report = diagnose(key, mean_field(target, [0.0], [1.0]))
    assert abs(report.num_zero - 2000) < 5 * np.sqrt(1000)
    assert report.ess == pytest.approx(4000 - report.num_zero)
    assert abs(report.log_evidence - np.log(0.5)) < 5 * report.log_evidence_se
    assert report.elbo == -np.inf
    assert report.verdict is Verdict.USABLE_AFTER_REWEIGHTING
    assert f"{report.num_zero} of 4000 draws lie where the posterior is zero" in report.sentence
    assert "-inf nats" in str(report)


def test_a_log_density_that_is_nan(key):
    target = vi.from_log_density(lambda z: -0.5 * z[0] ** 2 + 0.0 * jnp.sqrt(z[0] + 3.0), dim=1)
    report = diagnose(key, mean_field(target, [0.0], [1.0]))
    assert report.khat == np.inf
    assert report.verdict is Verdict.NOT_TRUSTED
    assert "draws have no usable log density" in report.sentence


def test_a_fit_that_did_not_converge_is_not_good(key):
    fit = full_rank(gaussian().target, MEAN, COVARIANCE, status=vi.Status.MAX_STEPS)
    assert diagnose(key, fit).verdict is Verdict.USABLE_AFTER_REWEIGHTING
    assert diagnose(key, fit, reference=gaussian()).verdict is Verdict.USABLE_AFTER_REWEIGHTING


def test_a_real_fit_is_good(key):
    fit = vi.fit(jax.random.key(3), gaussian().target)
    report = diagnose(key, fit, reference=gaussian())
    assert report.verdict is Verdict.GOOD
    assert report.mean_error < 0.02
    assert report.elbo == pytest.approx(LOG_Z, abs=0.01)


def test_the_same_key_gives_the_same_report(key):
    fit = full_rank(gaussian().target, MEAN, 0.9 * COVARIANCE)
    first, again = (diagnose(key, fit, reference=gaussian()) for _ in range(2))
    assert (first.elbo, first.khat, first.forward_kl) == (again.elbo, again.khat, again.forward_kl)
    assert diagnose(jax.random.key(5), fit).elbo != first.elbo


def test_a_second_diagnosis_compiles_nothing(key, caplog):
    diagnose(key, full_rank(gaussian().target, MEAN, COVARIANCE), reference=gaussian())
    moved = full_rank(gaussian().target, MEAN, 0.8 * COVARIANCE)
    with jax.log_compiles(), caplog.at_level("WARNING"):
        diagnose(key, moved, reference=gaussian())
    assert [record.getMessage() for record in caplog.records if "Compiling" in record.getMessage()] == []


def test_the_table(key):
    text = str(diagnose(key, full_rank(gaussian().target, MEAN, COVARIANCE), reference=gaussian()))
    assert "log evidence, reference" in text
    assert "sd of q / sd of p                  1 to 1" in text
    assert text.splitlines()[-1].startswith("Good: all importance weights are the same")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"key": 0}, TypeError, "key"),
        ({"fit": None}, TypeError, "fit"),
        ({"reference": 1.0}, TypeError, "reference"),
        ({"num_draws": 4.5}, TypeError, "num_draws"),
        ({"num_draws": 24}, ValueError, "num_draws: expected at least 25"),
    ],
)
def test_bad_input(change, error, words):
    given = {"key": jax.random.key(0), "fit": full_rank(gaussian().target, MEAN, COVARIANCE)} | change
    with pytest.raises(error, match=words):
        diagnose(given.pop("key"), given.pop("fit"), **given)


def test_restarts_are_held_against_one_another(key):
    two = vi.zoo.two_modes(separation=8.0, dim=1)
    fit = vi.fit(jax.random.key(0), two.target, vi.restarts(vi.laplace(), 4))
    found = vi.diagnose(key, fit, search=False)
    assert found.agreement.rhat[0] > 1.5
    assert "The 4 fits disagree" in str(found)
    for method in (vi.laplace(), vi.restarts(vi.laplace(), 1)):
        assert diagnose(key, vi.fit(jax.random.key(0), two.target, method), search=False).agreement is None
