"""Posteriors that are known: in closed form, by exact sums, by quadrature, or by a long run of NUTS."""

from vi_toolkit.exact.conjugate import (
    beta_binomial as beta_binomial,
    dirichlet_multinomial as dirichlet_multinomial,
    gamma_exponential as gamma_exponential,
    gamma_poisson as gamma_poisson,
    linear_regression as linear_regression,
    linear_regression_g_prior as linear_regression_g_prior,
    linear_regression_unknown_noise as linear_regression_unknown_noise,
    multivariate_normal as multivariate_normal,
    normal_unknown_mean as normal_unknown_mean,
    normal_unknown_mean_and_variance as normal_unknown_mean_and_variance,
    normal_unknown_variance as normal_unknown_variance,
)
from vi_toolkit.exact.discrete import (
    DiscretePosterior as DiscretePosterior,
    change_point as change_point,
    change_point_location as change_point_location,
    finite_mixture as finite_mixture,
    hidden_markov as hidden_markov,
    ising as ising,
    potts as potts,
)
from vi_toolkit.exact.gallery import gallery as gallery
from vi_toolkit.exact.gaussian import (
    Matern52 as Matern52,
    SquaredExponential as SquaredExponential,
    eight_schools as eight_schools,
    gaussian_process as gaussian_process,
    linear_gaussian as linear_gaussian,
    linear_state_space as linear_state_space,
    random_effects as random_effects,
)
from vi_toolkit.exact.mixtures import gaussian_mixture as gaussian_mixture, label_switching as label_switching
from vi_toolkit.exact.posterior import ExactPosterior as ExactPosterior
from vi_toolkit.exact.posteriordb import (
    DatabaseModel as DatabaseModel,
    DatabasePosterior as DatabasePosterior,
    posteriordb as posteriordb,
)
from vi_toolkit.exact.quadrature import (
    grid as grid,
    logistic_regression as logistic_regression,
    probit_regression as probit_regression,
)
from vi_toolkit.exact.reference import reference as reference
