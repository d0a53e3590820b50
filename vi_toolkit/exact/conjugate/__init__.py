"""Posteriors in closed form, because the prior is conjugate to the likelihood."""

from vi_toolkit.exact.conjugate.beta_binomial import beta_binomial as beta_binomial
from vi_toolkit.exact.conjugate.gamma_poisson import gamma_poisson as gamma_poisson
from vi_toolkit.exact.conjugate.linear_regression import linear_regression as linear_regression
from vi_toolkit.exact.conjugate.linear_regression_unknown_noise import (
    linear_regression_unknown_noise as linear_regression_unknown_noise,
)
