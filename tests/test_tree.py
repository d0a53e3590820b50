import dataclasses
import functools
import json

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import xarray as xr

import vi_toolkit as vi
from tests.plots import made
from vi_toolkit import exact
from vi_toolkit.tree import diagnosis_of_tree, exact_to_datatree, to_datatree
from vi_toolkit.tree._source import name_of_model, source_of_model
from vi_toolkit.tree.course import course_of_fit, course_of_tree

Y = jnp.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERROR = jnp.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
LETTERS = list("ABCDEFGH")


def schools(error, y=None):
    """Eight schools, with names that ArviZ reserves, a simplex, and a slash."""
    mean = numpyro.sample("mean", dist.Normal(0.0, 5.0))
    scale = numpyro.sample("scale", dist.HalfNormal(5.0))
    numpyro.sample("deep/weights", dist.Dirichlet(jnp.ones(3)))
    with numpyro.plate("group", len(error)):
        offset = numpyro.sample("offset", dist.Normal(0.0, 1.0))
        effect = numpyro.deterministic("effect", mean + scale * offset)
        numpyro.sample("y", dist.Normal(effect, error), obs=y)


@pytest.fixture(scope="module")
def fit():
    return vi.fit(jax.random.key(0), vi.from_numpyro(schools, ERROR, y=Y), max_steps=700)


@pytest.fixture(scope="module")
def tree(fit):
    return to_datatree(jax.random.key(1), fit, num_draws=500, coords={"group": LETTERS})


def test_groups_and_shapes(tree):
    assert set(tree.children) == {
        "posterior",
        "unconstrained_posterior",
        "sample_stats",
        "log_likelihood",
        "observed_data",
        "fit",
    }
    shapes = {name: tree["posterior"][name].dims for name in tree["posterior"].data_vars}
    assert shapes == {
        "mean": ("chain", "draw"),
        "scale": ("chain", "draw"),
        "deep_weights": ("chain", "draw", "deep_weights_dim_0"),
        "offset": ("chain", "draw", "group_"),
        "effect": ("chain", "draw", "group_"),
    }
    assert dict(tree["posterior"].sizes) == {"chain": 1, "draw": 500, "deep_weights_dim_0": 3, "group_": 8}
    assert dict(tree["unconstrained_posterior"].sizes)["deep_weights_unconstrained_dim_0"] == 2
    assert list(tree["posterior"].coords["group_"].values) == LETTERS
    assert tree["log_likelihood"]["y"].dims == ("chain", "draw", "group_")
    assert tree["observed_data"]["y"].dims == ("group_",)
    np.testing.assert_array_equal(tree["observed_data"]["y"], Y)


def test_values_belong_together(fit, tree):
    """Deterministic sites, constrained and unconstrained draws, densities and likelihoods are of the same draws."""
    draws = {name: tree["posterior"][name].values[0] for name in tree["posterior"].data_vars}
    np.testing.assert_allclose(draws["effect"], draws["mean"][:, None] + draws["scale"][:, None] * draws["offset"])
    free = {name: tree["unconstrained_posterior"][name].values[0] for name in ("mean", "scale", "offset")}
    np.testing.assert_allclose(np.exp(free["scale"]), draws["scale"])
    likelihood = dist.Normal(draws["effect"], ERROR).log_prob(Y)
    np.testing.assert_allclose(tree["log_likelihood"]["y"].values[0], likelihood)
    flat = {name: tree["unconstrained_posterior"][name].values[0] for name in tree["unconstrained_posterior"].data_vars}
    sites = [flat[site.name.replace("/", "_")].reshape(500, -1) for site in fit.target.sites]
    z = np.concatenate(sites, axis=1)
    stats = {name: tree["sample_stats"][name].values[0] for name in ("log_p", "log_q", "log_weight")}
    np.testing.assert_allclose(stats["log_p"], jax.vmap(fit.target.log_density)(z))
    np.testing.assert_allclose(stats["log_q"], fit.posterior.log_prob(z))
    np.testing.assert_allclose(stats["log_weight"], stats["log_p"] - stats["log_q"])


