"""Observed sites of a model drawn anew, and which of their values count."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpyro.distributions as dist
from numpyro import prng_key
from numpyro.primitives import Messenger

from vi_toolkit._where import kind_of


def is_factor(distribution: Any) -> bool:
    """Whether a site is a `factor` or a Jacobian term: observed, but without data."""
    return kind_of(distribution) == "Unit"


class DrawnAnew(Messenger):
    """Draws the observed sites in place of their data, inside a scan too; a `seed` about it gives the keys.

    NumPyro's ``uncondition`` does not reach into a scan, and draws one value where a distribution of one is given data
    of many: ``sample("y", Normal(mean, 1.0), obs=y)``.
    """

    def process_message(self, msg: Any) -> None:
        if msg["type"] == "control_flow":
            msg["args"] = tuple(DrawnAnew(arg) if callable(arg) else arg for arg in msg["args"])
        if msg["type"] == "sample" and msg["is_observed"] and not is_factor(msg["fn"]):
            fn = msg["fn"]
            batch = np.shape(msg["value"])[: max(0, np.ndim(msg["value"]) - fn.event_dim)]
            shape = np.broadcast_shapes(fn.batch_shape, batch)
            msg["fn"] = fn = fn if shape == fn.batch_shape else fn.expand(shape)
            msg["value"], msg["is_observed"] = _draw(msg["name"], fn), False


def _draw(name: str, fn: Any) -> Any:
    try:
        return fn(rng_key=prng_key())
    except NotImplementedError as error:
        raise ValueError(
            f"model: its observed site {name!r} cannot be drawn anew, since {kind_of(fn)} has no sample method."
        ) from error


def counted(site: dict[str, Any]) -> np.ndarray:
    """Which values of an observed site the model does not mask out: booleans of the shape that it is drawn in."""
    fn, shape = site["fn"], np.broadcast_shapes(np.shape(site["value"]), site["fn"].shape())
    counts = np.ones(shape, bool)
    while fn is not None:
        if isinstance(fn, dist.MaskedDistribution):
            mask = np.asarray(fn._mask)
            counts &= np.broadcast_to(mask.reshape(mask.shape + (1,) * fn.event_dim) if mask.ndim else mask, shape)
        fn = getattr(fn, "base_dist", None)  # inside of to_event, expand and mask
    return counts
