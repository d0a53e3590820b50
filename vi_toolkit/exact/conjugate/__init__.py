"""Posteriors in closed form, because the prior is conjugate to the likelihood."""

from vi_toolkit.exact.conjugate.beta_binomial import beta_binomial as beta_binomial
from vi_toolkit.exact.conjugate.dirichlet_multinomial import dirichlet_multinomial as dirichlet_multinomial
from vi_toolkit.exact.conjugate.gamma_exponential import gamma_exponential as gamma_exponential
from vi_toolkit.exact.conjugate.gamma_poisson import gamma_poisson as gamma_poisson
from vi_toolkit.exact.conjugate.linear_regression import linear_regression as linear_regression
from vi_toolkit.exact.conjugate.linear_regression_g_prior import linear_regression_g_prior as linear_regression_g_prior
from vi_toolkit.exact.conjugate.linear_regression_unknown_noise import (
    linear_regression_unknown_noise as linear_regression_unknown_noise,
)
from vi_toolkit.exact.conjugate.multivariate_normal import multivariate_normal as multivariate_normal
from vi_toolkit.exact.conjugate.normal_unknown_mean import normal_unknown_mean as normal_unknown_mean
from vi_toolkit.exact.conjugate.normal_unknown_mean_and_variance import (
    normal_unknown_mean_and_variance as normal_unknown_mean_and_variance,
)
from vi_toolkit.exact.conjugate.normal_unknown_variance import normal_unknown_variance as normal_unknown_variance