def test_the_draws_are_of_q(fit):
    tree = to_datatree(jax.random.key(2), fit, num_draws=5000)
    site = next(site for site in fit.target.sites if site.name == "mean")
    mean = float(fit.posterior.mean[site.start])
    sd = float(jnp.sqrt(fit.posterior.variance[site.start]))
    assert abs(float(tree["posterior"]["mean"].mean()) - mean) < 5 * sd / np.sqrt(5000)
    assert float(tree["posterior"]["mean"].std()) == pytest.approx(sd, rel=5 / np.sqrt(10_000))


def test_the_history_and_how_the_fit_came_about(fit, tree):
    group = tree["fit"]
    np.testing.assert_array_equal(group["loss"].values, fit.history["loss"])
    np.testing.assert_array_equal(group["noise"].values, fit.history["noise"])
    assert group["loss"].dims == ("step",)
    assert group["change"].dims == ("window",)
    assert group.attrs["status"] == fit.status.name
    assert tuple(json.loads(group.attrs["warnings"])) == fit.warnings
    assert json.loads(group.attrs["versions"])["numpyro"] == numpyro.__version__
    assert "0x" not in group.attrs["method"]


def test_arviz_takes_it_as_it_is(tree):
    summary = az.summary(tree, kind="stats", round_to="none")
    assert summary.loc["effect[A]", "mean"] == pytest.approx(float(tree["posterior"]["effect"].sel(group_="A").mean()))
    az.plot_forest(tree)
    az.plot_pair(tree, var_names=["mean", "scale"])
    az.plot_dist(tree, var_names=["mean", "effect"])


def test_loo_on_a_regression():
    """loo of a normal mean with known variance, against its closed form."""
    y = np.random.default_rng(0).normal(1.0, 1.0, 40)

    def model(y):
        mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
        with numpyro.plate("row", len(y)):
            numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)

    fit = vi.fit(jax.random.key(0), vi.from_numpyro(model, y))
    loo = az.loo(to_datatree(jax.random.key(1), fit, num_draws=4000))
    precision = 0.01 + 39
    means = (y.sum() - y) / precision
    expected = dist.Normal(means, np.sqrt(1 + 1 / precision)).log_prob(y).sum()
    assert loo.elpd == pytest.approx(float(expected), abs=0.1)


def test_saved_and_read_back_equal(tree, tmp_path):
    tree.to_netcdf(tmp_path / "tree.nc", engine="h5netcdf")
    again = az.from_netcdf(tmp_path / "tree.nc")
    assert again.identical(tree)


def test_a_fit_of_one_step_can_be_saved(tmp_path, key):
    target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2)
    tree = to_datatree(key, vi.fit(key, target, max_steps=1), num_draws=10)
    assert tree["fit"].sizes["window"] == 0
    tree.to_netcdf(tmp_path / "tree.nc", engine="h5netcdf")
    assert az.from_netcdf(tmp_path / "tree.nc").equals(tree)


# Replicated data


@pytest.fixture(scope="module")
def predicted(fit):
    return to_datatree(jax.random.key(1), fit, num_draws=500, coords={"group": LETTERS}, predictive=True)


def test_replicated_data_stand_like_the_observed_ones(tree, predicted):
    assert set(predicted.children) == set(tree.children) | {"posterior_predictive"}
    drawn = predicted["posterior_predictive"]["y"]
    assert drawn.dims == ("chain", "draw", "group_")
    assert list(drawn.coords["group_"].values) == LETTERS
    np.testing.assert_array_equal(predicted["posterior"]["effect"], tree["posterior"]["effect"])


def test_replicated_data_are_of_the_draws_beside_them(predicted):
    """(y_rep - effect) / error is standard normal, and independent of the draw and of its neighbours."""
    effect = predicted["posterior"]["effect"].values[0]
    noise = (predicted["posterior_predictive"]["y"].values[0] - effect) / np.asarray(ERROR)
    assert abs(noise.mean()) < 5 / np.sqrt(noise.size)
    assert noise.std() == pytest.approx(1.0, abs=5 / np.sqrt(2 * noise.size))
    assert abs(np.corrcoef(noise.ravel(), effect.ravel())[0, 1]) < 5 / np.sqrt(noise.size)
    assert np.abs(np.corrcoef(noise.T) - np.eye(8)).max() < 5 / np.sqrt(len(noise))


