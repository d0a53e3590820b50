"""A database made by hand: what is read, what is refused, and what comes of a model."""

import json
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.distributions import constraints

import vi_toolkit as vi
from vi_toolkit import exact

CHAINS, DRAWS = 4, 500
Y = np.array([1.0, -0.5, 2.0, 0.3])


def write(root: Path, file: str, content: object, zipped: bool) -> None:
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    if zipped:
        with zipfile.ZipFile(f"{path}.zip", "w") as archive:
            archive.writestr(path.name, json.dumps(content))
    else:
        path.write_text(json.dumps(content), encoding="utf-8")


def normal_draws() -> dict[str, np.ndarray]:
    """Draws of mean ~ N(ybar, 1 / n), and of a scale and a matrix that nothing depends on."""
    generator = np.random.default_rng(0)
    draws = {"mean": Y.mean() + generator.normal(size=(CHAINS, DRAWS)) / np.sqrt(len(Y))}
    draws |= {f"beta[{i}]": generator.normal(i, 1.0, (CHAINS, DRAWS)) for i in (2, 1, 3)}
    return draws | {f"L[{i},{j}]": np.full((CHAINS, DRAWS), 10.0 * i + j) for i in (1, 2) for j in (1, 2, 3)}


def as_chains(draws: dict[str, np.ndarray]) -> list[dict[str, list[float]]]:
    return [{name: values[chain].tolist() for name, values in draws.items()} for chain in range(CHAINS)]


