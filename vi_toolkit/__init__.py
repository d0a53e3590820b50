"""Variational inference by any divergence, held against exact posteriors."""

from vi_toolkit import estimators as estimators
from vi_toolkit.algorithms import gradient as gradient
from vi_toolkit.fit import Fit as Fit, fit as fit, resume as resume
from vi_toolkit.guides import (
    FullRankNormal as FullRankNormal,
    Guide as Guide,
    LowRankNormal as LowRankNormal,
    MeanFieldNormal as MeanFieldNormal,
    NormalMixture as NormalMixture,
    StudentT as StudentT,
    from_autoguide as from_autoguide,
)
from vi_toolkit.objectives import ForwardKL as ForwardKL, Objective as Objective, ReverseKL as ReverseKL
from vi_toolkit.targets import Target as Target, from_log_density as from_log_density, from_numpyro as from_numpyro
from vi_toolkit.windows import Status as Status