def test_arviz_draws_observed_among_replicated_data(predicted):
    """The curves of as many data sets as asked for and of the observed one, which has the observed values."""
    plot = az.plot_ppc_dist(predicted, kind="ecdf", num_samples=20)
    curves = [line.get_xdata() for line in plot.get_target("y", {}).lines]
    ends = [(x[np.isfinite(x)].min(), x.max()) for x in curves]  # of the data behind a curve
    assert ends.count((-3.0, 28.0)) == 1
    drawn = predicted["posterior_predictive"]["y"].values[0]
    assert len(set(ends) & set(zip(drawn.min(1), drawn.max(1), strict=True))) == len(ends) - 1 == 20
    plot = az.plot_ppc_tstat(predicted, t_stat="max")
    shown = np.concatenate([np.ravel(points.get_offsets()) for points in plot.get_target("y", {}).collections])
    assert 28.0 in shown  # the largest of the observed values
    az.plot_ppc_pit(predicted)


def test_replicated_data_of_a_site_whose_distribution_is_of_one_value():
    def model(y):
        numpyro.sample("y", dist.Normal(numpyro.sample("mean", dist.Normal(0.0, 1.0)), 1e-6), obs=y)

    fit = vi.fit(jax.random.key(0), vi.from_numpyro(model, np.zeros(3)))
    tree = to_datatree(jax.random.key(1), fit, num_draws=7, predictive=True)
    drawn = tree["posterior_predictive"]["y"]
    assert drawn.dims == ("chain", "draw", *tree["observed_data"]["y"].dims)
    np.testing.assert_allclose(drawn, tree["posterior"]["mean"].values[..., None] + np.zeros(3), atol=1e-5)


def test_a_log_density_has_no_data_to_replicate(key):
    fit = vi.fit(key, vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2), max_steps=2)
    with pytest.raises(ValueError, match="predictive: the target has no observed sites to draw anew"):
        to_datatree(key, fit, predictive=True)


def test_dims_and_coords_pass_through(fit, key):
    tree = to_datatree(
        key, fit, num_draws=10, coords={"kind": ["a", "b", "c"], "unused": [1]}, dims={"deep/weights": ["kind"]}
    )
    assert list(tree["posterior"]["deep_weights"].coords["kind"].values) == ["a", "b", "c"]
    assert "unused" not in tree["posterior"].coords
    with pytest.raises(ValueError, match="conflicting sizes"):
        to_datatree(key, fit, num_draws=10, coords={"group": ["too", "few"]})


def test_a_log_density_with_sites(key):
    target = vi.from_log_density(
        lambda z: -0.5 * jnp.sum(z**2), dim=2, constrain=lambda z: {"a": jnp.exp(z), "b": z[0]}
    )
    tree = to_datatree(key, vi.fit(key, target, max_steps=5), num_draws=20)
    z = tree["unconstrained_posterior"]["z"].values
    np.testing.assert_allclose(tree["posterior"]["a"].values, np.exp(z))
    np.testing.assert_allclose(tree["posterior"]["b"].values, z[..., 0])
    assert "log_likelihood" not in tree.children


def test_names_that_meet_once_the_slash_is_gone(key):
    target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=1, constrain=lambda z: {"a/b": z, "a_b": z})
    with pytest.raises(ValueError, match="two sites are called 'a_b'"):
        to_datatree(key, vi.fit(key, target, max_steps=1), num_draws=5)


def test_an_exact_posterior_has_the_same_variables(key):
    known = exact.beta_binomial(7, 10, a=1.0, b=1.0)
    fit = vi.fit(jax.random.key(0), known.target)
    ours, theirs = to_datatree(key, fit, num_draws=400), exact_to_datatree(key, known, num_draws=400)
    for group in ("posterior", "unconstrained_posterior"):
        assert {n: v.dims for n, v in ours[group].data_vars.items()} == {
            n: v.dims for n, v in theirs[group].data_vars.items()
        }
    (name,) = theirs["posterior"].data_vars
    draws = theirs["posterior"][name].values
    assert abs(draws.mean() - 8 / 12) < 5 * draws.std() / 20
    np.testing.assert_allclose(theirs["sample_stats"]["log_weight"], known.log_evidence)
    both = {"exact": theirs, "reverse KL": ours}
    az.plot_forest(both, combined=True)
    az.plot_dist(both, kind="kde")


