"""A multivariate normal whose covariance has blocks: full within a group of coordinates, zero between groups."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from numbers import Integral
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from vi_toolkit._checks import check_positive_int, describe
from vi_toolkit._start import Start
from vi_toolkit._types import Key, Params
from vi_toolkit.guides._factors import Blocks, BlockTriangular, stack_places
from vi_toolkit.guides._location_scale import LocationScale, StandardNormal
from vi_toolkit.guides.full_rank_normal import move_affine, scale_tril
from vi_toolkit.guides.guide import Guide, GuideDraws, equally_weighted, normal_noise, rate_in_own_scale
from vi_toolkit.guides.noise import Noise


@dataclass(frozen=True)
class BlockNormal(Guide):
    """q(z) = prod_b N(z_b; m_b, L_b L_b^T): normals with any covariance within a block, independent between blocks.

    Between the mean-field normal (every block one coordinate) and the full-rank one (a single block). On a normal
    posterior with precision matrix P its reverse-KL optimum has the covariances (P_bb)^-1, and its forward-KL optimum
    the marginal covariances. Parameters are ``location`` m (dim,), ``log_diagonal`` (dim,), the logs of the diagonals
    of all L_b, and ``lower``, for each size above one, from small to large, the matrices of the blocks of that size
    (blocks, size, size), of which the parts below the diagonal count. Blocks of one size are computed together.

    Args:
        blocks: sizes, such as ``(2, 1, 3)`` for the blocks of coordinates 0-1, 2 and 3-5; or the coordinates of every
            block, such as ``((0, 2), (1,))``. See `by_site` and `by_plate` too.

    Raises:
        TypeError: if ``blocks`` are neither sizes nor groups of coordinates.
        ValueError: if a size is below 1, or the groups do not hold each of the coordinates 0, 1, ... once. A fit raises
            it too where they do not add up to the target's dimension.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.BlockNormal((2, 1))
        BlockNormal(blocks=((0, 1), (2,)))

    Source: Wainwright & Jordan (2008), Graphical models, exponential families, and variational inference, section 5.5,
    doi:10.1561/2200000001 (structured mean field).
    """

    blocks: Any  # Blocks, once made

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", _as_blocks(self.blocks))

    @staticmethod
    def by_site(target: Any) -> BlockNormal:
        """One block for every site of a target: a site's coordinates together, whatever plates it stands in.

        Args:
            target: such as `vi.from_numpyro` makes; its ``sites`` say which coordinates are whose.

        Raises:
            ValueError: if the sites overlap, as functions of the same coordinates do.

        Example:
            >>> import numpyro, numpyro.distributions as dist, vi_toolkit as vi
            >>> def model():
            ...     numpyro.sample("a", dist.Normal(0.0, 1.0).expand((2,)).to_event(1))
            ...     numpyro.sample("b", dist.Normal(0.0, 1.0))
            >>> vi.BlockNormal.by_site(vi.from_numpyro(model)).blocks
            ((0, 1), (2,))
        """
        return BlockNormal(tuple(tuple(range(site.start, site.stop)) for site in target.sites))

    @staticmethod
    def by_plate(target: Any, plate: str | None = None) -> BlockNormal:
        """One block for every element of a plate: what the sites in it have at that index, together.

        Sites outside plates form one block. In crossed or nested plates, coordinates belong together where they share
        all their plates and the index in each; with ``plate`` named, where they share the index in that one, and all
        that stand outside it form one block.

        Args:
            target: such as `vi.from_numpyro` makes, whose sites carry the names of their plates.
            plate: the plate that alone counts; None lets all count.

        Raises:
            ValueError: if no site stands in a plate, or none in that plate.

        Example:
            >>> import numpyro, numpyro.distributions as dist, vi_toolkit as vi
            >>> def model():
            ...     numpyro.sample("mean", dist.Normal(0.0, 1.0))
            ...     with numpyro.plate("school", 2):
            ...         numpyro.sample("level", dist.Normal(0.0, 1.0))
            ...         numpyro.sample("slope", dist.Normal(0.0, 1.0))
            >>> vi.BlockNormal.by_plate(vi.from_numpyro(model)).blocks
            ((0,), (1, 3), (2, 4))
        """
        groups: dict[Any, list[int]] = {}
        for site in target.sites:
            for coordinate, index in zip(range(site.start, site.stop), _plate_indices(site, plate), strict=True):
                groups.setdefault(index, []).append(coordinate)
        if not any(groups):
            dims = {site.name: site.dims for site in target.sites}
            where = "a plate" if plate is None else f"the plate {plate!r}"
            raise ValueError(
                f"plate: no site of this target stands in {where}; the names of their axes are {dims}. "
                "Use vi.BlockNormal.by_site(target), or give the blocks."
            )
        return BlockNormal(tuple(tuple(group) for group in groups.values()))

    def check(self, dim: int) -> None:
        """The blocks must hold the coordinates of the target."""
        if sum(map(len, self.blocks)) != dim:
            raise ValueError(
                f"blocks: they hold {sum(map(len, self.blocks))} coordinates, and the target has {dim}. "
                "Use vi.BlockNormal.by_site(target) or vi.BlockNormal.by_plate(target)."
            )

    def learning_rate(self, dim: int) -> float:
        """In units of the present scale."""
        return rate_in_own_scale(dim)

    def init(self, key: Key, start: Start) -> Params:
        """Centred at the start, uncorrelated, with its conditional standard deviations."""
        shapes = [(*places.shape, places.shape[1]) for places in stack_places(self.blocks) if places.shape[1] > 1]
        lower = tuple(jnp.zeros(shape, start.location.dtype) for shape in shapes)
        return {"location": start.location, "log_diagonal": jnp.log(start.scale), "lower": lower}

    def factor(self, params: Params) -> BlockTriangular:
        """L, a lower triangular block for every block of coordinates."""
        return BlockTriangular(tuple(scale_tril(part) for part in self._by_size(params)), self.blocks)

    def distribution(self, params: Params) -> dist.Distribution:
        """The blocks as one distribution with event_shape (dim,); with mean, variance, covariance_matrix, entropy."""
        return LocationScale(params["location"], self.factor(params), StandardNormal())

    def draw(self, key: Key, params: Params, num_draws: int, noise: Noise | None = None) -> GuideDraws:
        """m + L e with normal noise e, in mirrored pairs unless told otherwise."""
        e = normal_noise(key, num_draws, params["location"], noise)
        return equally_weighted(params["location"] + self.factor(params).times(e))

    def move(self, params: Params, step: Params) -> Params:
        """m_b + L_b u_b and L_b T_b in every block, as for the full-rank normal."""
        moved = [move_affine(part, by) for part, by in zip(self._by_size(params), self._by_size(step), strict=True)]
        places = np.concatenate([places.reshape(-1) for places in stack_places(self.blocks)])
        flat = {
            name: jnp.concatenate([part[name].reshape(*part[name].shape[:-2], -1) for part in moved], axis=-1)
            for name in ("location", "log_diagonal")
        }
        lower = tuple(part["lower"] for part in moved if part["lower"].shape[-1] > 1)
        return {**params, **{name: value[..., np.argsort(places)] for name, value in flat.items()}, "lower": lower}

    def _by_size(self, params: Params) -> list[Params]:
        """For each size of block, the parameters of full-rank normals with an axis of blocks."""
        waiting, parts = list(params["lower"]), []
        for places in stack_places(self.blocks):
            diagonal = params["log_diagonal"][..., places]
            lower = waiting.pop(0) if places.shape[1] > 1 else jnp.zeros_like(diagonal)[..., None]
            parts.append({"location": params["location"][..., places], "log_diagonal": diagonal, "lower": lower})
        return parts


def _as_blocks(blocks: Any) -> Blocks:
    hint = "Give sizes, such as (2, 1, 3), or the coordinates of each block, such as ((0, 2), (1,))."
    if not isinstance(blocks, Iterable) or isinstance(blocks, str) or not (given := list(blocks)):
        raise TypeError(f"blocks: expected sizes or groups of coordinates, got {describe(blocks)}. {hint}")
    if not any(isinstance(block, Iterable) for block in given):
        stops = np.cumsum([check_positive_int(size, "blocks") for size in given]).tolist()
        return tuple(tuple(range(start, stop)) for start, stop in zip([0, *stops], stops, strict=False))
    if not all(isinstance(block, Iterable) and not isinstance(block, str) for block in given):
        raise TypeError(f"blocks: expected either sizes or groups of coordinates, got both: {describe(blocks)}. {hint}")
    if not all(isinstance(i, Integral) for block in given for i in block):
        raise TypeError(f"blocks: expected whole numbers for coordinates, got {describe(blocks)}. {hint}")
    groups = tuple(tuple(int(i) for i in block) for block in given)
    held = sorted(i for group in groups for i in group)
    if held != list(range(len(held))) or not all(groups):
        raise ValueError(
            f"blocks: expected groups that hold each of the coordinates 0, 1, ... once, got {describe(groups)}. {hint}"
        )
    return groups


def _plate_indices(site: Any, plate: str | None) -> list[tuple[tuple[str, int], ...]]:
    """For every coordinate of a site, its index in each plate that counts; plates lead in both of a site's spaces."""
    own = [
        (axis, name)
        for axis, name in enumerate(site.dims)
        if (name == plate if plate is not None else not name.startswith(f"{site.name}_dim_"))
    ]
    indices = product(*(range(size) for size in site.unconstrained_shape))
    return [tuple((name, index[axis]) for axis, name in own) for index in indices]
