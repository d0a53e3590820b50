"""Posteriors by adaptive quadrature."""

from vi_toolkit.exact.quadrature.grid import grid as grid
