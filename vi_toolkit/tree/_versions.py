"""The versions that results depend on."""

from __future__ import annotations

from importlib import metadata

PACKAGES = ("vi-toolkit", "jax", "numpyro", "arviz")


def versions() -> dict[str, str]:
    """The versions of this package and of those that its results depend on.

    Example:
        >>> from vi_toolkit.tree import versions
        >>> sorted(versions())
        ['arviz', 'jax', 'numpyro', 'vi-toolkit']
    """
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # the sources are on the path and nothing is installed
        return "unknown"
