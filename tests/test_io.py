import dataclasses
import json
import pickle
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer.autoguide import AutoDiagonalNormal

import vi_toolkit as vi
from vi_toolkit.io import load, save
from vi_toolkit.preflight import Preflight


def model(x, y=None):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    noise = numpyro.sample("noise", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.Normal(x @ slope, noise), obs=y)


def other_model(x, y=None):
    slope = numpyro.sample("incline", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    noise = numpyro.sample("noise", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.Normal(x @ slope, noise), obs=y)


X = np.random.default_rng(0).standard_normal((20, 2))
Y = X @ np.array([1.0, -0.5]) + 0.1


def target() -> vi.Target:
    return vi.from_numpyro(model, X, y=Y)


DRAWS = np.random.default_rng(1).standard_normal((50, 3))
METHODS = {
    "default": vi.gradient(vi.FullRankNormal(), vi.ReverseKL()),
    "mean field": vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL(vi.estimators.reparameterised), num_draws=8),
    "low rank": vi.gradient(vi.LowRankNormal(1), vi.ReverseKL(vi.estimators.closed_form_entropy)),
    "student": vi.gradient(vi.StudentT(4.5), vi.ForwardKL()),
    "mixture": vi.gradient(vi.NormalMixture(2, covariance=vi.MeanFieldNormal()), vi.ReverseKL()),
    "draws": vi.gradient(vi.FullRankNormal(), vi.ForwardKL(draws=DRAWS)),
    "noise": vi.gradient(
        vi.MeanFieldNormal(), vi.Renyi(0.5, estimator=vi.estimators.reparameterised.drawing(vi.estimators.quasi_random))
    ),
    "memory": vi.gradient(vi.FullRankNormal(), vi.JensenShannon(0.3)),
    "start": vi.gradient(vi.MeanFieldNormal(), vi.Chi(2), start={"location": jnp.ones(3), "log_scale": jnp.zeros(3)}),
}


# In float32, what a precision can change: bare arrays, nested ones, and those of an objective that remembers.
QUICK = METHODS if jax.config.read("jax_enable_x64") else ("default", "mixture", "memory")


def assert_same(a: vi.Fit, b: vi.Fit) -> None:
    """Equal bit by bit."""
    for x, y in ((a.params, b.params), (a.checkpoint.state, b.checkpoint.state), (a.history, b.history)):
        assert jax.tree.structure(x) == jax.tree.structure(y)
        for left, right in zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True):
            np.testing.assert_array_equal(np.asarray(left), np.asarray(right))
            assert left.dtype == right.dtype
    for name in ("status", "num_steps", "num_gradients", "warnings", "preflight"):
        assert getattr(a, name) == getattr(b, name)


@pytest.mark.any_precision
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in METHODS]
)
def test_round_trip_and_resume(name, tmp_path):
    fit = vi.fit(jax.random.key(0), target(), METHODS[name], max_steps=130)
    save(fit, tmp_path / "fit.npz")
    again = load(tmp_path / "fit.npz", target())
    assert_same(fit, again)
    if name not in ("draws", "start"):  # no record of arrays has an equality
        assert again.method == fit.method
        assert jax.tree.structure(again.method) == jax.tree.structure(fit.method)
    ahead, after = vi.resume(fit, max_steps=60), vi.resume(again, max_steps=60)
    assert ahead.num_steps == 190
    assert_same(ahead, after)
    assert float(ahead.posterior.log_prob(jnp.ones(3))) == float(after.posterior.log_prob(jnp.ones(3)))


def test_a_converged_fit(tmp_path):
    simple = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2)
    fit = vi.fit(jax.random.key(0), simple)
    assert fit.status is vi.Status.CONVERGED
    save(fit, tmp_path / "no_ending")
    assert [path.name for path in tmp_path.iterdir()] == ["no_ending"]
    assert_same(fit, load(tmp_path / "no_ending", simple))


