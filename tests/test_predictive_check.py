"""Posterior predictive checks: against closed forms, and on models that are right and wrong."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import mask
from scipy.stats import chi2, norm

import vi_toolkit as vi
from tests.compilations import count_compilations

Y = np.random.default_rng(0).normal(1.0, 1.5, 30)
SD, PRIOR = 1.5, 3.0
NUM = 4000


def normal_mean(y):
    mean = numpyro.sample("mean", dist.Normal(0.0, PRIOR))
    numpyro.sample("y", dist.Normal(mean, SD), obs=y)


def normal(y):
    mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
    sd = numpyro.sample("sd", dist.HalfNormal(10.0))
    with numpyro.plate("row", len(y)):
        numpyro.sample("y", dist.Normal(mean, sd), obs=y)


def poisson(y):
    rate = numpyro.sample("rate", dist.Gamma(1.0, 0.1))
    with numpyro.plate("row", len(y)):
        numpyro.sample("y", dist.Poisson(rate), obs=y)


def fitted(model, *data):
    return vi.fit(jax.random.key(0), vi.from_numpyro(model, *data))


@pytest.fixture(scope="module")
def fit():
    return fitted(normal_mean, Y)


def posterior():
    precision = 1 / PRIOR**2 + len(Y) / SD**2
    return Y.sum() / SD**2 / precision, 1 / precision


def share_error(share, num=NUM):
    """Five standard errors of a share of draws, or one draw where it is next to 0 or 1."""
    return np.maximum(5 * np.sqrt(share * (1 - share) / num), 2 / num)


def exact_shares(mean, variance):
    """P(T(y_rep) >= T(y)) for a posterior N(mean, variance) of the mean: closed forms, and quadrature over the mean."""
    grid = mean + np.sqrt(variance) * np.linspace(-8, 8, 4001)
    density = norm.pdf(grid, mean, np.sqrt(variance)) * (grid[1] - grid[0])
    return {
        "mean": norm.sf(Y.mean(), mean, np.sqrt(variance + SD**2 / len(Y))),
        "sd": chi2.sf(len(Y) * Y.var() / SD**2, len(Y) - 1),
        "min": density @ norm.sf((Y.min() - grid) / SD) ** len(Y),
        "max": 1 - density @ norm.cdf((Y.max() - grid) / SD) ** len(Y),
    }


def assert_is_about(check, mean, variance, num=NUM):
    table = check.table.loc["y"]
    for name, share in exact_shares(mean, variance).items():
        assert table.loc[name, "above"] == pytest.approx(share, abs=float(share_error(share, num))), name
    spread = np.sqrt(variance + SD**2 / len(Y))
    row = table.loc["mean"]
    assert row["expected"] == pytest.approx(mean, abs=5 * spread / np.sqrt(num))
    ends = row[["2.5 %", "97.5 %"]].to_numpy(float)
    error = float(share_error(0.025, num)) * spread / norm.pdf(1.96)  # of a quantile
    np.testing.assert_allclose(ends, norm.ppf([0.025, 0.975], mean, spread), atol=error)
    pit = norm.cdf(Y, mean, np.sqrt(variance + SD**2))
    assert np.all(np.abs(check.pit["y"] - pit) < share_error(pit, num))


def test_shares_quantiles_and_pit_against_the_closed_forms(fit):
    check = vi.predictive_check(jax.random.key(1), fit)
    assert_is_about(check, *posterior())
    assert not check.flagged
    assert check.corrected
    assert check.table.loc[("y", "sd"), "observed"] == pytest.approx(Y.std())
    assert str(check).startswith("The data are like those of the fitted model in mean, sd, min and max of 'y'. ")
    assert "importance weights are nearly all alike" in check.sentence


def moved(fit, sds):
    sd = fit.posterior.variance**0.5
    return dataclasses.replace(fit, params=fit.params | {"location": fit.params["location"] + sds * sd})


def test_a_q_that_is_off_is_corrected_and_one_that_is_hopeless_is_said_to_be_q(fit):
    mean, variance = posterior()
    near = vi.predictive_check(jax.random.key(1), moved(fit, 0.7))
    assert near.corrected
    assert "count by their importance weights (k-hat" in near.sentence
    assert_is_about(near, mean, variance, num=NUM / np.exp(0.49))  # effective draws of a shift by 0.7 sds
    far = vi.predictive_check(jax.random.key(1), moved(fit, 15.0))
    assert not far.corrected
    assert far.khat > 0.7
    assert "The draws are of q as it is, since their weights have k-hat" in far.sentence
    assert_is_about(far, mean + 15 * np.sqrt(variance), variance)
    assert far.flagged
    assert far.table["p"].min() == pytest.approx(4 * 2 / (NUM + 1))  # no draw of four statistics is so far out


def kurtosis(y):
    return np.mean(((y - y.mean()) / y.std()) ** 4)


CASES = {
    "heavy tails": (normal, lambda rng: rng.normal(3.0, 2.0, 80), lambda rng: rng.standard_t(1.3, 80), "kurtosis"),
    "outlier": (
        normal,
        lambda rng: rng.normal(3.0, 2.0, 80),
        lambda rng: np.append(rng.normal(3.0, 2.0, 79), 25.0),
        "max",
    ),
    "overdispersed counts": (
        poisson,
        lambda rng: rng.poisson(4.0, 80),
        lambda rng: rng.negative_binomial(2, 1 / 3, 80),
        "sd",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_model_is_flagged_and_the_right_one_is_not(case):
    """At level 0.01, of ten data sets from the right model one may be flagged by chance (0.5 % have two or more)."""
    model, right, wrong, seen_by = CASES[case]
    alarms = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        given = {"num_draws": 2000, "statistics": {"kurtosis": kurtosis}}
        alarms += vi.predictive_check(jax.random.key(seed), fitted(model, right(rng)), **given).flagged
        check = vi.predictive_check(jax.random.key(seed), fitted(model, wrong(rng)), **given)
        assert check.flagged, seed
        assert check.table.loc[("y", seen_by), "found"] == "higher than the model has it", seed
        assert check.sentence.startswith("The data are not like those of the fitted model, in ")
    assert alarms <= 1


def test_which_way_it_is_wrong_is_said():
    rng = np.random.default_rng(1)
    check = vi.predictive_check(jax.random.key(1), fitted(poisson, rng.negative_binomial(2, 1 / 3, 80)))
    row = check.table.loc[("y", "sd")]
    assert row["found"] == "higher than the model has it"
    assert row["above"] < 0.001
    said = f"sd of 'y' is {row['observed']:.4g}, higher than the model has it: 95 % of replicated data sets have "
    assert f"{said}{row['2.5 %']:.4g} to {row['97.5 %']:.4g}" in check.sentence
    even = vi.predictive_check(jax.random.key(1), fitted(poisson, np.repeat([3, 4, 5], 27)[:80]))
    assert even.table.loc[("y", "sd"), "found"] == "lower than the model has it"


@pytest.mark.any_precision
def test_a_yes_or_no_outcome():
    """PIT of y = 1 is 1 - p / 2 and of y = 0 is (1 - p) / 2, p the posterior mean (1 + k) / (2 + n)."""

    def coin(y):
        numpyro.sample("y", dist.Bernoulli(numpyro.sample("p", dist.Uniform(0.0, 1.0))), obs=y)

    y = np.array([1, 0, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1])
    check = vi.predictive_check(jax.random.key(1), fitted(coin, y))
    p = (1 + y.sum()) / (2 + len(y))
    pit = np.where(y == 1, 1 - p / 2, (1 - p) / 2)
    assert np.abs(check.pit["y"] - pit).max() < share_error(p) / 2
    assert not check.flagged
    assert check.table.loc[("y", "max"), "p"] == 1.0  # almost all replicated data have a one, as the data do


def two_sites(counts, heights, seen):
    rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
    with numpyro.plate("place", len(counts)):
        numpyro.sample("counts", dist.Poisson(rate), obs=counts)
    with numpyro.plate("person", len(heights)), mask(mask=seen):
        numpyro.sample("heights", dist.Normal(0.0, 1.0), obs=heights)
    numpyro.sample("total", dist.Normal(rate, 1.0), obs=jnp.array(2.0))


def test_several_sites_and_values_that_are_masked_out():
    """An absurd height that is masked out does not count; one that is seen is the only thing that is found."""
    counts = np.array([2, 1, 3, 2, 0, 4])
    heights, seen = np.linspace(-1.5, 1.5, 21), np.ones(21, bool)
    heights[3], seen[3] = 50.0, False
    check = vi.predictive_check(jax.random.key(1), fitted(two_sites, counts, heights, seen))
    assert not check.flagged
    assert list(check.pit) == ["counts", "heights", "total"]
    np.testing.assert_array_equal(np.isnan(check.pit["heights"]), ~seen)
    assert check.table.loc[("heights", "max"), "observed"] == 1.5
    assert list(check.table.loc["total"].index) == ["value"]
    assert len(check.table) == 9
    heights[4] = -9.0
    fit = fitted(two_sites, counts, heights, seen)
    found = vi.predictive_check(jax.random.key(1), fit).table["found"]
    assert set(found[found != ""].index) == {("heights", "min"), ("heights", "sd")}
    alone = vi.predictive_check(jax.random.key(1), fit, site="counts")
    assert set(alone.table.index.get_level_values("site")) == {"counts"}
    assert not alone.flagged


def neighbours(y):
    return np.corrcoef(y[:-1], y[1:])[0, 1]


def test_a_statistic_of_ones_own_sees_what_the_usual_ones_do_not():
    """A random walk that comes back, under a model of independent values."""
    rng, y = np.random.default_rng(2), np.zeros(80)
    for t in range(1, 80):
        y[t] = 0.9 * y[t - 1] + rng.normal()
    fit = fitted(normal, y)
    assert not vi.predictive_check(jax.random.key(1), fit).flagged
    check = vi.predictive_check(jax.random.key(1), fit, statistics={"neighbours": neighbours})
    found = check.table["found"]
    assert list(found[found != ""].index) == [("y", "neighbours")]
    assert check.table.loc[("y", "neighbours"), "observed"] == pytest.approx(neighbours(y))


def test_statistics_that_are_no_number_are_told(fit):
    given = {"some": lambda y: y.mean() if y.max() <= Y.max() else np.nan, "never": lambda y: np.nan}
    check = vi.predictive_check(jax.random.key(1), fit, statistics=given)
    above = exact_shares(*posterior())["max"]
    missing = check.table.loc["y"]["not a number"]
    assert missing["some"] / NUM == pytest.approx(above, abs=float(share_error(above)))
    assert missing["never"] == NUM
    assert np.isnan(check.table.loc[("y", "never"), "p"])
    assert "Of some and never of 'y' some replicated data sets give no number (4000 at most)" in check.sentence
    assert "never of 'y' of the data is no number itself." in check.sentence
    assert not check.flagged


def test_too_few_draws_for_the_level_are_told(fit):
    check = vi.predictive_check(jax.random.key(1), moved(fit, 15.0), num_draws=100)
    assert not check.flagged
    assert "100 effective draws are too few to flag one of 4 statistics at level 0.01: take more." in check.sentence


def test_other_data_of_the_same_shape_compile_nothing(fit):
    vi.predictive_check(jax.random.key(1), fit)
    other = fitted(normal_mean, Y + 1.0)
    number, _ = count_compilations(lambda: vi.predictive_check(jax.random.key(2), other))
    assert number == 0


def test_refusals(fit):
    plain = vi.fit(jax.random.key(0), vi.from_log_density(lambda z: -0.5 * z @ z, dim=1), max_steps=2)
    with pytest.raises(ValueError, match="fit: its target has no observations to check"):
        vi.predictive_check(jax.random.key(1), plain)
    with pytest.raises(ValueError, match=r"site: there is no observed site 'x'; there are \['y'\]"):
        vi.predictive_check(jax.random.key(1), fit, site="x")
    with pytest.raises(ValueError, match="num_draws: expected at least 100, got 99"):
        vi.predictive_check(jax.random.key(1), fit, num_draws=99)
    with pytest.raises(ValueError, match=r"level: expected the chance of a false alarm, such as 0\.01, got 0\.7"):
        vi.predictive_check(jax.random.key(1), fit, level=0.7)
    with pytest.raises(TypeError, match=r"statistics\['all'\]: expected one number for data of shape \(30,\), got"):
        vi.predictive_check(jax.random.key(1), fit, statistics={"all": lambda y: y})


@pytest.mark.usefixtures("without_type_checks")
def test_arguments_of_the_wrong_kind(fit):
    with pytest.raises(TypeError, match="fit: expected a Fit"):
        vi.predictive_check(jax.random.key(1), "fit")
    with pytest.raises(TypeError, match=r"statistics\['mode'\]: expected a function of the data, got str 'mode'"):
        vi.predictive_check(jax.random.key(1), fit, statistics={"mode": "mode"})
    with pytest.raises(TypeError, match="statistics: expected a Mapping"):
        vi.predictive_check(jax.random.key(1), fit, statistics=np.mean)
