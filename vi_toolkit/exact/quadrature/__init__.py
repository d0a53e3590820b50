"""Posteriors by adaptive quadrature."""

from vi_toolkit.exact.quadrature.grid import grid as grid
from vi_toolkit.exact.quadrature.logistic_regression import logistic_regression as logistic_regression
from vi_toolkit.exact.quadrature.probit_regression import probit_regression as probit_regression
