"""Where draws come from and how gradients flow through them."""

from vi_toolkit.estimators.closed_form_prior import (
    ClosedFormPrior as ClosedFormPrior,
    closed_form_prior as closed_form_prior,
)
from vi_toolkit.estimators.defensive import Defensive as Defensive, defensive as defensive
from vi_toolkit.estimators.doubly_reparameterised import (
    DoublyReparameterised as DoublyReparameterised,
    doubly_reparameterised as doubly_reparameterised,
)
from vi_toolkit.estimators.enumerated import (
    Enumerated as Enumerated,
    RaoBlackwellised as RaoBlackwellised,
    enumerated as enumerated,
    rao_blackwellised as rao_blackwellised,
)
from vi_toolkit.estimators.estimator import (
    Estimate as Estimate,
    Estimator as Estimator,
    LogWeightLoss as LogWeightLoss,
    Shape as Shape,
)
from vi_toolkit.estimators.reparameterised import (
    ClosedFormEntropy as ClosedFormEntropy,
    Reparameterised as Reparameterised,
    StickTheLanding as StickTheLanding,
    closed_form_entropy as closed_form_entropy,
    reparameterised as reparameterised,
    stick_the_landing as stick_the_landing,
)
from vi_toolkit.estimators.score_function import (
    ScoreFunction as ScoreFunction,
    Vimco as Vimco,
    score_function as score_function,
    vimco as vimco,
)
from vi_toolkit.estimators.valid import valid as valid
from vi_toolkit.guides.noise import (
    Noise as Noise,
    antithetic as antithetic,
    independent as independent,
    quasi_random as quasi_random,
)
