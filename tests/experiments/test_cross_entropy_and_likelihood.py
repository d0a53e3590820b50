"""Cross-entropy, likelihood and KL: held against scikit-learn, statsmodels, optax and SciPy."""

import sys

import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize
from scipy.special import expit, xlogy
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from tests.experiments.experiment_checks import check_experiment
from vi_toolkit import datasets, experiments, information
from vi_toolkit.experiments import _likelihood_limits as limits, _likelihood_models as models
from vi_toolkit.experiments._likelihood_routes import as_arrays, as_likelihood, solve
from vi_toolkit.experiments._minimise import evaluate
from vi_toolkit.experiments.experiment import rounding


@pytest.fixture(scope="module")
def result():
    return experiments.cross_entropy_and_likelihood()


@pytest.fixture(scope="module")
def solved():
    return {make().name: solve(make()) for make in models.MODELS}


@pytest.fixture(scope="module")
def dropped(solved):
    return limits.find_limits(solved["soft targets"])


def best_of(each):
    return [each.best, *(route.minimum for route in each.routes)]


@pytest.mark.any_precision
def test_the_three_losses_agree_to_rounding(result):
    numbers = result.numbers
    assert numbers["value_differences"].shape == numbers["minimiser_differences"].shape == (5, 2)
    assert numbers["value_differences"].max() < 40 * rounding()  # values up to 6 nats, means of up to 481 terms
    assert numbers["gradient_differences"].max() < 60 * rounding()
    assert numbers["minimiser_differences"].max() < 60 * rounding()
    assert numbers["squared_error_gap"] < 40 * rounding()
    assert numbers["least_squares_gap"] < 60 * rounding()
    assert numbers["learned_variance"] == pytest.approx(numbers["mean_squared_error"], rel=60 * rounding())
    assert numbers["smoothed_ce_and_kl"] < 60 * rounding()
    assert numbers["map_difference"] < 60 * rounding()
    assert numbers["stopped_gradient"] < 60 * rounding()
    assert numbers["limit_minimiser_differences"] == pytest.approx([0.2162, 0.1146, 0.8270, 0.0307], abs=1e-3)


def test_record(result):
    check_experiment(result, panels=4)
    assert result.table["maximum likelihood"].to_list() == ["yes"] * 10 + ["no"] * 4
    assert "0.3755" in result.conclusion


def test_nothing_global_changes(result):
    with matplotlib.rc_context():
        before = dict(matplotlib.rcParams)
        experiments.not_a_distance()
        assert dict(matplotlib.rcParams) == before


def test_entropies_by_another_route(result, solved):
    for entropy, each in zip(result.numbers["entropies"], solved.values(), strict=True):
        own = each.cells.weights @ information.entropy(each.cells.shares).value
        assert entropy == pytest.approx(own, abs=1e-14)
    p = datasets.BEETLES_KILLED / datasets.BEETLES_EXPOSED
    weights = datasets.BEETLES_EXPOSED / datasets.BEETLES_EXPOSED.sum()
    by_hand = -weights @ (xlogy(p, p) + xlogy(1 - p, 1 - p))
    assert result.numbers["entropies"][1] == pytest.approx(by_hand, abs=1e-14)
    assert by_hand > 0.1  # so that CE and KL are different losses


def test_classifier_is_that_of_statsmodels(solved):
    each = solved["classifier"]
    outside = sm.MNLogit(each.model.y, each.model.x).fit(method="newton", disp=False, tol=1e-13)
    assert each.best.value == pytest.approx(-outside.llf / 150, rel=1e-12)
    for found in best_of(each):
        np.testing.assert_allclose(found.theta.reshape(2, 2), outside.params, rtol=1e-9)


def test_soft_targets_are_binomial_counts(solved):
    """Statsmodels' GLM of (died, survived); its likelihood has binomial coefficients besides, the parameters do not."""
    died, exposed = datasets.BEETLES_KILLED, datasets.BEETLES_EXPOSED
    dose = datasets.BEETLES_LOG_DOSE
    x = sm.add_constant((dose - dose.mean()) / dose.std())
    outside = sm.GLM(np.c_[died, exposed - died], x, family=sm.families.Binomial()).fit(tol=1e-14)
    for found in best_of(solved["soft targets"]):
        np.testing.assert_allclose(found.theta, outside.params, rtol=1e-9)


def test_soft_targets_in_optax(solved):
    each = solved["soft targets"]
    theta = jnp.array([0.3, -1.2])
    logits = jnp.asarray(each.cells.x) @ theta
    soft = optax.sigmoid_binary_cross_entropy(logits, jnp.asarray(each.cells.shares[:, 1]))
    nll, *data = as_likelihood(each.model)
    expected = float(jnp.sum(soft * each.cells.weights))
    assert evaluate(nll, theta, *data).value == pytest.approx(expected, abs=1e-14)
    ce = models.cross_entropy(each.model.log_q)
    assert evaluate(ce, theta, *as_arrays(each.cells)).value == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("name", ["regression, sd 60", "regression, sd learned"])