def test_what_was_found_before_the_first_step(tmp_path):
    fit = vi.fit(jax.random.key(0), target(), max_steps=2)
    fit = dataclasses.replace(fit, preflight=Preflight((), ("the posterior is improper",)))
    save(fit, tmp_path / "fit.npz")
    assert_same(fit, load(tmp_path / "fit.npz", target()))


def test_the_draws_inside_an_objective(tmp_path):
    fit = vi.fit(jax.random.key(0), target(), METHODS["draws"], max_steps=1)
    save(fit, tmp_path / "fit.npz")
    np.testing.assert_array_equal(load(tmp_path / "fit.npz", target()).method.objective.draws, DRAWS)


def test_other_kinds_of_keys(tmp_path):
    for number, key in enumerate((jax.random.PRNGKey(0), jax.random.key(0, impl="rbg"))):
        fit = vi.fit(key, target(), max_steps=5)
        save(fit, tmp_path / f"{number}")
        assert_same(vi.resume(fit, max_steps=5), vi.resume(load(tmp_path / f"{number}", target()), max_steps=5))


@dataclasses.dataclass(frozen=True)
class UserEstimator(vi.estimators.Estimator):
    name = "my own"

    def refuses(self, shape, guide):
        return None

    def estimate(self, *arguments):
        return vi.estimators.reparameterised.estimate(*arguments)


@pytest.mark.parametrize(
    ("method", "part"),
    [
        (vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL(), optax.adam(0.05)), "method.optimizer"),
        (vi.gradient(vi.from_autoguide(AutoDiagonalNormal(model)), vi.ReverseKL()), "method.guide.autoguide"),
        (vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL(UserEstimator())), "method.objective.estimator"),
    ],
)
def test_a_part_without_a_recipe(method, part, tmp_path):
    fit = vi.fit(jax.random.key(0), target(), method, max_steps=20)
    save(fit, tmp_path / "fit.npz")
    with pytest.raises(ValueError, match=rf"without {part} .*load\(path, target, method=\.\.\.\)"):
        load(tmp_path / "fit.npz", target())
    again = load(tmp_path / "fit.npz", target(), method=method)
    assert_same(vi.resume(fit, max_steps=10), vi.resume(again, max_steps=10))


def test_another_method_than_the_saved_one(tmp_path):
    fit = vi.fit(jax.random.key(0), target(), max_steps=2)
    save(fit, tmp_path / "fit.npz")
    with pytest.raises(ValueError, match=r"method: .* has"):
        load(tmp_path / "fit.npz", target(), method=METHODS["mean field"])
    with pytest.raises(TypeError, match="method"):
        load(tmp_path / "fit.npz", target(), method="reverse KL")


def test_another_target(tmp_path):
    save(vi.fit(jax.random.key(0), target(), max_steps=2), tmp_path / "fit.npz")
    with pytest.raises(ValueError, match=r"target: .* is of a target of dim 3, this one has dim 2"):
        load(tmp_path / "fit.npz", vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2))
    with pytest.raises(
        ValueError, match=r"the sites slope \(2,\), noise \(\); this one has incline \(2,\), noise \(\)"
    ):
        load(tmp_path / "fit.npz", vi.from_numpyro(other_model, X, y=Y))


def test_other_data_of_the_same_shape(tmp_path):
    """The data are not in the file: a fit goes on from where it stood, on the data it is given."""
    save(vi.fit(jax.random.key(0), target(), max_steps=2), tmp_path / "fit.npz")
    moved = load(tmp_path / "fit.npz", vi.from_numpyro(model, X, y=-Y))
    assert vi.resume(moved, max_steps=5).num_steps == 7


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "fit.npz"
    save(vi.fit(jax.random.key(0), target(), max_steps=3), path)
    return path


def rewritten(saved, tmp_path, change):
    """The saved file with its contents changed by a function of {name: array}."""
    with np.load(saved) as file:
        arrays = dict(file)
    change(arrays)
    np.savez(tmp_path / "changed.npz", **arrays)
    return tmp_path / "changed.npz"


def in_meta(**changes):
    def change(arrays):
        arrays["meta"] = np.array(json.dumps(json.loads(str(arrays["meta"])) | changes))

    return change


