"""Bias and variance of gradients: held against closed forms for normals on the line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi
from tests.compilations import count_compilations

GUIDE = vi.MeanFieldNormal()
M, S = 0.7, 1.3  # of q, where p is the standard normal
INDEPENDENT = vi.estimators.independent
ESTIMATORS = vi.estimators
REPEATS = 4000


def standard_normal(z):
    return -0.5 * jnp.sum(z**2)


TARGET = vi.from_log_density(standard_normal, dim=1)


def at(mean, sd):
    return {"location": jnp.array([mean]), "log_scale": jnp.log(jnp.array([sd]))}


def reverse_kl(estimator, noise=None):
    return vi.ReverseKL(estimator if noise is None else estimator.drawing(noise))


def exact_loss(params):
    return 0.5 * jnp.sum(params["location"] ** 2 + jnp.exp(2 * params["log_scale"]) - 2 * params["log_scale"])


# In q's own coordinates, with z = m + s e: what one estimate of two draws has for a variance, all entries together.
# reparameterised: (s (m + s e), (m + s e) s e - 1); stick the landing: (s m + (s^2 - 1) e, m s e + (s^2 - 1) e^2).
REPARAMETERISED = (3 * S**4 + M**2 * S**2) / 2
LANDING = (3 * (S**2 - 1) ** 2 + M**2 * S**2) / 2
MIRRORED = 2 * (S**2 - 1) ** 2  # what is odd in e cancels, and nothing of e^2 does
KNOWN = {
    "reparameterised": (reverse_kl(ESTIMATORS.reparameterised, INDEPENDENT), REPARAMETERISED),
    "stick the landing": (reverse_kl(ESTIMATORS.stick_the_landing, INDEPENDENT), LANDING),
    "stick the landing, mirrored": (reverse_kl(ESTIMATORS.stick_the_landing, ESTIMATORS.antithetic), MIRRORED),
}
UNBIASED = {name: objective for name, (objective, _) in KNOWN.items()} | {
    "score": reverse_kl(ESTIMATORS.score_function),
    "log-variance": vi.LogVariance(),
}


@pytest.fixture(scope="module")
def measured():
    return vi.gradient_variance(
        jax.random.key(0), TARGET, GUIDE, UNBIASED, params=at(M, S), num_draws=2, repeats=REPEATS, reference=exact_loss
    )


def rows(result):
    return result.table.set_index("objective")


@pytest.mark.parametrize("name", KNOWN)
def test_variances_are_the_closed_forms(measured, name):
    row = rows(measured).loc[name]
    assert abs(row["variance"] - KNOWN[name][1]) < 5 * row["variance se"]
    assert 0 < row["variance se"] < 0.1 * row["variance"]
    assert row["gradient se"] == pytest.approx(np.sqrt(row["variance"] / REPEATS))
    assert row["variance x work"] == row["variance"] * row["work"] == 2 * row["variance"]


def test_means_are_the_gradient_and_unbiased_ones_show_no_bias(measured):
    exact = np.hypot(S * M, S**2 - 1)  # of M^2 / 2 + S^2 / 2 - log S, in steps of S and of log S
    for _, row in rows(measured).iterrows():
        assert abs(row["gradient"] - exact) < 5 * row["gradient se"]
        assert row["bias"] < 5 * row["bias se"]
        assert row["bias se"] == row["gradient se"]
        assert row["signal to noise"] == pytest.approx(row["gradient"] / np.sqrt(row["variance"]))
    assert (rows(measured)["non-finite"] == 0).all()


def test_work_counts_a_bare_density_as_a_third(measured):
    work = rows(measured)["work"]
    assert (work["reparameterised"], work["score"], work["log-variance"]) == (2.0, pytest.approx(2 / 3), 2 / 3)
    assert rows(measured)["estimator"].to_dict()["log-variance"] == "its own"
    assert rows(measured)["estimator"].to_dict()["score"] == "score_function"


def test_the_score_function_with_two_draws():
    """At s = 1 it is (m d^2, sqrt(2) m d^2 t) with d and t standard normal: variance 2 m^2 + 6 m^2."""
    found = vi.gradient_variance(
        jax.random.key(1),
        TARGET,
        GUIDE,
        {name: UNBIASED[name] for name in ("score", "log-variance")},
        params=at(M, 1.0),
        num_draws=2,
        repeats=REPEATS,
    )
    for _, row in rows(found).iterrows():
        assert abs(row["variance"] - 8 * M**2) < 5 * row["variance se"]
    assert rows(found)["variance"]["score"] == pytest.approx(rows(found)["variance"]["log-variance"])
    assert "bias" not in found.table
    assert found.reference is None


def test_where_q_is_p_sticking_the_landing_leaves_no_noise(measured):
    found = vi.gradient_variance(jax.random.key(2), TARGET, GUIDE, UNBIASED, params=at(0.0, 1.0), num_draws=2)
    variance = rows(found)["variance"]
    assert variance["stick the landing"] < 1e-25
    assert variance["score"] < 1e-25
    assert abs(variance["reparameterised"] - 1.5) < 5 * rows(found)["variance se"]["reparameterised"]
    assert variance["stick the landing"] < 1e-20 * rows(measured)["variance"]["stick the landing"]


def test_evenly_spread_draws_reduce_the_noise():
    noises = {noise.__name__: noise for noise in (INDEPENDENT, ESTIMATORS.antithetic, ESTIMATORS.quasi_random)}
    objectives = {name: reverse_kl(ESTIMATORS.stick_the_landing, noise) for name, noise in noises.items()}
    found = vi.gradient_variance(jax.random.key(3), TARGET, GUIDE, objectives, params=at(1.0, 1.1), num_draws=16)
    variance = rows(found)["variance"]
    assert variance["antithetic"] < 0.3 * variance["independent"]
    assert variance["quasi_random"] < 0.3 * variance["independent"]


def test_the_bias_of_the_logarithm_of_a_mean_is_seen_and_falls_with_draws():
    def loss(params):  # minus the bound of order 1/2, by quadrature
        z = jnp.linspace(-12.0, 12.0, 4001)[:, None]
        log_q = GUIDE.distribution(params).log_prob(z)
        log_p = -0.5 * z[:, 0] ** 2
        return -2.0 * jax.nn.logsumexp(0.5 * (log_p + log_q)) - 2 * jnp.log(z[1, 0] - z[0, 0])

    renyi = {"Renyi": vi.Renyi(0.5)}
    few, many = (
        rows(
            vi.gradient_variance(
                jax.random.key(4), TARGET, GUIDE, renyi, params=at(1.5, 0.6), num_draws=n, repeats=r, reference=loss
            )
        ).loc["Renyi"]
        for n, r in ((2, 2000), (32, 500))
    )
    assert few["bias"] > 10 * few["bias se"]
    assert many["bias"] < 0.3 * few["bias"]


def test_units_do_not_matter():
    def stretched(z):
        return -0.5 * jnp.sum((1000.0 * z) ** 2)

    wide = vi.from_log_density(stretched, dim=1)
    found = [
        rows(vi.gradient_variance(jax.random.key(5), target, GUIDE, {"STL": vi.ReverseKL()}, params=params))
        for target, params in ((TARGET, at(M, S)), (wide, at(M / 1000, S / 1000)))
    ]
    np.testing.assert_allclose(found[0]["variance"], found[1]["variance"], rtol=1e-9)
    np.testing.assert_allclose(found[0]["gradient"], found[1]["gradient"], rtol=1e-9)


def test_a_run_is_a_reference_and_a_row_does_not_depend_on_the_others(measured):
    settings = {"params": at(M, S), "num_draws": 2, "repeats": REPEATS}
    chosen = {name: UNBIASED[name] for name in ("score", "stick the landing")}
    found = vi.gradient_variance(jax.random.key(0), TARGET, GUIDE, chosen, reference="stick the landing", **settings)
    assert found.reference == "stick the landing"
    assert rows(found)["variance"]["score"] == rows(measured)["variance"]["score"]
    for _, row in rows(found).iterrows():
        assert row["bias"] < 5 * row["bias se"]
        assert row["bias se"] > row["gradient se"]  # the reference has an error of its own
    compiled, again = count_compilations(
        lambda: vi.gradient_variance(jax.random.key(6), TARGET, GUIDE, chosen, reference="score", **settings)
    )
    assert compiled == 0
    assert not again.table["variance"].equals(found.table["variance"])


def test_along_a_fit_the_points_are_those_that_it_passed(key):
    fit = vi.fit(key, TARGET, vi.gradient(GUIDE, vi.ReverseKL(), num_draws=4), max_steps=60)
    found = vi.gradient_variance(
        key, TARGET, GUIDE, {"STL": vi.ReverseKL()}, fit=fit, num_points=4, num_draws=2, repeats=100
    )
    assert found.table["step"].tolist() == [0, 4, 15, 60]
    assert found.table["point"].tolist() == ["start", "step 4", "step 15", "end"]
    short = vi.fit(key, TARGET, fit.method, max_steps=15)
    there = vi.gradient_variance(
        key, TARGET, GUIDE, {"STL": vi.ReverseKL()}, params=[short.params, fit.params], num_draws=2, repeats=100
    )
    assert there.table["point"].tolist() == ["params[0]", "params[1]"]
    np.testing.assert_array_equal(there.table["gradient"], found.table["gradient"][2:])
    end = vi.gradient_variance(key, TARGET, GUIDE, {"STL": vi.ReverseKL()}, fit=fit, num_draws=2, repeats=100)
    np.testing.assert_array_equal(end.table["gradient"], found.table["gradient"][3:])


def test_estimates_that_are_not_finite_are_left_out_and_counted():
    broken = vi.from_log_density(lambda z: jnp.where(z[0] > 1.0, jnp.nan, -0.5 * z[0] ** 2), dim=1)
    everywhere = vi.from_log_density(lambda z: jnp.nan * z[0], dim=1)
    objective = {"STL": reverse_kl(ESTIMATORS.stick_the_landing, INDEPENDENT)}
    settings = {"params": at(0.0, 1.0), "num_draws": 1}
    row = vi.gradient_variance(jax.random.key(7), broken, GUIDE, objective, repeats=2000, **settings).table.iloc[0]
    assert abs(row["non-finite"] - 0.1587) < 5 * np.sqrt(0.1587 * 0.8413 / 2000)
    assert row["variance"] < 1e-25
    row = vi.gradient_variance(jax.random.key(7), everywhere, GUIDE, objective, **settings).table.iloc[0]
    assert (row["non-finite"], str(row["variance"])) == (1.0, "nan")


def test_discrete_guides_and_the_work_of_sums():
    target = vi.from_log_mass(lambda x: 0.5 * x[0] * x[1] - 0.2 * x[2], (2, 2, 3))
    guide = vi.MeanFieldCategorical((2, 2, 3))
    names = estimators_of(guide)
    objectives = {name: vi.ReverseKL(getattr(ESTIMATORS, name)) for name in names}
    found = vi.gradient_variance(
        jax.random.key(8), target, guide, objectives, num_draws=3, repeats=200, reference="enumerated"
    )
    table = rows(found)
    assert table["work"].to_dict() == {"enumerated": 4.0, "rao_blackwellised": 9.0, "score_function": 1.0}
    assert table["variance"]["enumerated"] == 0.0 < table["variance"]["rao_blackwellised"]
    assert table["variance"]["rao_blackwellised"] < table["variance"]["score_function"]
    assert (table["bias"] < 5 * table["bias se"] + 1e-12).all()
    assert table["signal to noise"]["enumerated"] == np.inf


def estimators_of(guide):
    return ESTIMATORS.valid(vi.ReverseKL().shape, guide)


@pytest.mark.float32
def test_in_single_precision():
    found = vi.gradient_variance(
        jax.random.key(0), TARGET, GUIDE, {"reparameterised": KNOWN["reparameterised"][0]}, params=at(M, S), num_draws=2
    )
    row = found.table.iloc[0]
    assert abs(row["variance"] - REPARAMETERISED) < 5 * row["variance se"]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"objectives": {}}, ValueError, "objectives: expected at least one"),
        ({"objectives": vi.ReverseKL()}, TypeError, "objectives: expected a dict"),
        ({"objectives": {"a": vi.ReverseKL}}, TypeError, r"objectives\['a'\]: .* the class ReverseKL itself"),
        ({"objectives": {"a": vi.ReverseKL(ESTIMATORS.vimco)}}, ValueError, "estimator: vimco does not go with"),
        ({"params": {"location": jnp.zeros(1)}}, ValueError, "params: expected parameters of MeanFieldNormal"),
        ({"params": [at(0.0, 1.0), {"location": 0.0}]}, ValueError, r"params\[1\]: expected parameters"),
        ({"reference": "b"}, ValueError, r"reference: expected one of the objectives \['a'\], got 'b'"),
        ({"reference": 3}, TypeError, "reference: expected a loss or the name"),
        ({"num_points": 3}, ValueError, "num_points: expected 1 without a fit"),
        ({"repeats": 0}, ValueError, "repeats: expected at least 1"),
        ({"num_draws": 0}, ValueError, "num_draws: expected at least 1"),
        ({"guide": vi.FullRankNormal}, TypeError, "guide: .* the class FullRankNormal itself"),
        ({"fit": 3}, TypeError, "fit: expected a Fit"),
    ],
)
def test_bad_input_is_refused(changes, error, words, without_type_checks):
    arguments = {"target": TARGET, "guide": GUIDE, "objectives": {"a": vi.ReverseKL()}} | changes
    with pytest.raises(error, match=words):
        vi.gradient_variance(jax.random.key(0), **arguments)


def test_a_fit_of_another_guide_is_refused(key):
    fit = vi.fit(key, TARGET, vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL(), num_draws=4), max_steps=2)
    with pytest.raises(ValueError, match=r"fit: expected a fit of FullRankNormal\(\), got one of MeanFieldNormal\(\)"):
        vi.gradient_variance(key, TARGET, vi.FullRankNormal(), {"a": vi.ReverseKL()}, fit=fit)
    with pytest.raises(ValueError, match="fit: expected either params or a fit, got both"):
        vi.gradient_variance(key, TARGET, GUIDE, {"a": vi.ReverseKL()}, fit=fit, params=at(0.0, 1.0))
    nowhere = vi.from_log_density(lambda z: jnp.nan * z[0], dim=1)
    with pytest.raises(ValueError, match="target: the log density or its gradient is not finite at any point"):
        vi.gradient_variance(key, nowhere, GUIDE, {"a": vi.ReverseKL()})
