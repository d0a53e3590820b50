"""The demonstration: its data, what it writes, and that the directions part in it."""

import io
import json

import jax
import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from vi_toolkit import datasets, demo
from vi_toolkit.demo import demonstration

SMALL = demo.Sizes(max_steps=600, num_draws=1000, num_tree_draws=50)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The part with two modes, with few draws; and what it printed."""
    console = Console(record=True, quiet=False, width=100, file=io.StringIO())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demonstration, "PROBLEMS", (demo.two_modes,))
        result = demo.run(jax.random.key(0), tmp_path_factory.mktemp("demo"), console=console, sizes=SMALL)
    return result, console.export_text()


def test_the_directions_part(small):
    (section,) = small[0].sections
    fits, diagnoses = section.comparison.fits, section.comparison.diagnoses
    seeking = diagnoses["one normal, reverse KL"]
    assert min(seeking.mode_masses) < 0.01
    covering = fits["one normal, forward KL"].posterior
    mixture = section.problem.reference
    np.testing.assert_allclose(covering.mean, mixture.mean, atol=0.03 * mixture.sd.max())
    np.testing.assert_allclose(covering.covariance_matrix, mixture.covariance, rtol=0.05)
    assert diagnoses["two normals, reverse KL"].verdict.name == "GOOD"
    assert seeking.verdict.name == "NOT_TRUSTED"


def test_everything_that_is_named_is_there(small):
    result, _ = small
    (section,) = result.sections
    named = {*section.figures, *section.trees, "summary.md", "summary.json"}
    assert {path.name for path in result.folder.iterdir()} == named
    summary = (result.folder / "summary.md").read_text()
    for name in (*section.figures, *section.trees):
        assert f"({name})" in summary
    for diagnosis in section.comparison.diagnoses.values():
        assert diagnosis.sentence in summary
    assert json.loads((result.folder / "summary.json").read_text()) == json.loads(json.dumps(result.data()))


def test_trees_hold_the_draws(small):
    result, _ = small
    (section,) = result.sections
    trees = [xr.open_datatree(result.folder / name, engine="h5netcdf") for name in section.trees]
    assert [dict(tree["posterior"].sizes) for tree in trees] == [{"chain": 1, "draw": 50, "z_dim_0": 2}] * 4
    assert trees[1]["fit"].attrs["status"] == "CONVERGED"


def test_what_is_shown(small):
    _, shown = small
    assert "Two modes: where the directions part" in shown
    assert "D(q‖p)" in shown
    assert "(nats)" in shown
    assert "Mass of p per mode: 0.40, 0.60." in shown
    assert "…" not in shown


def test_nothing_is_shown_by_default(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demonstration, "PROBLEMS", ())
    demo.run(jax.random.key(0), tmp_path)
    assert capsys.readouterr() == ("", "")


def test_diabetes_is_least_squares_under_a_wide_prior():
    from sklearn.linear_model import LinearRegression

    problem = demo.diabetes(jax.random.key(0), SMALL)
    X, y = problem.reference.args[0], problem.reference.kwargs["y"]
    assert X.shape == (442, 10)
    np.testing.assert_allclose(X.std(axis=0), 1.0)
    ordinary = LinearRegression().fit(X, y)
    shift = (ordinary.coef_ - problem.reference.mean) / problem.reference.sd
    assert np.abs(shift).max() < 0.15  # posterior sds: the prior sd of 100 is five times the widest posterior's
    assert ordinary.intercept_ == pytest.approx(0.0, abs=1e-9)
    noise_sd = float(problem.reference.kwargs["noise_sd"])
    assert noise_sd == pytest.approx(np.sqrt(((y - ordinary.predict(X)) ** 2).sum() / (442 - 11)))
    assert len(problem.coords["predictor"]) == 10


def test_eight_schools_is_the_published_data():
    """The pooled effect and its standard error, as every textbook has them: 7.7 and 4.1."""
    weights = 1 / datasets.EIGHT_SCHOOLS_SES**2
    assert np.average(datasets.EIGHT_SCHOOLS_EFFECTS, weights=weights) == pytest.approx(7.7, abs=0.05)
    assert weights.sum() ** -0.5 == pytest.approx(4.1, abs=0.05)


@pytest.mark.slow
def test_the_whole(tmp_path):
    result = demo.run(jax.random.key(0), tmp_path)
    assert [section.problem.name for section in result.sections] == ["diabetes", "eight-schools", "two-modes"]
    diabetes, schools, _ = (section.comparison.diagnoses for section in result.sections)
    for method in ("full-rank, reverse KL", "full-rank, forward KL"):
        assert diabetes[method].verdict.name == "GOOD"
    assert diabetes["mean-field, reverse KL"].log_sd_ratios.max() < 0  # too narrow everywhere
    assert np.abs(diabetes["mean-field, forward KL"].log_sd_ratios).max() < 0.1  # every marginal right
    assert schools["full-rank, forward KL"].forward_kl < schools["full-rank, reverse KL"].forward_kl
    assert schools["full-rank, reverse KL"].reverse_kl < schools["full-rank, forward KL"].reverse_kl
    assert len(list(tmp_path.glob("*.png"))) == 6