def test_an_exact_posterior_without_evidence(key):
    known = dataclasses.replace(exact.beta_binomial(7, 10, a=1.0, b=1.0), log_evidence=None)
    assert set(exact_to_datatree(key, known, num_draws=5)["sample_stats"].data_vars) == {"log_p"}


@pytest.mark.any_precision
def test_precision(key):
    target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2)
    tree = to_datatree(key, vi.fit(key, target, max_steps=5), num_draws=20)
    assert tree["posterior"]["z"].dtype == jnp.result_type(float)
    assert isinstance(tree, xr.DataTree)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [({"fit": 1}, TypeError, "fit"), ({"num_draws": 0}, ValueError, "num_draws: expected at least 1")],
)
def test_bad_input(fit, key, change, error, words):
    given = {"fit": fit} | change
    with pytest.raises(error, match=words):
        to_datatree(key, given.pop("fit"), **given)


# What is kept beside the draws


def saved(tree, path):
    tree.to_netcdf(path, engine="h5netcdf")
    return xr.open_datatree(path, engine="h5netcdf")


def same(one, other):
    """Whether two records hold the same, to the last digit."""
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other, equal_nan=True)
    if dataclasses.is_dataclass(one):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in dataclasses.fields(one))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or one != one)


def test_a_diagnosis_is_kept_whole(fit, tmp_path):
    given = made.diagnosis(
        basins=made.basins([0.6, 0.4], [1.0, 0.0], (1,)),
        khat_se=np.inf,
        verdicts=dict.fromkeys(made.TOLD, vi.Verdict.NOT_TRUSTED),
        reasons={"means": "Because of <this/that>."},
        advice=("Try more.",),
        forward_kl=float("nan"),
    )
    tree = to_datatree(jax.random.key(1), fit, num_draws=50, diagnosis=given)
    for each in (tree, saved(tree, tmp_path / "tree.nc")):
        assert same(diagnosis_of_tree(each), given)
        assert each["diagnosis"].attrs["verdict"] == "GOOD"
        assert json.loads(each["diagnosis"].attrs["verdicts"])["modes"] == "NOT_TRUSTED"
        assert json.loads(each["diagnosis"].attrs["advice"]) == ["Try more."]


def test_what_vi_diagnose_says_is_kept(tmp_path):
    known = exact.gaussian_mixture([1.0], [[0.0, 1.0]], [np.eye(2)])
    fit = vi.fit(jax.random.key(0), known.target, vi.laplace())
    given = vi.diagnose(jax.random.key(1), fit, reference=known)
    tree = to_datatree(jax.random.key(2), fit, num_draws=50, diagnosis=given, reference=known)
    found = diagnosis_of_tree(saved(tree, tmp_path / "tree.nc"))
    assert same(found, given)
    assert str(found) == str(given)


def test_large_arrays_are_left_empty(fit):
    given = made.diagnosis(draws=np.zeros((1000, 1001)), log_weights=np.zeros(1000))
    found = diagnosis_of_tree(to_datatree(jax.random.key(1), fit, num_draws=50, diagnosis=given))
    assert found.draws.shape == (0, 1001)
    assert found.log_weights.shape == (1000,)


def test_draws_of_a_reference_stand_beside_those_of_q(key):
    known = exact.beta_binomial(7, 10, a=1.0, b=1.0)
    fit = vi.fit(jax.random.key(0), known.target, vi.laplace())
    tree = to_datatree(key, fit, num_draws=4000, reference=known)
    draws = tree["reference"]["probability"].values.ravel()
    assert abs(draws.mean() - 8 / 12) < 5 * draws.std() / np.sqrt(4000)
    free = tree["unconstrained_reference"]["probability"].values.ravel()
    np.testing.assert_allclose(1 / (1 + np.exp(-free)), draws)


