"""Small experiments on cross-entropy and the two directions of KL: numbers, a table, a figure and a conclusion each."""

from vi_toolkit.experiments.alpha_sweep import alpha_sweep as alpha_sweep
from vi_toolkit.experiments.both_sides_free import both_sides_free as both_sides_free
from vi_toolkit.experiments.cross_entropy_and_likelihood import (
    cross_entropy_and_likelihood as cross_entropy_and_likelihood,
)
from vi_toolkit.experiments.experiment import Experiment as Experiment
from vi_toolkit.experiments.minibatches import minibatches as minibatches
from vi_toolkit.experiments.not_a_distance import not_a_distance as not_a_distance
from vi_toolkit.experiments.which_way_round import which_way_round as which_way_round
