import jax
import numpy as np
import pytest

import vi_toolkit as vi
from vi_toolkit import exact
from vi_toolkit.compare import compare, rounded
from vi_toolkit.diagnostics import diagnose

RHO = 0.8
METHODS = {
    "mean field, reverse KL": vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL()),
    "mean field, forward KL": vi.gradient(vi.MeanFieldNormal(), vi.ForwardKL()),
    "full rank": vi.gradient(vi.FullRankNormal(), vi.ReverseKL()),
}


@pytest.fixture(scope="module")
def known():
    return exact.gaussian_mixture([1.0], [[2.0, -1.0]], [[[1.0, RHO], [RHO, 1.0]]])


@pytest.fixture(scope="module")
def comparison(known):
    return compare(jax.random.key(0), known.target, METHODS, reference=known)


def test_the_table_shows_the_two_directions(comparison):
    """Reverse KL has sds sqrt(1 - rho^2) and D(q||p) = -log(1 - rho^2) / 2; forward KL has sds 1."""
    table = comparison.table
    assert list(table.index) == list(METHODS)
    reverse, forward, full = table.index
    narrow = np.sqrt(1 - RHO**2)
    assert table.loc[reverse, "max sd ratio"] == pytest.approx(narrow, rel=0.02)
    assert table.loc[forward, "min sd ratio"] == pytest.approx(1.0, rel=0.02)
    assert table.loc[full, "max |log sd ratio|"] < 0.02
    se = comparison.diagnoses[reverse].reverse_kl_se
    assert abs(table.loc[reverse, "D(q||p) (nats)"] + np.log(narrow)) < 5 * se + 0.005
    assert table.loc[forward, "D(p||q) (nats)"] < table.loc[reverse, "D(p||q) (nats)"]
    assert table.loc[reverse, "D(q||p) (nats)"] < table.loc[forward, "D(q||p) (nats)"]
    assert table.loc[full, "verdict"] == "good"
    assert table.loc[full, "ESS (%)"] == pytest.approx(100.0, abs=0.1)
    assert table.loc[full, "mode masses"] == pytest.approx((1.0,))
    assert (table["status"] == "CONVERGED").all()


def test_a_row_is_what_the_parts_give(comparison, known):
    name = "full rank"
    row, fit, report = comparison.table.loc[name], comparison.fits[name], comparison.diagnoses[name]
    assert row["steps"] == fit.num_steps
    assert row["gradients"] == round(fit.num_gradients)
    assert (row["ELBO (nats)"], row["k-hat"]) == (report.elbo, report.khat)
    assert 0 < row["seconds"] < 60
    assert comparison.reference is known


def test_a_row_does_not_depend_on_the_others(comparison, known):
    alone = compare(jax.random.key(0), known.target, {"full rank": METHODS["full rank"]}, reference=known)
    ours, theirs = (c.table.loc["full rank"].drop("seconds") for c in (alone, comparison))
    assert ours.equals(theirs)


def test_without_a_reference(known):
    comparison = compare(jax.random.key(1), known.target, {"one": METHODS["full rank"]}, max_steps=5, num_draws=100)
    assert "D(q||p) (nats)" not in comparison.table
    assert comparison.table.loc["one", "status"] == "MAX_STEPS"
    assert comparison.table.loc["one", "steps"] == 5
    assert comparison.diagnoses["one"].num_draws in (100, 200, 400, 800)  # until the verdict is clear
    assert comparison.table.columns[-1] == "verdict"


def test_two_modes():
    known = exact.gaussian_mixture([0.5, 0.5], [[-4.0], [4.0]], [[[1.0]], [[1.0]]])
    methods = {"reverse": METHODS["full rank"], "forward": vi.gradient(vi.FullRankNormal(), vi.ForwardKL())}
    table = compare(jax.random.key(0), known.target, methods, reference=known).table
    assert min(table.loc["reverse", "mode masses"]) < 0.01
    assert table.loc["forward", "mode masses"] == pytest.approx((0.5, 0.5), abs=0.05)
    assert table.loc["reverse", "max sd ratio"] == pytest.approx(1 / np.sqrt(17), rel=0.03)
    assert table.loc["forward", "max sd ratio"] == pytest.approx(1.0, rel=0.03)
    assert table.loc["reverse", "verdict"] == "not to be trusted"


def test_the_text_is_rounded(comparison):
    text = str(comparison)
    assert "mean field, forward KL" in text
    assert f"{comparison.table.loc['full rank', 'ELBO (nats)'] + 0.0:.3f}".lstrip("-") in text
    shown = rounded(comparison.table)
    assert shown.loc["full rank", "k-hat"] == f"{comparison.table.loc['full rank', 'k-hat']:.3f}"
    assert shown.loc["full rank", "mode masses"] == "1.00"


def test_the_diagnosis_is_that_of_diagnose(comparison, known):
    _, key = jax.random.split(jax.random.key(0))
    again = diagnose(key, comparison.fits["full rank"], reference=known)
    assert again.elbo == comparison.diagnoses["full rank"].elbo


@pytest.mark.parametrize(
    ("methods", "error", "words"),
    [
        ({}, ValueError, "methods: expected at least one"),
        ([METHODS["full rank"]], TypeError, "methods"),
        ({"a": "reverse KL"}, TypeError, "methods"),
    ],
)
def test_bad_input(known, methods, error, words):
    with pytest.raises(error, match=words):
        compare(jax.random.key(0), known.target, methods)
