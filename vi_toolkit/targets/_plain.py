"""What a target has nothing of that is a density and no model: prior, observations, dependencies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vi_toolkit._types import Key, Scalar, Sites, Vector


class PlainProgram:
    """The part of a `Program` that asks for a model."""

    def prior_draw(self, data: Any, key: Key) -> Vector | None:
        return None

    def remarks(self) -> tuple[str, ...]:
        return ()

    def observed(self, data: Any) -> Mapping[str, np.ndarray]:
        return {}

    def log_likelihood(self, data: Any, z: Vector) -> Sites:
        return {}

    def counted(self, data: Any) -> Mapping[str, np.ndarray]:
        return {}

    def predictive_draw(self, data: Any, key: Key, z: Vector) -> Sites:
        return {}

    def dependencies(self, data: Any) -> Mapping[str, tuple[str, ...]]:
        return {}

    def deterministic_dims(self) -> Mapping[str, tuple[str, ...]]:
        return {}

    def log_density_with_closed_form_prior(
        self, data: Any, z: Vector, location: Vector, scale: Vector
    ) -> tuple[Scalar, Any]:
        raise ValueError(
            "target: a plain log density has no prior that is known apart. Make the target with vi.from_numpyro, or "
            "use another estimator."
        )
