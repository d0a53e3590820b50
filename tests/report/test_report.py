"""The page of a fit: what it says, that all of it is escaped, and that a browser shows it."""

import base64
import dataclasses
from html.parser import HTMLParser

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
import xarray as xr

import vi_toolkit as vi
from tests.plots import made
from tests.report.browser import chromium, console_of, open_page, requests_of
from vi_toolkit.report import _sections, report, report_of_file, report_of_tree
from vi_toolkit.report._html import Html, join, tag
from vi_toolkit.tree import diagnosis_of_tree, to_datatree

HOSTILE = "<script>alert('b & c')</script>"
WARNING = f"A warning with {HOSTILE}."
Y = np.array([2.0, 4.0, 3.0, 5.0])


def hostile(y=None):
    """A model whose sites and source hold markup: <script>alert('source')</script>."""
    mean = numpyro.sample(HOSTILE, dist.Normal(0.0, 5.0))
    scale = numpyro.sample("scale", dist.HalfNormal(3.0))
    with numpyro.plate("row", 4):
        numpyro.sample("y", dist.Normal(mean, scale), obs=y)


@pytest.fixture(scope="module")
def fit():
    made = vi.fit(jax.random.key(0), vi.from_numpyro(hostile, y=Y))
    return dataclasses.replace(made, warnings=(WARNING,))


@pytest.fixture(scope="module")
def diagnosis():
    """One with everything that a page can show."""
    basins = made.basins([0.6, 0.4], [1.0, 0.0], (1,))
    sites = tuple({HOSTILE: site["scale"], **site} for site in basins.sites)
    return made.diagnosis(
        basins=dataclasses.replace(basins, sites=sites),
        advice=(f"Try {HOSTILE}.",),
        reasons={part: f"Of {part}." for part in made.TOLD},
        verdicts=dict(zip(made.TOLD, vi.Verdict, strict=True)),
        parameter_khats=np.array([0.31, 0.62]),
        warnings=(WARNING,),
    )


@pytest.fixture(scope="module")
def page(fit, diagnosis, tmp_path_factory):
    """By the seed that the fit itself gives."""
    return report(fit, tmp_path_factory.mktemp("report") / "fit.html", diagnosis=diagnosis)


@pytest.fixture(scope="module")
def compared():
    """Two fits to the same posterior, with diagnoses that were made by hand."""
    known = vi.exact.gaussian_mixture([1.0], [[0.0, 0.0]], [np.eye(2)])
    fits = {
        name: vi.fit(jax.random.key(0), known.target, method)
        for name, method in (("Laplace <b>", vi.laplace()), ("pathfinder", vi.pathfinder(1)))
    }
    diagnoses = {name: made.diagnosis(reference_log_evidence=0.0, reference_log_evidence_se=0.0) for name in fits}
    return vi.Comparison(pd.DataFrame(index=list(fits)), fits, diagnoses, known, known.target)


@pytest.fixture(scope="module")
def compared_page(compared, tmp_path_factory):
    return report(compared, tmp_path_factory.mktemp("report") / "compared.html")


