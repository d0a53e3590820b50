"""Writes docs/GALLERY.md and docs/gallery.png: every posterior that is known, in a table and in pictures."""

import sys
from pathlib import Path
from typing import Any

import jax
import matplotlib

ROOT = Path(__file__).resolve().parent.parent
HEAD = """# Posteriors that are known

Written by `make gallery` from `vi.exact.gallery()`, which holds one example of every entry of `vi.exact` on the small
real data of `vi.datasets`. Each has a NumPyro model and its data, the log evidence, exact draws, log p on both the
constrained and the unconstrained space, moments, marginals, and what it predicts, as far as they exist;
`vi.check(fit, exact)` holds a fit against it.

![Every entry in a small picture: densities and regions of highest density](gallery.png)

*In grey the posteriors, on the unconstrained space (where that differs from the model's own, with a \\*); of more than
two unknowns the two most correlated. Crosses and lines are modes. Shades of discrete unknowns are probabilities.*

| entry of `vi.exact` | unknowns | log evidence (nats) | how it is known |
|---|---|---|---|
"""
TAIL = """
Beyond these, `vi.exact.grid(target)` integrates any target of one to three dimensions, and
`vi.exact.reference(key, target)` runs NUTS, accepted only where split R-hat, effective sample sizes and divergences
allow it. `vi.zoo` holds densities of named shapes.
"""


def main() -> int:
    jax.config.update("jax_enable_x64", True)  # before anything is computed
    matplotlib.use("Agg")
    import vi_toolkit as vi

    known = vi.exact.gallery()
    document = ROOT / "docs" / "GALLERY.md"
    rows = "".join(row(name, posterior) for name, posterior in known.items())
    document.write_text(HEAD + rows + TAIL, encoding="utf-8")
    titles = {name.replace("_", " "): posterior for name, posterior in known.items()}
    figure = vi.plot_gallery(jax.random.key(0), titles, columns=6)
    figure.savefig(ROOT / "docs" / "gallery.png", dpi=90)
    return 0


def row(name: str, posterior: Any) -> str:
    return f"| `{name}` | {unknowns(posterior)} | {posterior.log_evidence:.4f} | {posterior.how} |\n"


def unknowns(posterior: Any) -> str:
    """The sites and the dimension of R^dim, or the number of discrete unknowns and of their states."""
    if hasattr(posterior, "target"):
        return f"{', '.join(site.name for site in posterior.target.sites)}: {posterior.dim}"
    *shape, states = posterior.marginals.shape
    count = "x".join(map(str, shape)) or "1"
    return f"{posterior.site}: {count} of {states} states"


if __name__ == "__main__":
    sys.exit(main())
