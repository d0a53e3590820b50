import dataclasses
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
from vi_toolkit import exact
from vi_toolkit.tree import exact_to_datatree, to_datatree

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
