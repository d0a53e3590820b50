"""Named densities with known moments, modes, evidence and exact draws, each as an ExactPosterior."""

from vi_toolkit.zoo.curved import banana as banana, donut as donut, funnel as funnel
from vi_toolkit.zoo.many_well import many_well as many_well
from vi_toolkit.zoo.mixtures import forty_modes as forty_modes, ring_of_modes as ring_of_modes, two_modes as two_modes
from vi_toolkit.zoo.single import correlated_gaussian as correlated_gaussian, skewed as skewed, student_t as student_t
