"""Quadrature of densities on the line, against SciPy's distributions."""

import numpy as np
import pytest
from scipy import stats

from vi_toolkit.exact.gaussian._panels import panels_of, quantile

PROBABILITIES = np.array([1e-9, 0.01, 0.3, 0.5, 0.9, 1 - 1e-9])


@pytest.mark.parametrize(
    ("law", "low", "high"),
    [(stats.norm(2.0, 0.01), -30.0, 40.0), (stats.gumbel_r(), -5.0, 45.0), (stats.logistic(), -45.0, 45.0)],
)
def test_totals_moments_and_quantiles(law, low, high):
    panels = panels_of(lambda u: law.logpdf(u) - 700.0, low, high)
    np.testing.assert_allclose(panels.log_total, -700.0, atol=2e-11)
    np.testing.assert_allclose(panels.weights.sum(), 1.0, rtol=1e-12)
    np.testing.assert_allclose(panels.weights @ panels.nodes, law.mean(), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(panels.weights @ (panels.nodes - law.mean()) ** 2, law.var(), rtol=1e-10)
    found = quantile(panels, PROBABILITIES)
    np.testing.assert_allclose(law.cdf(found[:-1]), PROBABILITIES[:-1], rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(law.sf(found[-1]), 1e-9, rtol=1e-5)


def test_two_peaks_of_different_widths():
    weights, laws = np.array([0.3, 0.7]), [stats.norm(-3.0, 1.0), stats.norm(4.0, 0.05)]
    panels = panels_of(
        lambda u: np.log(sum(w * law.pdf(u) for w, law in zip(weights, laws, strict=True)) + 1e-300), -20.0, 20.0
    )
    np.testing.assert_allclose(panels.log_total, 0.0, atol=1e-12)
    np.testing.assert_allclose(panels.weights @ panels.nodes, -0.9 + 2.8, rtol=1e-11)
    np.testing.assert_allclose(quantile(panels, np.array([0.15, 0.65])), [-3.0, 4.0], rtol=1e-9)


def test_a_jump_is_refused():
    with pytest.raises(RuntimeError, match="panels do not resolve the density"):
        panels_of(lambda u: np.where(u < 0.3, 0.0, -5.0), 0.0, 1.0)
