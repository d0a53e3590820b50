"""Posteriors that are known: in closed form, by quadrature, or by a long run of NUTS."""

from vi_toolkit.exact.beta_binomial import beta_binomial as beta_binomial
from vi_toolkit.exact.gamma_poisson import gamma_poisson as gamma_poisson
from vi_toolkit.exact.gaussian_mixture import gaussian_mixture as gaussian_mixture
from vi_toolkit.exact.grid import grid as grid
from vi_toolkit.exact.linear_regression import linear_regression as linear_regression
from vi_toolkit.exact.linear_regression_unknown_noise import (
    linear_regression_unknown_noise as linear_regression_unknown_noise,
)
from vi_toolkit.exact.posterior import ExactPosterior as ExactPosterior
from vi_toolkit.exact.reference import reference as reference
