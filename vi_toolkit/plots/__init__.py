"""Figures: one public function a file, a matplotlib figure out."""

from vi_toolkit.plots.comparison import plot_comparison as plot_comparison
from vi_toolkit.plots.fit_trace import plot_fit as plot_fit
from vi_toolkit.plots.gallery import plot_gallery as plot_gallery
from vi_toolkit.plots.gradient_variance import plot_gradient_variance as plot_gradient_variance