def test_the_course_is_read_back(fit, tree, tmp_path):
    told, found = course_of_fit(fit), course_of_tree(saved(tree, tmp_path / "tree.nc"))
    assert same(told._replace(history={}), found._replace(history={}))
    assert set(told.history) == set(found.history)
    np.testing.assert_array_equal(told.history["loss"], found.history["loss"])
    assert told.source.startswith('def schools(error, y=None):\n    """Eight schools')
    assert (told.model, told.dim, told.log_evidence) == ("schools", 12, None)
    assert told.key == ("threefry2x32", (0, 0))
    with pytest.raises(ValueError, match="expected a group 'fit'"):
        course_of_tree(xr.DataTree())


def plain_density(scale, z):
    return -0.5 * jnp.sum(z**2) / scale


@pytest.mark.parametrize(
    ("target", "name", "words"),
    [
        (lambda: vi.from_numpyro(numpyro.handlers.reparam(schools, config={}), ERROR, y=Y), "schools", "deep/weights"),
        (lambda: vi.from_numpyro(functools.partial(schools, y=Y), ERROR), "schools", "deep/weights"),
        (lambda: vi.from_log_density(jax.tree_util.Partial(plain_density, 2.0), dim=2), "plain_density", "/ scale"),
        (lambda: vi.from_log_density(lambda z: -jnp.sum(z**2), dim=2), "", "lambda z: -jnp.sum(z**2)"),
        (lambda: vi.from_log_density(jnp.sum, dim=2), "sum", ""),
    ],
)
def test_the_source_of_a_model_is_found(target, name, words):
    made_target = target()
    assert name_of_model(made_target) == name
    assert words in source_of_model(made_target)


def test_source_that_python_cannot_find_is_empty():
    room = {"jnp": jnp}
    exec("def typed(z):\n    return -jnp.sum(z**2)", room)
    assert source_of_model(vi.from_log_density(room["typed"], dim=1)) == ""


@pytest.mark.parametrize(
    "record",
    [
        {"record": "os:system", "fields": {}},
        {"record": "vi_toolkit.fit:fit", "fields": {}},
        {"record": "vi_toolkit.nowhere:Diagnosis", "fields": {}},
        {"enum": "vi_toolkit.fit:Fit", "member": "x"},
    ],
)
def test_what_is_no_record_of_this_package_is_refused(fit, record):
    tree = to_datatree(jax.random.key(1), fit, num_draws=50, diagnosis=made.diagnosis())
    tree["diagnosis"]["record"] = ((), json.dumps(record))
    with pytest.raises(ValueError, match=r"cannot be read by this version: .*Diagnose the fit again"):
        diagnosis_of_tree(tree)


@pytest.mark.usefixtures("without_type_checks")
def test_what_is_no_diagnosis_is_refused(fit, key):
    with pytest.raises(TypeError, match="diagnosis: expected a Diagnosis"):
        to_datatree(key, fit, diagnosis="good")
    with pytest.raises(ValueError, match="reference: expected one of dim 12"):
        to_datatree(key, fit, reference=exact.gaussian_mixture([1.0], [[0.0]], [[[1.0]]]))


def test_restarts_are_chains_of_a_group_of_their_own(key):
    two = vi.zoo.two_modes(separation=8.0, dim=1)
    fit = vi.fit(jax.random.key(0), two.target, vi.restarts(vi.laplace(), 4))
    tree = to_datatree(key, fit, num_draws=500)
    places = np.asarray(fit.params["runs"]["location"])[:, 0]
    assert sorted(np.unique(np.sign(places))) == [-1.0, 1.0]
    draws = tree["restarts"]["z"]
    assert draws["chain"].to_numpy().tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(draws.mean("draw")[:, 0], places, atol=5 / np.sqrt(500))
    np.testing.assert_allclose(draws.std("draw")[:, 0], 1.0, atol=0.15)
    assert float(az.rhat(tree, group="restarts")["z"].max()) > 1.5
    assert tree["posterior"].sizes["chain"] == 1


def test_a_fit_of_one_run_has_no_restarts(fit, key):
    assert "restarts" not in to_datatree(key, fit, num_draws=10)
