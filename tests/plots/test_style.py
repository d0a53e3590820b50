"""The look of the figures: for the time of drawing only, and without undoing what a backend settles on its own."""

import matplotlib
import matplotlib.pyplot as plt
import pytest

from vi_toolkit.plots._style import _SETTINGS, style


def test_settings_hold_inside_and_are_put_back():
    before = dict(matplotlib.rcParams)
    with style():
        assert {name: matplotlib.rcParams[name] for name in ("savefig.dpi", "axes.titlelocation")} == {
            "savefig.dpi": _SETTINGS["savefig.dpi"],
            "axes.titlelocation": "left",
        }
    assert dict(matplotlib.rcParams) == before
    with pytest.raises(ZeroDivisionError), style():
        1 / 0  # noqa: B018
    assert dict(matplotlib.rcParams) == before


def test_a_backend_that_turns_interactive_stays_so():
    """A notebook's backend does so when the first figure is made, and shows none that is made while it is off."""
    try:
        with style():
            plt.ion()
        assert plt.isinteractive()
    finally:
        plt.ioff()
