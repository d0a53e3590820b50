"""Which estimators are valid for a loss over a guide."""

from __future__ import annotations

from vi_toolkit.estimators.estimator import Estimator, Shape
from vi_toolkit.guides import Guide


def valid(shape: Shape, guide: Guide) -> tuple[str, ...]:
    """The names of the ready estimators that are valid for a loss of this shape over this guide.

    Args:
        shape: the ``shape`` of an objective.
        guide: the family.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.estimators.valid(vi.IWAE(5).shape, vi.NormalMixture(2))
        ('reparameterised', 'score_function', 'vimco')
    """
    return tuple(sorted(kind.name for kind in _ready() if kind().refuses(shape, guide) is None))


def check_pair(estimator: Estimator, shape: Shape, guide: Guide, loss: str) -> None:
    """Raises ValueError where the estimator is not valid for the loss over the guide, naming those that are."""
    reason = estimator.refuses(shape, guide)
    if reason is not None:
        raise ValueError(
            f"estimator: {estimator.name} does not go with {loss} over {guide}: {reason}. "
            f"Valid here: {', '.join(valid(shape, guide)) or 'none'} (all in vi.estimators)."
        )


def _ready() -> list[type[Estimator]]:
    """This package's own: a user's may want arguments."""
    return [kind for kind in Estimator.__subclasses__() if kind.__module__.startswith("vi_toolkit.")]
