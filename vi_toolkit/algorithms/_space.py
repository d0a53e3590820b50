"""Whether a guide and a target are over the same space."""

from vi_toolkit.guides import Guide
from vi_toolkit.targets import Target


def check_space(guide: Guide, target: Target) -> None:
    """Raises ValueError where one is over R^dim and the other over whole numbers, or over different ones."""
    if guide.states() != target.num_values:
        spaces = [
            f"R^{target.dim}" if each is None else f"whole numbers of {each} values"
            for each in (guide.states(), target.num_values)
        ]
        raise ValueError(
            f"guide: {guide} is over {spaces[0]}, and the target over {spaces[1]}. Discrete targets are made with "
            "vi.from_log_mass(f, num_values), and their guide is vi.MeanFieldCategorical(num_values)."
        )
