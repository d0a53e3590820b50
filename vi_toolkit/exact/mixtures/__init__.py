"""Posteriors of several modes: mixtures of Gaussians."""

from vi_toolkit.exact.mixtures.gaussian_mixture import gaussian_mixture as gaussian_mixture
from vi_toolkit.exact.mixtures.label_switching import label_switching as label_switching
