"""Posteriors with discrete unknowns, by exact sums."""

from vi_toolkit.exact.discrete.change_point import change_point as change_point
from vi_toolkit.exact.discrete.change_point_location import change_point_location as change_point_location
from vi_toolkit.exact.discrete.finite_mixture import finite_mixture as finite_mixture
from vi_toolkit.exact.discrete.hidden_markov import hidden_markov as hidden_markov
from vi_toolkit.exact.discrete.ising import ising as ising
from vi_toolkit.exact.discrete.posterior import DiscretePosterior as DiscretePosterior
from vi_toolkit.exact.discrete.potts import potts as potts
