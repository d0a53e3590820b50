"""That nothing of a figure is cut off."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure


def check_inside(figure: Figure, margin: float = 0.0) -> None:
    """All that is drawn lies within the figure, but for a margin in inches; closes the figure."""
    figure.canvas.draw()
    box = figure.get_tightbbox()
    assert box.x0 >= -margin
    assert box.y0 >= -margin
    assert box.x1 <= figure.get_figwidth() + margin
    assert box.y1 <= figure.get_figheight() + margin
    plt.close(figure)
