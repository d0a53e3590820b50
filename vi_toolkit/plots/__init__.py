"""Figures: one public function a file, a matplotlib figure out."""

from vi_toolkit.plots.bracket import plot_bracket as plot_bracket
from vi_toolkit.plots.calibration import plot_calibration as plot_calibration
from vi_toolkit.plots.comparison import plot_comparison as plot_comparison
from vi_toolkit.plots.directions import plot_directions as plot_directions
from vi_toolkit.plots.errors import plot_errors as plot_errors
from vi_toolkit.plots.fit_trace import plot_fit as plot_fit
from vi_toolkit.plots.gallery import plot_gallery as plot_gallery
from vi_toolkit.plots.gradient_variance import plot_gradient_variance as plot_gradient_variance
from vi_toolkit.plots.log_weights import plot_log_weights as plot_log_weights
from vi_toolkit.plots.marginals import plot_marginals as plot_marginals
from vi_toolkit.plots.mode_masses import plot_mode_masses as plot_mode_masses
from vi_toolkit.plots.pairs import plot_pairs as plot_pairs
