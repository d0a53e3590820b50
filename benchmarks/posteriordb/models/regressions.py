"""Linear regressions: y_i ~ N(x_i' beta, sigma), the designs made from the database's columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

from benchmarks.posteriordb.models._flat import flat, flat_on

Data = Mapping[str, Any]


def flat_regression(design: Any, response: Any) -> None:
    """beta and sigma > 0 flat."""
    beta = numpyro.sample("beta", flat(design.shape[1]))
    sigma = numpyro.sample("sigma", flat_on(constraints.positive))
    numpyro.sample("response", dist.Normal(design @ beta, sigma), obs=response)


def proper_regression(design: Any, response: Any) -> None:
    """beta_j ~ N(0, 10), sigma ~ HalfNormal(10)."""
    beta = numpyro.sample("beta", dist.Normal(0.0, 10.0).expand([design.shape[1]]).to_event(1))
    sigma = numpyro.sample("sigma", dist.HalfNormal(10.0))
    numpyro.sample("response", dist.Normal(design @ beta, sigma), obs=response)


def blr(data: Data) -> dict[str, Any]:
    """No intercept; X as it is."""
    return {"design": _floats(data["X"]), "response": _floats(data["y"])}


def kidscore_interaction(data: Data) -> dict[str, Any]:
    """Columns are centred, and their product then is not."""
    schooling, iq = (_floats(data[name]) - np.mean(data[name]) for name in ("mom_hs", "mom_iq"))
    return {"design": _with_intercept(schooling, iq, schooling * iq), "response": _floats(data["kid_score"])}


def logearn_interaction(data: Data) -> dict[str, Any]:
    """log earnings on height and sex; nothing is centred."""
    height, male = _floats(data["height"]), _floats(data["male"])
    return {"design": _with_intercept(height, male, height * male), "response": np.log(_floats(data["earn"]))}


def nes(data: Data) -> dict[str, Any]:
    """Age groups 2, 3 and 4 against group 1; everything else as stored."""
    ages = [_floats(data["age_discrete"] == group) for group in (2, 3, 4)]
    before, after = ("real_ideo", "race_adj"), ("educ1", "gender", "income")
    columns = [data[name] for name in before] + ages + [data[name] for name in after]
    return {"design": _with_intercept(*columns), "response": _floats(data["partyid7"])}


def logmesquite(data: Data) -> dict[str, Any]:
    """Logarithms of everything but the group."""
    names = ("diam1", "diam2", "canopy_height", "total_height", "density")
    logarithms = [np.log(_floats(data[name])) for name in names]
    return {"design": _with_intercept(*logarithms, data["group"]), "response": np.log(_floats(data["weight"]))}


def _with_intercept(*columns: Any) -> np.ndarray:
    return np.column_stack([np.ones(len(columns[0])), *columns])


def _floats(values: Any) -> np.ndarray:
    return np.asarray(values, np.float64)
