"""Mixtures that grow, one component at a time."""

from vi_toolkit.mixtures.add import add_component as add_component
from vi_toolkit.mixtures.grow import grow_mixture as grow_mixture
