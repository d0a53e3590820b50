"""Ways to fit a guide."""

from vi_toolkit.algorithms.algorithm import Method as Method, Turn as Turn
from vi_toolkit.algorithms.gradient import gradient as gradient
