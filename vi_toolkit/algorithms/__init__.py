"""Ways to fit a guide."""

from vi_toolkit.algorithms.algorithm import Method as Method, Outcome as Outcome, SelfEnding as SelfEnding, Turn as Turn
from vi_toolkit.algorithms.batch_and_match import batch_and_match as batch_and_match
from vi_toolkit.algorithms.fixed_draws import fixed_draws as fixed_draws
from vi_toolkit.algorithms.gradient import gradient as gradient
from vi_toolkit.algorithms.laplace import laplace as laplace
from vi_toolkit.algorithms.natural_gradient import natural_gradient as natural_gradient
from vi_toolkit.algorithms.pathfinder import pathfinder as pathfinder
from vi_toolkit.algorithms.restarts import restarts as restarts
from vi_toolkit.algorithms.score_matching import gaussian_score_matching as gaussian_score_matching
from vi_toolkit.algorithms.stein_mixture import stein_mixture as stein_mixture
from vi_toolkit.algorithms.svgd import svgd as svgd
