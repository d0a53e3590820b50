"""The normals whose mean and scale other location-scale families borrow."""

from __future__ import annotations

from typing import Any

from vi_toolkit._checks import check_instance
from vi_toolkit.guides.block_normal import BlockNormal
from vi_toolkit.guides.full_rank_normal import FullRankNormal
from vi_toolkit.guides.mean_field_normal import MeanFieldNormal
from vi_toolkit.guides.sparse_precision_normal import SparsePrecisionNormal

ScaledNormal = MeanFieldNormal | FullRankNormal | BlockNormal | SparsePrecisionNormal


def check_scale(covariance: Any, family: str) -> None:
    """Raises TypeError unless a guide has a scale factor L to lend."""
    kinds = (FullRankNormal, MeanFieldNormal, BlockNormal, SparsePrecisionNormal)
    check_instance(covariance, kinds, "covariance", f"Write for example vi.{family}(covariance=vi.MeanFieldNormal()).")
