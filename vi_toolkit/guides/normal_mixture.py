"""A mixture of normals, for several modes."""

from __future__ import annotations

from dataclasses import dataclass, field

from vi_toolkit._checks import check_instance, check_positive_int
from vi_toolkit.guides.full_rank_normal import FullRankNormal
from vi_toolkit.guides.guide import Guide
from vi_toolkit.guides.mixture import NORMALS, StratifiedMixture


@dataclass(frozen=True)
class NormalMixture(StratifiedMixture):
    """q(z) = sum_k w_k N(z; m_k, C_k): a mixture of normals; `Mixture` with normal components, under its usual name.

    Draws are stratified, and the parameters are ``log_weights`` (components,), up to a constant, and ``components``,
    those of the component family with a leading axis.

    Args:
        num_components: how many normals.
        covariance: the family of each component: ``FullRankNormal()``, ``MeanFieldNormal()``, ``LowRankNormal(rank)``,
            ``BlockNormal(blocks)`` or ``SparsePrecisionNormal(pattern)``.

    Raises:
        TypeError, ValueError: if ``num_components`` is not a whole number of at least 1, or ``covariance`` is
            no normal guide.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.NormalMixture(2, covariance=vi.MeanFieldNormal())
        NormalMixture(num_components=2, covariance=MeanFieldNormal())

    Source: Morningstar et al. (2021), Automatic differentiation variational inference with mixtures,
    arXiv:2003.01687 (the stratified draws).
    """

    num_components: int
    covariance: Guide = field(default_factory=FullRankNormal)

    def __post_init__(self) -> None:
        check_positive_int(self.num_components, "num_components")
        hint = "Write for example vi.NormalMixture(2, covariance=vi.MeanFieldNormal())."
        check_instance(self.covariance, NORMALS, "covariance", hint)

    @property
    def size(self) -> int:
        """The number of components."""
        return self.num_components

    @property
    def family(self) -> Guide:
        """The family of each component."""
        return self.covariance
