"""Posteriors that are Gaussian, and hierarchical ones that are Gaussian once one scale is known."""

from vi_toolkit.exact.gaussian.eight_schools import eight_schools as eight_schools
from vi_toolkit.exact.gaussian.gaussian_process import gaussian_process as gaussian_process
from vi_toolkit.exact.gaussian.kernels import Matern52 as Matern52, SquaredExponential as SquaredExponential
from vi_toolkit.exact.gaussian.linear_gaussian import linear_gaussian as linear_gaussian
from vi_toolkit.exact.gaussian.linear_state_space import linear_state_space as linear_state_space
from vi_toolkit.exact.gaussian.random_effects import random_effects as random_effects
