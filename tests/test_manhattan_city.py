"""Manhattan as a city of MFNet-RideShare-v0: the same counts and the same bound as MFNet-RideShareNYC-v0 has."""

import networkx as nx
import numpy as np
import pytest

import mfnet_envs
from mfnet_envs import io
from mfnet_envs.data import manhattan
from mfnet_envs.scenarios.rideshare_v0 import RideShare

AN_HOUR = {"empty": "neighbours", "repeat": True}


def test_an_hour_for_ever_has_the_bound_of_the_other_scenario() -> None:
    """Another network of states, another programme: rides hop by hop there, conveyors here."""
    for weekday, hour in (("thursday", 18), ("monday", 4)):
        there = mfnet_envs.make_model("MFNet-RideShareNYC-v0", weekday=weekday, hour=hour)
        city = {"file": "manhattan", "weekday": weekday, "hour": hour}
        here = RideShare(city=city, population=800, **AN_HOUR)  # type: ignore[arg-type]
        expected = there.bound(fluid=True).value  # type: ignore[union-attr,call-arg]
        assert here.bound(fluid=True).value == pytest.approx(expected, rel=1e-6)
    assert f"{expected:.2f}" != "2698.77" and here.fleet == 8000


def test_known_value_of_the_page() -> None:
    model = mfnet_envs.make_model("MFNet-RideShare-v0", city="manhattan", population=800, **AN_HOUR)
    assert f"{model.bound(fluid=True).value:,.2f}" == "2,698.77"  # type: ignore[union-attr,call-arg]
    assert any(note == "8,000 taxis are assumed" for note in model.notes)


def test_requests_and_times() -> None:
    city = io.load_city("manhattan", weekday="friday", hour=22, hours=2)
    assert city.demand.shape == (24, 61, 61) and (city.step, city.start) == (5, 22 * 60)
    table = manhattan()
    for h in range(2):
        asked = city.demand[12 * h : 12 * h + 12].sum(0)
        np.testing.assert_allclose(asked, table.trips[4, 22 + h] / 50)
    far = max(nx.shortest_path_length(table.graph(), 12, zone) for zone in table.zone_ids.tolist())
    battery_park = city.zones.index(12)
    assert city.empty_time[battery_park].max() == 5 * far
    net = city.fare - city.cost * city.travel_time  # what a ride earns beside its driving
    np.testing.assert_allclose(net, 1)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"weekday": "sunday"}, "weekday must be 'monday' or"),
        ({"hour": 24}, "hour must be an integer 0 .. 23, not 24"),
        ({"hour": 22, "hours": 3}, "hours must be at most 2, to midnight"),
        ({"cars": 3}, "read_manhattan has no option 'cars': it has weekday, hour, hours"),
    ],
)
def test_what_is_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises((ValueError, TypeError)) as refusal:
        io.load_city("manhattan", **options)
    assert sentence in str(refusal.value)
