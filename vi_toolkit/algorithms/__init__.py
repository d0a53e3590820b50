"""Ways to fit a guide."""

from vi_toolkit.algorithms.algorithm import Method as Method, Turn as Turn
from vi_toolkit.algorithms.gradient import gradient as gradient
from vi_toolkit.algorithms.stein_mixture import stein_mixture as stein_mixture
from vi_toolkit.algorithms.svgd import svgd as svgd
