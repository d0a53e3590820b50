import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi
from vi_toolkit.diagnostics.convergence.agreement import agreement


def normal_log_density(z):
    return -0.5 * jnp.sum(z**2)


@pytest.fixture(scope="module")
def fit():
    return vi.fit(jax.random.key(0), vi.from_log_density(normal_log_density, dim=2), vi.laplace())


def moved(fit, step):
    return dataclasses.replace(fit, params=fit.params | {"location": fit.params["location"] + jnp.asarray(step)})


def test_the_rhat_of_fits_that_are_known(key, fit):
    """Two normals far apart in z_1: rank-normalised, each is one half of a standard normal.

    The means are -+ sqrt(2 / pi), the variances within 1 - 2 / pi; each chain is split in two, so that B is taken over
    four means, two and two alike.
    """
    found = agreement(key, [moved(fit, [0.0, -20.0]), moved(fit, [0.0, 20.0])], num_draws=4000)
    exact = np.sqrt(1 + (4 / 3) * (2 / np.pi) / (1 - 2 / np.pi))
    assert found.rhat[1] == pytest.approx(exact, abs=0.02)
    assert found.rhat[0] == pytest.approx(1.0, abs=0.01)
    assert found.sentence == f"The 2 fits disagree, most in z[1] ({found.rhat[1]:.2f}) (R-hat): they ended in " + (
        "different places."
    )


def test_fits_that_agree(key, fit):
    found = agreement(key, [fit, fit, fit])
    assert (found.rhat < 1.02).all()
    assert str(found).startswith("The 3 fits agree: R-hat is at most 1.0")


def test_restarts_and_those_that_failed(key):
    two = vi.zoo.two_modes(separation=8.0, dim=1).target
    fit = vi.fit(jax.random.key(0), two, vi.restarts(vi.laplace(), 4))
    assert agreement(key, fit).rhat[0] > 1.5
    side = np.asarray(fit.params["runs"]["location"])[:, 0] > 0
    elbo = jnp.where(side, fit.params["elbo"], -jnp.inf)  # as if all on the left had failed
    right = agreement(key, dataclasses.replace(fit, params=fit.params | {"elbo": elbo}))
    assert right.num_fits == side.sum()
    assert right.rhat[0] < 1.02


def test_bad_input(key, fit, without_type_checks):
    with pytest.raises(ValueError, match="fits: expected at least two"):
        agreement(key, [fit])
    with pytest.raises(TypeError, match=r"fits\.method: expected a Restarts"):
        agreement(key, fit)
    with pytest.raises(TypeError, match=r"fits\[1\]: expected a Fit"):
        agreement(key, [fit, 3])
    with pytest.raises(TypeError, match="fits: expected a fit by"):
        agreement(key, 3)