def test_regression_is_least_squares(solved, name):
    each = solved[name]
    outside = sm.OLS(each.model.y, each.model.x).fit()
    for found in best_of(each):
        np.testing.assert_allclose(found.theta[:11], outside.params, rtol=1e-10, atol=1e-10)
    if name.endswith("learned"):  # statsmodels concentrates the likelihood over the variance
        assert each.best.value == pytest.approx(-outside.llf / 442, rel=1e-13)
        assert np.exp(2 * each.best.theta[-1]) == pytest.approx(outside.ssr / 442, rel=1e-12)
    else:
        density = norm.logpdf(each.model.y, outside.fittedvalues, 60.0)
        assert each.best.value == pytest.approx(-density.mean(), rel=1e-13)


def test_counts_are_those_of_statsmodels(solved):
    each = solved["counts"]
    outside = sm.GLM(each.model.y, each.model.x, family=sm.families.Poisson()).fit(tol=1e-14)
    assert each.best.value == pytest.approx(-outside.llf / 112, rel=1e-12)
    for found in best_of(each):
        np.testing.assert_allclose(found.theta, outside.params, rtol=1e-9)


def test_cells_are_the_empirical_distribution():
    cells = models.count_cells(np.array([[1.0], [2.0], [1.0], [1.0]]), np.array([5, 5, 7, 5]))
    np.testing.assert_allclose(cells.weights, [0.75, 0.25])
    np.testing.assert_allclose(cells.shares, [[2 / 3, 1 / 3], [1.0, 0.0]])
    np.testing.assert_allclose(cells.outcomes, [5, 7])


def test_smoothed_targets_are_other_data(solved, dropped):
    """Statsmodels on shares 0.9 p + 0.05 has the same parameters."""
    cells = solved["soft targets"].cells
    shares = 0.9 * cells.shares[:, 1] + 0.05
    weights = cells.weights * 481
    outside = sm.GLM(np.c_[shares * weights, (1 - shares) * weights], cells.x, family=sm.families.Binomial()).fit(
        tol=1e-14
    )
    np.testing.assert_allclose(dropped.routes[0].minimum.theta, outside.params, rtol=1e-8)


def test_penalty_is_a_prior(solved, dropped):
    """scikit-learn's ridge C is the variance of the prior, on all coefficients where it adds no intercept itself."""
    model = solved["soft targets"].model
    outside = LogisticRegression(C=limits.PRIOR_SD**2, fit_intercept=False, tol=1e-12, max_iter=1000)
    outside.fit(model.x, model.y)
    np.testing.assert_allclose(dropped.routes[1].minimum.theta, outside.coef_[0], rtol=1e-6)


@pytest.mark.parametrize("index", [2, 3])
def test_targets_that_learn_by_another_route(solved, dropped, index):
    """H(p, q) and D(p‖q) written out in NumPy and minimised without gradients."""
    cells = solved["soft targets"].cells

    def loss(theta):
        q = np.stack([expit(-cells.x @ theta), expit(cells.x @ theta)], axis=1)
        p = 0.5 * cells.shares + 0.5 * q
        return cells.weights @ (xlogy(p, p / q) if index == 3 else -xlogy(p, q)).sum(axis=1)

    found = minimize(loss, [1.0, 2.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-14, "maxiter": 2000})
    np.testing.assert_allclose(dropped.routes[index].minimum.theta, found.x, rtol=1e-5)
    assert dropped.routes[index].minimum.value == pytest.approx(found.fun, abs=1e-12)


def test_cells_of_a_continuous_response(result, solved):
    """Masses of the cells by the normal distribution function, and the remainder of NLL - log width."""
    each = solved["regression, sd learned"]
    theta = each.best.theta
    mean, sd = each.model.x @ theta[:11], np.exp(theta[11])
    for width in (50.0, 1.0):
        middles = width * np.round(each.model.y / width)
        edges = [norm.cdf((middles + side * width / 2 - mean) / sd) for side in (-1, 1)]
        expected = -np.mean(np.log(edges[1] - edges[0]))
        arrays = (jnp.asarray(each.model.x), jnp.asarray(middles), jnp.asarray(width))
        assert evaluate(limits.cell_cross_entropy, theta, *arrays).value == pytest.approx(expected, abs=1e-11)
    widths, kl = result.numbers["cell_widths"], result.numbers["cell_divergences"]
    narrow = widths <= 1.0
    remainder = kl[narrow] + np.log(widths[narrow]) - each.best.value
    assert np.abs(remainder).max() < 1e-5
    assert np.all(np.diff(kl) > 0)  # to infinity, as the cells get narrow
    assert result.numbers["cell_minimiser_differences"][narrow].max() < 1e-6


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r"iris data come with scikit-learn.*vi-toolkit\[data\]"):
        models.classifier()
