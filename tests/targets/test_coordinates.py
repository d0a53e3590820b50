import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

import vi_toolkit as vi
from vi_toolkit.targets.coordinates import coordinate_names, names_together


def model():
    numpyro.sample("scale", dist.HalfNormal(1.0))
    numpyro.sample("shares", dist.Dirichlet(jnp.ones(3)))
    numpyro.sample("table", dist.Normal(0.0, 1.0).expand([2, 2]).to_event(2))


def test_names_follow_the_flat_vector():
    target = vi.from_numpyro(model)
    names = coordinate_names(target)
    table = [f"table[{i}, {j}]" for i in range(2) for j in range(2)]
    assert names == ("scale", "shares[0]", "shares[1]", *table)  # the simplex has two free coordinates
    for site in target.sites:
        assert names[site.start].startswith(site.name)
    assert names_together(target, range(7)) == ("scale", "shares", "table")
    assert names_together(target, [3, 0]) == ("scale", "table[0, 0]")


def test_a_map_of_ones_own_has_coordinates_of_z():
    both = {"sum": jnp.sum, "largest": jnp.max}
    target = vi.from_log_density(
        lambda z: -0.5 * jnp.sum(z**2), dim=2, constrain=lambda z: {name: of(z) for name, of in both.items()}
    )
    assert coordinate_names(target) == ("z[0]", "z[1]")


def test_a_site_of_one_entry_is_called_by_its_name_alone():
    def model():
        numpyro.sample("slope", dist.Normal(0.0, 1.0).expand([1]).to_event(1))
        numpyro.sample("table", dist.Normal(0.0, 1.0).expand([1, 1]).to_event(2))
        numpyro.sample("z", dist.Normal(0.0, 1.0))

    assert coordinate_names(vi.from_numpyro(model)) == ("slope", "table[0, 0]", "z")
    assert coordinate_names(vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=1)) == ("z[0]",)