class Elements(HTMLParser):
    """The elements of a page, their text, and whether each that begins also ends."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.found, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, name, attributes):
        self.found.append((name, dict(attributes)))
        if name not in self.VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, text):
        self.texts.append(text)

    def named(self, name):
        return [attributes for found, attributes in self.found if found == name]

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def test_what_a_tag_escapes():
    assert tag("p", "a < b & ", tag("b", "c"), class_='x"y') == '<p class="x&quot;y">a &lt; b &amp; <b>c</b></p>'
    assert join([Html("<i>"), "<i>"]) == "<i>&lt;i&gt;"
    assert tag("img", alt="<", aria_label="d") == '<img alt="&lt;" aria-label="d">'


def test_the_verdict_stands_first(page, diagnosis):
    text = Elements(page.read_text()).text
    assert text.index(diagnosis.sentence) < text.index("Parameters")
    for part, verdict in diagnosis.verdicts.items():
        assert f"{part} " in text
        assert verdict.value in text
        assert f"Of {part}." in text
    assert f"Try {HOSTILE}." in text
    assert WARNING in text


def test_the_numbers_are_those_of_the_fit(page, fit, diagnosis):
    """Of the scale: q's log-normal mean and median, to what 4,000 draws can tell."""
    rows = page.read_text().split("<tr>")
    (cells,) = [row for row in rows if row.startswith('<th scope="row">scale</th>')]
    mean, sd, _, _, low, median, high, khat = [float(cell.split("</td>")[0]) for cell in cells.split("<td>")[1:]]
    site = next(site for site in fit.target.sites if site.name == "scale")
    m, s = float(fit.posterior.mean[site.start]), float(np.sqrt(fit.posterior.variance[site.start]))
    expected = np.exp(m + s**2 / 2)
    expected_sd = expected * np.sqrt(np.expm1(s**2))
    assert abs(mean - expected) < 5 * expected_sd / np.sqrt(4000) + 0.005
    assert abs(median - np.exp(m)) < 5 * 1.26 * s * np.exp(m) / np.sqrt(4000) + 0.005
    assert low < median < high
    assert khat == 0.62  # of the second coordinate, the log of the scale
    assert sd == pytest.approx(expected_sd, rel=0.15)
    text = Elements(page.read_text()).text
    assert f"{diagnosis.ess:.0f} of {diagnosis.num_draws}" in text
    assert f"{fit.status.name} after {fit.num_steps:,} steps" in text
    assert numpyro.__version__ in text
    assert "threefry2x32 [0, 0]" in text
    assert "NaturalGradient(guide=FullRankNormal()" in text


def test_everything_is_escaped(page):
    text = page.read_text()
    assert "<script" not in text
    found = Elements(text)
    assert HOSTILE in found.text
    assert "alert('source')" in found.text  # the model's source is there, as text
    assert found.named("script") == []
    assert not any(name.startswith("on") for _, attributes in found.found for name in attributes)


def test_the_page_stands_alone(page, compared_page):
    for each in (page, compared_page):
        found = Elements(each.read_text())
        images = found.named("img")
        assert len(images) >= 3
        for image in images:
            kind, _, data = image["src"].partition(",")
            assert kind == "data:image/png;base64"
            assert base64.b64decode(data, validate=True)[:8] == b"\x89PNG\r\n\x1a\n"
            assert len(image["alt"]) > 10
        assert [link["href"] for link in found.named("link")] == ["data:,"]
        assert "default-src 'none'" in each.read_text()


def test_figures_of_all_that_is_known(page):
    titles = Elements(page.read_text()).texts
    for title in ("Marginals", "Importance weights", "Evidence", "Errors of means and spreads", "Modes"):
        assert title in titles


def test_the_same_fit_gives_the_same_page(fit, diagnosis, page, tmp_path):
    again = report(fit, tmp_path / "again.html", diagnosis=diagnosis)
    assert again.read_text() == page.read_text()
    other = report(fit, tmp_path / "other.html", diagnosis=diagnosis, key=jax.random.key(5))
    assert other.read_text() != page.read_text()


def test_a_saved_tree_gives_the_same_verdicts_and_figures(fit, diagnosis, tmp_path):
    tree = to_datatree(jax.random.key(2), fit, num_draws=500, diagnosis=diagnosis)
    tree.to_netcdf(tmp_path / "fit.nc", engine="h5netcdf")
    direct = report_of_tree(tree, tmp_path / "direct.html").read_text()
    assert report_of_file(tmp_path / "fit.nc", tmp_path / "saved.html").read_text() == direct
    assert diagnosis.sentence in Elements(direct).text


def test_a_tree_without_a_diagnosis_says_so(fit, tmp_path):
    text = Elements(
        report_of_tree(to_datatree(jax.random.key(2), fit, num_draws=100), tmp_path / "x.html").read_text()
    ).text
    assert "cannot tell" in text
    assert "No diagnosis was kept with this fit" in text
    assert WARNING in text


def test_a_hopeless_fit_has_a_page_all_the_same(fit, tmp_path):
    """q is ten thousand sds from p: one draw has all the weight, and p is zero at some."""

    def log_density(z):
        return jnp.where(z[0] > 3.0, -0.5 * jnp.sum((1e4 * (z - 50.0)) ** 2), -jnp.inf)

    far = dataclasses.replace(fit, target=vi.from_log_density(log_density, dim=2))
    tree = to_datatree(jax.random.key(2), far, num_draws=200)
    text = Elements(report_of_tree(tree, tmp_path / "far.html").read_text()).text
    assert "Errors of means and spreads" in text
    log_weights = np.where(np.arange(200) < 3, -np.inf, -1e6 * np.arange(200.0))
    hopeless = made.diagnosis(log_weights=log_weights, bracket=None, log_evidence=-3e6)
    tree = to_datatree(jax.random.key(2), far, num_draws=200, diagnosis=hopeless)
    assert "Importance weights" in Elements(report_of_tree(tree, tmp_path / "far.html").read_text()).text


