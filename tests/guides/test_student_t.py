"""Student's t with degrees of freedom that are learned."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import vi_toolkit as vi


def test_an_exact_student_t_is_found():
    location, factor = jnp.array([2.0, -1.0]), jnp.array([[0.5, 0.0], [1.0, 2.0]])
    truth = dist.MultivariateStudentT(4.0, location, factor)
    target = vi.from_log_density(truth.log_prob, dim=2)
    fit = vi.fit(jax.random.key(0), target, vi.gradient(vi.StudentT(), vi.ReverseKL()))
    assert fit.status is vi.Status.CONVERGED
    np.testing.assert_allclose(np.exp(fit.params["log_degrees_of_freedom"]), 4.0, rtol=0.05)
    np.testing.assert_allclose(fit.posterior.loc, location, atol=0.03)
    np.testing.assert_allclose(fit.posterior.scale_tril, factor, rtol=0.03, atol=0.01)
    assert abs(fit.history["elbo"][-100:].mean()) < 0.002  # the target is normalised: log Z = 0
