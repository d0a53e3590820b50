import numpy as np
import pytest
from scipy.special import ndtr

from vi_toolkit.calibration import Calibration
from vi_toolkit.calibration._tests import band, points
from vi_toolkit.calibration._words import sentence
from vi_toolkit.calibration.calibration import BIAS, SHAPE, SPREAD, judge
from vi_toolkit.plots._style import PALETTE
from vi_toolkit.plots.calibration import plot_calibration

SCORES = np.random.default_rng(0).standard_normal((200, 6))
WRONG = {"low": SCORES[:, 0] + 0.6, "narrow": 1.6 * SCORES[:, 1], "wide": 0.5 * SCORES[:, 2]}


def calibration(**scores) -> Calibration:
    """The record for given normal scores of the ranks."""
    tests = (BIAS, SPREAD, SHAPE)
    names, pit, table = judge({name: ndtr(values) for name, values in scores.items()}, tests, 0.01)
    flagged = bool((table["found"] != "").any())
    said = sentence(table, len(pit), len(pit), 0, 3 * len(names), 0.01)
    return Calibration(table, names, pit, flagged, said, 0.01, len(pit), 999, {}, ())


MANY = {"theta": SCORES[:, :4], **WRONG}


def test_curves_are_distribution_functions_less_the_diagonal():
    found = calibration(**MANY)
    figure = plot_calibration(found)
    for axes in figure.axes:
        name = axes.get_title("left").split("\n")[0]
        x, y = axes.lines[-1].get_data()
        ranks = found.pit[:, found.names.index(name)]
        at = np.random.default_rng(1).random(50)
        expected = np.array([(ranks <= u).mean() - u for u in at])
        np.testing.assert_allclose(np.interp(at, x, x + y) - at, expected, atol=1e-9)
        low, high = axes.get_ylim()
        assert low <= y.min() < y.max() <= high  # nothing is cut off


def test_the_wrong_ones_come_first_and_are_named():
    figure = plot_calibration(calibration(**MANY))
    titles = [axes.get_title("left") for axes in figure.axes]
    assert set(titles[:3]) == {"low\ntoo low", "narrow\ntoo narrow", "wide\ntoo wide"}
    assert titles[3:] == [f"theta[{i}]" for i in range(4)]
    colors = [axes.lines[-1].get_color() for axes in figure.axes]
    assert colors == [PALETTE[1]] * 3 + [PALETTE[0]] * 4


def test_signs_are_as_the_legend_says():
    curves = {
        axes.get_title("left").split("\n")[0]: axes.lines[-1].get_data()
        for axes in plot_calibration(calibration(**WRONG)).axes
    }
    left = {name: y[x < 0.35].mean() for name, (x, y) in curves.items()}
    right = {name: y[x > 0.65].mean() for name, (x, y) in curves.items()}
    assert left["low"] < -0.05 > right["low"]
    assert left["narrow"] > 0.03 > -0.03 > right["narrow"]
    assert left["wide"] < -0.03 < 0.03 < right["wide"]


def test_the_band_is_the_one_of_the_test():
    figure = plot_calibration(calibration(x=SCORES[:, 0]))
    (area,) = figure.axes[0].collections
    corners = area.get_paths()[0].vertices
    lowest, highest = band(200, 0.01)
    assert corners[:, 1].max() == pytest.approx((highest / 200 - points(200)).max())
    assert corners[:, 1].min() == pytest.approx((lowest / 200 - points(200)).min())


def test_of_many_quantities_the_worst_thirty_are_drawn():
    many = np.random.default_rng(2).standard_normal((100, 50))
    many[:, 33] += 1.0
    figure = plot_calibration(calibration(z=many))
    assert len(figure.axes) == 30
    assert figure.axes[0].get_title("left") == "z[33]\ntoo low"
    assert "30 of 50 quantities" in figure.get_suptitle()


@pytest.mark.usefixtures("without_type_checks")
def test_chosen_quantities_and_refusals():
    found = calibration(**MANY)
    assert [axes.get_title("left") for axes in plot_calibration(found, quantities=["theta[2]"]).axes] == ["theta[2]"]
    with pytest.raises(ValueError, match=r"quantities: there is no .*'x'.*; there are \['theta\[0\]'"):
        plot_calibration(found, quantities=["x"])
    with pytest.raises(ValueError, match="quantities: expected at least one name"):
        plot_calibration(found, quantities=[])
    with pytest.raises(TypeError, match="calibration: expected a Calibration"):
        plot_calibration("found")
