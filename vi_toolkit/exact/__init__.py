"""Posteriors that are known: in closed form, by exact sums, by quadrature, or by a long run of NUTS."""

from vi_toolkit.exact.conjugate import (
    beta_binomial as beta_binomial,
    gamma_poisson as gamma_poisson,
    linear_regression as linear_regression,
    linear_regression_unknown_noise as linear_regression_unknown_noise,
)
from vi_toolkit.exact.discrete_posterior import DiscretePosterior as DiscretePosterior
from vi_toolkit.exact.mixtures import gaussian_mixture as gaussian_mixture
from vi_toolkit.exact.posterior import ExactPosterior as ExactPosterior
from vi_toolkit.exact.quadrature import grid as grid
from vi_toolkit.exact.reference import reference as reference