def test_a_comparison(compared, compared_page):
    found = Elements(compared_page.read_text())
    assert "2 methods compared" in found.text
    for name, diagnosis in compared.diagnoses.items():
        assert name in found.text
        assert diagnosis.sentence in found.text
    assert "Log evidence: 0.00." in found.text
    assert "Laplace <b>" not in compared_page.read_text()


# In a browser


@pytest.fixture(scope="module")
def browser():
    with chromium() as driver:
        yield driver


@pytest.mark.parametrize("width", [375, 1200])
@pytest.mark.parametrize("which", ["page", "compared_page"])
def test_in_a_browser(request, browser, which, width):
    path = request.getfixturevalue(which)
    open_page(browser, path, width)
    assert console_of(browser) == []
    assert requests_of(browser) == [path.as_uri()]
    images = browser.execute_script("return [...document.images].map(i => [i.complete, i.naturalWidth])")
    assert len(images) >= 3
    assert all(complete and pixels > 100 for complete, pixels in images)
    across = browser.execute_script("return document.documentElement.scrollWidth")
    assert across <= width
    beyond = browser.execute_script(
        "const w = document.documentElement.clientWidth + 0.5; return [...document.querySelectorAll('body *')]"
        ".filter(e => !e.closest('.scroll') && e.getBoundingClientRect().right > w).map(e => e.outerHTML.slice(0, 80))"
    )
    assert beyond == []
    spilt = browser.execute_script(
        "return [...document.querySelectorAll('.card > *')].filter(e => e.getBoundingClientRect().right >"
        " e.parentElement.getBoundingClientRect().right - 4).map(e => e.outerHTML)"
    )
    assert spilt == []
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('p, li, td, th, pre')].map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 13
    assert browser.title.endswith(("how good the fit is", "2 methods compared"))


# Bad input


@pytest.mark.usefixtures("without_type_checks")
def test_bad_input(fit, compared, diagnosis, tmp_path):
    with pytest.raises(TypeError, match="fit: expected a Fit or Comparison, got str"):
        report("fit", tmp_path / "x.html")
    with pytest.raises(ValueError, match="a comparison brings its own"):
        report(compared, tmp_path / "x.html", diagnosis=diagnosis)
    with pytest.raises(TypeError, match="tree: expected a DataTree"):
        report_of_tree("tree", tmp_path / "x.html")
    with pytest.raises(ValueError, match="it has no group 'posterior'"):
        report_of_tree(xr.DataTree(), tmp_path / "x.html")
    with pytest.raises(OSError, match="no/such"):
        report(fit, tmp_path / "no" / "such" / "x.html", diagnosis=diagnosis)
    (tmp_path / "words.nc").write_text("words")
    with pytest.raises(ValueError, match="is no file of an ArviZ tree"):
        report_of_file(tmp_path / "words.nc", tmp_path / "x.html")
    with pytest.raises(FileNotFoundError):
        report_of_file(tmp_path / "none.nc", tmp_path / "x.html")


def test_a_tree_of_an_older_version_is_refused_with_words(fit, tmp_path):
    tree = to_datatree(jax.random.key(2), fit, num_draws=50)
    del tree["fit"].attrs["source"]
    with pytest.raises(ValueError, match=r"its group 'fit' lacks \['source'\].*write the tree again"):
        report_of_tree(tree, tmp_path / "x.html")
    assert diagnosis_of_tree(tree) is None


def test_a_wide_model_is_cut_short(fit, tmp_path, monkeypatch):
    monkeypatch.setattr(_sections, "MAX_ROWS", 1)
    tree = to_datatree(jax.random.key(2), fit, num_draws=50)
    assert "The first 1 of 2." in Elements(report_of_tree(tree, tmp_path / "x.html").read_text()).text
