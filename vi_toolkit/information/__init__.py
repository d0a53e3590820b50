"""Entropy, cross-entropy, divergences and distances: of vectors, distributions, unnormalised densities and draws."""

from vi_toolkit.information.coding import (
    CodeLengths as CodeLengths,
    expected_code_length as expected_code_length,
    information_content as information_content,
)
from vi_toolkit.information.decompose import Decomposition as Decomposition, decompose as decompose
from vi_toolkit.information.divergences import (
    chi_square as chi_square,
    hellinger as hellinger,
    jeffreys as jeffreys,
    jensen_shannon as jensen_shannon,
    jensen_shannon_distance as jensen_shannon_distance,
    kl_divergence as kl_divergence,
    renyi_divergence as renyi_divergence,
    total_variation as total_variation,
    tsallis_divergence as tsallis_divergence,
)
from vi_toolkit.information.entropies import (
    cross_entropy as cross_entropy,
    entropy as entropy,
    renyi_entropy as renyi_entropy,
    tsallis_entropy as tsallis_entropy,
)
from vi_toolkit.information.fisher import fisher_divergence as fisher_divergence
from vi_toolkit.information.measurement import Measurement as Measurement
from vi_toolkit.information.mixtures import (
    MixtureDivergence as MixtureDivergence,
    kl_between_mixtures as kl_between_mixtures,
)
from vi_toolkit.information.mutual_information import mutual_information as mutual_information
from vi_toolkit.information.sample import Sample as Sample, from_draws as from_draws
from vi_toolkit.information.wasserstein import wasserstein as wasserstein
