"""Real data that come inside scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np


def load(name: str) -> Any:
    """``sklearn.datasets.load_<name>()``; scikit-learn is an extra, and only the experiments on its data need it."""
    try:
        from sklearn import datasets
    except ImportError:
        raise ImportError(
            f"The {name} data come with scikit-learn, which is not installed. Run: pip install 'vi-toolkit[data]'"
        ) from None
    return getattr(datasets, f"load_{name}")()


def standardised(columns: np.ndarray) -> np.ndarray:
    """Each column less its mean, over its standard deviation."""
    return np.asarray((columns - columns.mean(axis=0)) / columns.std(axis=0))
