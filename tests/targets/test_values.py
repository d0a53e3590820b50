"""A model's own numbers beside the coordinates: which they are, what they are called, and their values."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import vi_toolkit as vi
from tests.compilations import count_compilations
from vi_toolkit.targets.values import own_values


def every_kind():
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    tau = numpyro.sample("tau", dist.HalfNormal(1.0))
    numpyro.sample("p", dist.Dirichlet(jnp.ones(3)))
    numpyro.sample("root", dist.LKJCholesky(2, 1.0))
    numpyro.sample("rho", dist.Uniform(-1.0, 1.0))
    numpyro.deterministic("theta", mean * tau)
    numpyro.deterministic("again", mean[1])
    numpyro.deterministic("sign", (mean > 0).astype(int))
    numpyro.deterministic("fitted", tau * jnp.arange(201.0))


@pytest.mark.any_precision
def test_names_and_values():
    target = vi.from_numpyro(every_kind)
    own = own_values(target)
    coordinates = dict(zip(own.coordinates, range(target.dim), strict=True))
    assert sorted(coordinates) == sorted(
        [
            "mean[0]",
            "mean[1]",
            "log tau",
            "unconstrained p[0]",
            "unconstrained p[1]",
            "unconstrained root",
            "unconstrained rho",
        ]
    )
    # Not the zero and the one of the root, which never change.
    wanted = ["tau", "p[0]", "p[1]", "p[2]", "root[1, 0]", "root[1, 1]", "rho", "theta[0]", "theta[1]"]
    assert sorted(own.names) == sorted(wanted)
    points = np.random.default_rng(1).normal(size=(3, target.dim))
    found = dict(zip(own.names, own.at(points).T, strict=True))
    np.testing.assert_allclose(found["tau"], np.exp(points[:, coordinates["log tau"]]), rtol=1e-5)
    np.testing.assert_allclose(found["p[0]"] + found["p[1]"] + found["p[2]"], 1.0, rtol=1e-5)
    np.testing.assert_allclose(found["theta[1]"], points[:, coordinates["mean[1]"]] * found["tau"], rtol=1e-5)


def test_any_number_of_points_and_the_points_beside_them():
    own = own_values(vi.from_numpyro(lambda: numpyro.sample("tau", dist.HalfNormal(1.0))))
    points = np.linspace(-3.0, 3.0, 1203)[:, None]
    np.testing.assert_allclose(own.beside(points), np.hstack([points, np.exp(points)]))
    assert own.at(points[:0]).shape == (0, 1)


@pytest.mark.parametrize(
    "target",
    [
        vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2),
        vi.from_numpyro(lambda: numpyro.sample("mean", dist.Normal(0.0, 1.0))),
        vi.from_log_mass(lambda z: -jnp.sum(1.0 * z), num_values=(2, 3)),
    ],
)
def test_where_there_are_none(target):
    own = own_values(target)
    assert own.names == ()
    assert own.at(np.zeros((7, target.dim))).shape == (7, 0)


def test_a_constrain_of_ones_own():
    target = vi.from_log_density(
        lambda z: -0.5 * jnp.sum(z**2), dim=2, constrain=lambda z: {"radius": jnp.hypot(z[0], z[1])}
    )
    own = own_values(target)
    assert own.names == ("radius",)
    np.testing.assert_allclose(own.at(np.array([[3.0, 4.0]])), [[5.0]])


def test_it_compiles_once_for_other_data_of_the_same_shape():
    def model(scale):
        numpyro.sample("tau", dist.HalfNormal(scale))

    own_values(vi.from_numpyro(model, jnp.asarray(1.0))).at(np.zeros((2, 1)))
    compiled, _ = count_compilations(
        lambda: own_values(vi.from_numpyro(model, jnp.asarray(2.0))).at(np.zeros((900, 1)))
    )
    assert compiled == 0
