"""NumPyro models of eighteen posteriors of the database, by its names.

Each is held against the database's log densities by `benchmarks.posteriordb.check_ports`: they differ by a constant,
``offset``, which is what NumPyro's renormalised half-line priors add.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log
from typing import Any

from scipy.special import log_ndtr

from benchmarks.posteriordb.models import (
    eight_schools,
    gaussian_processes,
    glm,
    hidden_markov,
    lotka_volterra,
    mixtures,
    radon,
    regressions,
    seeds,
    time_series,
)

LOG_2 = log(2.0)


@dataclass(frozen=True)
class Port:
    """A model of the database in NumPyro.

    Attributes:
        model: the NumPyro model.
        arguments: the database's data -> the model's arguments.
        offset: log density of the model minus that of the database's, in nats.
        sites: (one reference draw, the data) -> the model's sites; None: those of the same names.
    """

    model: Callable[..., Any]
    arguments: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    offset: float
    sites: Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]] | None = None


MODELS: dict[str, Port] = {
    "sblri-blr": Port(regressions.proper_regression, regressions.blr, LOG_2),
    "kidiq_with_mom_work-kidscore_interaction_c": Port(
        regressions.flat_regression, regressions.kidscore_interaction, 0.0
    ),
    "earnings-logearn_interaction": Port(regressions.flat_regression, regressions.logearn_interaction, 0.0),
    "nes2000-nes": Port(regressions.flat_regression, regressions.nes, 0.0),
    "mesquite-logmesquite": Port(regressions.flat_regression, regressions.logmesquite, 0.0),
    "arK-arK": Port(time_series.autoregression, time_series.autoregression_arguments, LOG_2),
    "gp_pois_regr-gp_regr": Port(gaussian_processes.gp_regr, gaussian_processes.gp_regr_arguments, 2 * LOG_2),
    "low_dim_gauss_mix-low_dim_gauss_mix": Port(
        mixtures.low_dim_gauss_mix, mixtures.low_dim_gauss_mix_arguments, 2 * LOG_2
    ),
    "hmm_example-hmm_example": Port(
        hidden_markov.hmm_example, hidden_markov.hmm_example_arguments, 0.0, hidden_markov.hmm_example_sites
    ),
    "garch-garch11": Port(time_series.garch, time_series.garch_arguments, 0.0),
    "hudson_lynx_hare-lotka_volterra": Port(
        lotka_volterra.lotka_volterra,
        lotka_volterra.lotka_volterra_arguments,
        float(-2 * log_ndtr(2.0) - 2 * log_ndtr(1.0)),  # of four normals on the half-line
    ),
    "eight_schools-eight_schools_centered": Port(eight_schools.centred, eight_schools.arguments, LOG_2),
    "eight_schools-eight_schools_noncentered": Port(
        eight_schools.noncentred, eight_schools.arguments, LOG_2, eight_schools.noncentred_sites
    ),
    "gp_pois_regr-gp_pois_regr": Port(
        gaussian_processes.gp_pois_regr, gaussian_processes.gp_pois_regr_arguments, LOG_2
    ),
    "seeds_data-seeds_centered_model": Port(seeds.seeds, seeds.seeds_arguments, LOG_2),
    "radon_mn-radon_hierarchical_intercept_noncentered": Port(
        radon.radon, radon.radon_arguments, 2 * LOG_2, radon.radon_sites
    ),
    "wells_data-wells_dist": Port(glm.wells, glm.wells_arguments, 0.0),
    "GLM_Poisson_Data-GLM_Poisson_model": Port(
        glm.poisson_counts, glm.poisson_counts_arguments, -log(40.0) - 3 * log(20.0)
    ),
}
