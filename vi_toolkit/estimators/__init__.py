"""Where draws come from and how gradients flow through them."""

from vi_toolkit.estimators.estimator import Estimator as Estimator, WeightedLogWeights as WeightedLogWeights
from vi_toolkit.estimators.reparameterised import (
    closed_form_entropy as closed_form_entropy,
    reparameterised as reparameterised,
    stick_the_landing as stick_the_landing,
)
from vi_toolkit.guides.noise import (
    Noise as Noise,
    antithetic as antithetic,
    independent as independent,
    quasi_random as quasi_random,
)
