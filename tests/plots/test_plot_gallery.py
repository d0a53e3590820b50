"""Small pictures of known posteriors: what is drawn is the posterior."""

import jax
import numpy as np
import pytest

import vi_toolkit as vi
from tests.typecheck import as_users_call_it


@pytest.fixture(scope="module")
def figure(shared_gallery):
    figure = vi.plot_gallery(jax.random.key(0), shared_gallery, columns=3, num_draws=2000)
    figure.canvas.draw()
    return figure


@pytest.fixture(scope="module")
def shared_gallery():
    return {
        "line": vi.exact.gaussian_mixture([1.0], [[2.0]], [[[4.0]]]),
        "plane": vi.exact.gaussian_mixture([0.4, 0.6], [[-3.0, 0.0], [3.0, 1.0]], np.stack([np.eye(2)] * 2)),
        "space": vi.zoo.funnel(3),
        "states": vi.exact.potts(np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.5], [0.0, 0.5, 0.0]]), np.zeros((3, 2))),
    }


def panel(figure, title):
    (axes,) = [axes for axes in figure.axes if axes.get_title(loc="left") == title]
    return axes


def test_every_posterior_has_a_panel(figure, shared_gallery):
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(shared_gallery)
    assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == (2, 3)


def test_a_line_is_the_density(figure):
    curve = panel(figure, "line").lines[0].get_xydata()
    expected = np.exp(-0.125 * (curve[:, 0] - 2.0) ** 2) / np.sqrt(8.0 * np.pi)
    np.testing.assert_allclose(curve[:, 1], expected, rtol=1e-6)
    assert panel(figure, "line").lines[1].get_xdata()[0] == pytest.approx(2.0, abs=1e-6)  # the mode


def test_a_plane_has_its_modes_and_its_regions(figure, shared_gallery):
    axes = panel(figure, "plane")
    np.testing.assert_allclose(axes.lines[0].get_xydata(), shared_gallery["plane"].modes)
    wide = max(axes.collections[0].get_paths(), key=lambda path: len(path.vertices))
    inside = [wide.contains_point(point) for point in ([-3.0, 0.0], [3.0, 1.0], [0.0, 0.5])]
    assert inside[:2].count(True) >= 1
    assert not inside[2]  # between the modes there is next to nothing


def test_states_are_their_probabilities(figure, shared_gallery):
    image = panel(figure, "states").images[0].get_array()
    np.testing.assert_allclose(image, shared_gallery["states"].marginals.T)


def test_bad_input(shared_gallery):
    plot = as_users_call_it(vi.plot_gallery)
    with pytest.raises(ValueError, match="posteriors: expected at least one"):
        plot(jax.random.key(0), {})
    with pytest.raises(TypeError, match=r"posteriors\['a'\]: expected a ExactPosterior or DiscretePosterior"):
        plot(jax.random.key(0), {"a": 3})
    with pytest.raises(TypeError, match="posteriors: expected a Mapping"):
        plot(jax.random.key(0), shared_gallery["line"])
    with pytest.raises(ValueError, match="columns: expected at least 1"):
        plot(jax.random.key(0), shared_gallery, columns=0)