@pytest.fixture(params=[True, False], ids=["zipped", "plain"])
def clone(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Three posteriors of one data set: one with draws, one that refers to the first's, one with none."""
    root = tmp_path / "posterior_database"
    entry = {"model_name": "normal", "data_name": "four", "dimensions": {"mean": 1, "beta": 3, "L": [2, 3]}}
    references = {"four-normal": "four-normal", "four-other": "four-normal", "four-none": None, "four-lost": "lost"}
    for name, reference in references.items():
        named = entry | {"name": name, "reference_posterior_name": reference}
        write(root, f"posteriors/{name}.json", named, zipped=False)
    write(root, "data/data/four.json", {"N": 4, "y": Y.tolist(), "sd": 1.0, "k": [[1, 2], [3, 4]]}, request.param)
    draws = as_chains(normal_draws())
    write(root, "reference_posteriors/draws/draws/four-normal.json", draws, request.param)
    return tmp_path


def normal_model(y: object, sd: object) -> None:
    """Flat in the mean: its posterior is N(ybar, sd^2 / n), and the evidence is in `test_evidence`."""
    mean = numpyro.sample("mean", dist.ImproperUniform(constraints.real, (), ()))
    numpyro.sample("y", dist.Normal(mean, sd), obs=y)


def scaled_model(y: object) -> None:
    """The mean is exp(half_log) times a fixed sign: a site that the draws do not hold."""
    numpyro.sample("shift", dist.Normal(0.0, 1.0))
    scale = numpyro.sample("scale", dist.HalfNormal(5.0))
    numpyro.sample("y", dist.Normal(0.0, scale), obs=y)


def test_reads_data_draws_and_dimensions(clone):
    for path in (clone, str(clone / "posterior_database")):
        found = exact.posteriordb(path, "four-normal")
        assert found.data["N"] == 4
        assert found.data["sd"] == 1.0
        np.testing.assert_array_equal(found.data["y"], Y)
        np.testing.assert_array_equal(found.data["k"], [[1, 2], [3, 4]])
        assert found.dimensions == {"mean": 1, "beta": 3, "L": [2, 3]}
        assert found.info["model_name"] == "normal"
        assert list(found.draws) == list(normal_draws())
        for name, values in normal_draws().items():
            np.testing.assert_array_equal(found.draws[name], values)
        assert found.target is None
        assert found.reference is None


def test_scalars_are_grouped_by_their_indices(clone):
    found, draws = exact.posteriordb(clone, "four-normal"), normal_draws()
    beta = np.stack([draws[f"beta[{i}]"] for i in (1, 2, 3)], axis=-1)
    np.testing.assert_array_equal(found.parameters["beta"], beta)
    np.testing.assert_array_equal(found.parameters["mean"], draws["mean"])
    np.testing.assert_array_equal(found.parameters["L"][2, 7], [[11.0, 12.0, 13.0], [21.0, 22.0, 23.0]])


def test_follows_the_name_of_the_reference(clone):
    other = exact.posteriordb(clone, "four-other")
    np.testing.assert_array_equal(other.draws["beta[2]"], normal_draws()["beta[2]"])


def test_a_model_gives_a_target_and_a_reference(clone):
    found = exact.posteriordb(clone, "four-normal", model=exact.DatabaseModel(normal_model))
    draws = normal_draws()["mean"].reshape(-1)
    assert [site.name for site in found.target.sites] == ["mean"]
    expected = dist.Normal(0.7, 1.0).log_prob(Y).sum()
    assert float(found.target.log_density(jnp.array([0.7]))) == pytest.approx(float(expected), abs=1e-12)
    np.testing.assert_allclose(found.reference.draws[:, 0], draws, rtol=1e-15)
    np.testing.assert_allclose(found.reference.mean, draws.mean(), rtol=1e-12)
    np.testing.assert_allclose(found.reference.sd, draws.std(ddof=1), rtol=1e-12)
    # independent draws: the standard errors of mean and sd are sd / sqrt(S) and sd / sqrt(2 S)
    np.testing.assert_allclose(found.reference.mcse, 0.5 / np.sqrt(draws.size), rtol=0.1)
    np.testing.assert_allclose(found.reference.sd_mcse, 0.5 / np.sqrt(2 * draws.size), rtol=0.1)


def test_sites_are_made_from_draws_and_data(clone):
    """scale = exp(mean) + N and shift = beta[2]: the point of R^dim is then (beta[2], log scale)."""
    model = exact.DatabaseModel(
        scaled_model,
        arguments=lambda data: {"y": data["y"]},
        sites=lambda draw, data: {"shift": draw["beta"][1], "scale": jnp.exp(draw["mean"]) + data["N"]},
    )
    found = exact.posteriordb(clone, "four-other", model=model)
    draws = normal_draws()
    expected = np.stack([draws["beta[2]"], np.log(np.exp(draws["mean"]) + 4.0)], axis=-1).reshape(-1, 2)
    np.testing.assert_allclose(found.reference.draws, expected, rtol=1e-12, atol=1e-12)
    scale = np.exp(expected[:, 1])
    mean, sd = found.reference.constrained_moments["scale"]
    assert (float(mean), float(sd)) == pytest.approx((scale.mean(), scale.std(ddof=1)), rel=1e-12)


def test_check_and_diagnose_take_the_reference(clone, key):
    """A Gaussian fitted to the exact posterior N(ybar, 1/4) passes; log Z = log int prod_i N(y_i; m, 1) dm."""
    n, squares = len(Y), ((Y - Y.mean()) ** 2).sum()
    log_evidence = -0.5 * (n - 1) * np.log(2 * np.pi) - 0.5 * np.log(n) - 0.5 * squares
    model = exact.DatabaseModel(normal_model, log_evidence=float(log_evidence))
    found = exact.posteriordb(clone, "four-normal", model=model)
    assert found.target.log_evidence == found.reference.log_evidence == log_evidence
    log_mean_weight = found.target.log_density(jnp.array([0.4])) - found.reference.log_evidence
    assert float(log_mean_weight) == pytest.approx(float(dist.Normal(Y.mean(), 0.5).log_prob(0.4)), abs=1e-12)
    fit = vi.fit(key, found.target, vi.gradient(vi.FullRankNormal(), vi.ReverseKL()))
    checked = vi.check(fit, found.reference, tolerances=vi.Tolerances(mean=0.2, spread=0.2))
    assert checked.passed, str(checked)
    assert vi.diagnose(jax.random.key(1), fit, reference=found.reference).verdict.name == "GOOD"


def test_draws_of_ones_own(clone):
    own = {"mean": np.linspace(-1.0, 1.0, 40).reshape(2, 20)}
    found = exact.posteriordb(clone, "four-none", model=exact.DatabaseModel(normal_model), draws=own)
    np.testing.assert_allclose(found.reference.draws[:, 0], own["mean"].reshape(-1))
    bare = exact.posteriordb(clone, "four-none", model=exact.DatabaseModel(normal_model), draws={})
    assert bare.target.dim == 1
    assert bare.reference is None


def test_refuses_a_posterior_without_draws(clone):
    with pytest.raises(ValueError, match=r"four-none has no reference draws .*draws=\{\}"):
        exact.posteriordb(clone, "four-none")


def test_refuses_a_folder_that_is_not_a_clone(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"posterior_database/posteriors in it, got the folder .*has none"):
        exact.posteriordb(tmp_path, "four-normal")
    with pytest.raises(FileNotFoundError, match=r"nowhere, which is not there"):
        exact.posteriordb(tmp_path / "nowhere", "four-normal")


def test_refuses_an_unknown_name_and_says_what_is_near(clone):
    with pytest.raises(ValueError, match=r"one of the 4 posteriors there, such as four-normal.*got 'four-norml'"):
        exact.posteriordb(clone, "four-norml")


def test_names_the_file_that_is_missing_and_what_is_there(clone):
    with pytest.raises(FileNotFoundError, match=r"reference draws .*lost\.json\.zip .*there are four-normal\.json"):
        exact.posteriordb(clone, "four-lost")


@pytest.mark.parametrize(
    ("draws", "words"),
    [
        ({"mean": [[0.0, 1.0]], "beta[1]": [[0.0]]}, r"one shape \(chains, draws\)"),
        ({"mean": [0.0, 1.0]}, r"one shape \(chains, draws\), got \[\(2,\)\]"),
        ({"beta[1]": [[0.0]], "beta[3]": [[0.0]]}, r"every entry of 'beta' once.* 2 entries with indices up to \(3,\)"),
        ({"beta[0]": [[0.0]]}, "counted from 1"),
        ({"beta": [[0.0]], "beta[1]": [[0.0]]}, "every entry of 'beta' once"),
        ({"beta[a]": [[0.0]]}, r"names such as 'mu'.*got 'beta\[a\]'"),
    ],
)
def test_refuses_draws_that_make_no_arrays(clone, draws, words):
    with pytest.raises(ValueError, match=words):
        exact.posteriordb(clone, "four-none", draws=draws)


def test_refuses_a_model_whose_arguments_are_not_the_data(clone):
    def model(z):
        numpyro.sample("mean", dist.Normal(z, 1.0))

    with pytest.raises(ValueError, match=r"argument 'z' is not among the data \(N, y, sd, k\)"):
        exact.posteriordb(clone, "four-normal", model=exact.DatabaseModel(model))


def test_refuses_a_model_whose_sites_are_not_the_draws(clone):
    with pytest.raises(ValueError, match=r"site 'shift' of shape \(\) is not what the reference draws hold"):
        exact.posteriordb(clone, "four-normal", model=exact.DatabaseModel(scaled_model))


def test_refuses_draws_outside_the_support(clone):
    sites = {"sites": lambda draw, data: {"shift": draw["mean"], "scale": draw["mean"]}}  # some of them negative
    with pytest.raises(ValueError, match="outside the support"):
        exact.posteriordb(clone, "four-normal", model=exact.DatabaseModel(scaled_model, **sites))


def test_refuses_a_bare_function(clone, without_type_checks):
    with pytest.raises(TypeError, match=r"model: expected .*Wrap it: vi\.exact\.DatabaseModel\(model\)"):
        exact.posteriordb(clone, "four-normal", model=normal_model)