def test_a_rewritten_file_is_still_read(saved, tmp_path):
    assert load(rewritten(saved, tmp_path, in_meta()), target()).num_steps == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (in_meta(format="something else"), "its format is 'something else'"),
        (in_meta(format_version=99), "format version 99, and this version of vi-toolkit reads 1"),
        (in_meta(status="HAPPY"), "damaged: KeyError"),
        (in_meta(schedule={"tempo": 1}), "damaged: TypeError"),
        (in_meta(recipe={"part": "Popen", "fields": {"args": "true"}}), "unknown part 'Popen'"),
        (in_meta(recipe={"part": "GradientMethod", "fields": {"guide": None}}), "does not fit this version"),
        (in_meta(recipe={"call": "os.system"}), "unknown part 'call'"),
        (in_meta(recipe={"function": "system"}), "unknown part 'system'"),
        (lambda arrays: arrays.pop("meta"), "is not a fit saved by vi.save"),
        (lambda arrays: arrays.update(meta=np.array("{")), "is not a fit saved by vi.save"),
        (lambda arrays: arrays.update(meta=np.array("[1]")), "is not a fit saved by vi.save"),
        (lambda arrays: arrays.pop("checkpoint/key"), "damaged"),
        (lambda arrays: arrays.pop("params/2"), "has 2 arrays of params, the method has 3"),
        (lambda arrays: arrays.update({"params/0": np.zeros(9)}), r"of shape \(9,\) where the method has \(3,\)"),
    ],
)
def test_a_file_that_is_not_right(saved, tmp_path, change, words):
    with pytest.raises(ValueError, match=words):
        load(rewritten(saved, tmp_path, change), target())


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("code from the file was run",))


def test_pickles_are_not_opened(saved, tmp_path):
    path = rewritten(saved, tmp_path, lambda arrays: arrays.update(meta=np.array(Trap(), dtype=object)))
    with pytest.raises(ValueError, match="is not a fit saved"):
        load(path, target())
    (tmp_path / "pickle").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match="is not a fit saved"):
        load(tmp_path / "pickle", target())


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file(saved, tmp_path, share):
    content = saved.read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="is not a fit saved"):
        load(tmp_path / "cut.npz", target())


def test_a_flipped_byte(saved, tmp_path):
    content = bytearray(saved.read_bytes())
    with zipfile.ZipFile(saved) as file:
        start = file.getinfo("state/0.npy").header_offset
    content[start + 200] ^= 0xFF
    (tmp_path / "flipped.npz").write_bytes(bytes(content))
    with pytest.raises(ValueError, match="damaged"):
        load(tmp_path / "flipped.npz", target())


@pytest.mark.parametrize("content", [b"", b"hello", b"a,b\n1,2\n"])
def test_foreign_files(tmp_path, content):
    (tmp_path / "foreign").write_bytes(content)
    with pytest.raises(ValueError, match="is not a fit saved"):
        load(tmp_path / "foreign", target())


def test_an_array_file(tmp_path):
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(ValueError, match="is not a fit saved"):
        load(tmp_path / "array.npy", target())


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.npz", target())
    with pytest.raises(FileNotFoundError):
        save(vi.fit(jax.random.key(0), target(), max_steps=1), tmp_path / "no folder" / "fit.npz")


def test_another_precision(saved, tmp_path):
    def narrow(arrays):
        arrays.update({name: a.astype(np.float32) for name, a in arrays.items() if name.startswith("params/")})

    with pytest.raises(ValueError, match="was saved in float32, and this process computes in float64"):
        load(rewritten(saved, tmp_path, narrow), target())


def test_pickle():
    fit = vi.fit(jax.random.key(0), target(), max_steps=30)
    again = pickle.loads(pickle.dumps(fit))
    assert_same(fit, again)
    assert_same(vi.resume(fit, max_steps=5), vi.resume(again, max_steps=5))
    assert dataclasses.replace(fit).target.dim == again.target.dim
