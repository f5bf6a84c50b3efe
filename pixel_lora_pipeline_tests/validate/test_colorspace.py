"""Colours have the numbers that the papers and other implementations give them."""

import numpy as np
import pytest

from pixel_lora_pipeline.validate.colorspace import (
    delta_e_hex,
    deltaE_ciede2000,
    is_on_ramp_of,
    oklab_of_rgb,
    rgb_of_hex,
)

# The test data of Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula" (2005), table 1: L, a, b of two
# colours and their difference. They cover the hue that wraps, the neutral colours, and the blue rotation term.
SHARMA = """
50.0000   2.6772 -79.7751  50.0000   0.0000 -82.7485   2.0425
50.0000   3.1571 -77.2803  50.0000   0.0000 -82.7485   2.8615
50.0000   2.8361 -74.0200  50.0000   0.0000 -82.7485   3.4412
50.0000  -1.3802 -84.2814  50.0000   0.0000 -82.7485   1.0000
50.0000  -1.1848 -84.8006  50.0000   0.0000 -82.7485   1.0000
50.0000  -0.9009 -85.5211  50.0000   0.0000 -82.7485   1.0000
50.0000   0.0000   0.0000  50.0000  -1.0000   2.0000   2.3669
50.0000  -1.0000   2.0000  50.0000   0.0000   0.0000   2.3669
50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0009   7.1792
50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0010   7.1792
50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0011   7.2195
50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0012   7.2195
50.0000  -0.0010   2.4900  50.0000   0.0009  -2.4900   4.8045
50.0000  -0.0010   2.4900  50.0000   0.0010  -2.4900   4.8045
50.0000  -0.0010   2.4900  50.0000   0.0011  -2.4900   4.7461
50.0000   2.5000   0.0000  50.0000   0.0000  -2.5000   4.3065
50.0000   2.5000   0.0000  73.0000  25.0000 -18.0000  27.1492
50.0000   2.5000   0.0000  61.0000  -5.0000  29.0000  22.8977
50.0000   2.5000   0.0000  56.0000 -27.0000  -3.0000  31.9030
50.0000   2.5000   0.0000  58.0000  24.0000  15.0000  19.4535
50.0000   2.5000   0.0000  50.0000   3.1736   0.5854   1.0000
50.0000   2.5000   0.0000  50.0000   3.2972   0.0000   1.0000
50.0000   2.5000   0.0000  50.0000   1.8634   0.5757   1.0000
50.0000   2.5000   0.0000  50.0000   3.2592   0.3350   1.0000
60.2574 -34.0099  36.2677  60.4626 -34.1751  39.4387   1.2644
63.0109 -31.0961  -5.8663  62.8187 -29.7946  -4.0864   1.2630
61.2901   3.7196  -5.3901  61.4292   2.2480  -4.9620   1.8731
35.0831 -44.1164   3.7933  35.0232 -40.0716   1.5901   1.8645
22.7233  20.0904 -46.6940  23.0331  14.9730 -42.5619   2.0373
36.4612  47.8580  18.3852  36.2715  50.5065  21.2231   1.4146
90.8027  -2.0831   1.4410  91.1528  -1.6435   0.0447   1.4441
90.9257  -0.5406  -0.9208  88.6381  -0.8985  -0.7239   1.5381
 6.7747  -0.2908  -2.4247   5.8714  -0.0985  -2.2286   0.6377
 2.0776   0.0795  -1.1350   0.9033  -0.0636  -0.5514   0.9082
"""

# From coloraide 8.13.
OKLAB = {
    "#000000": (0.0, 0.0, 0.0),
    "#ffffff": (1.0, 0.0, 0.0),
    "#808080": (0.599871, 0.0, 0.0),
    "#ff0000": (0.627955, 0.224863, 0.125846),
    "#00ff00": (0.866440, -0.233888, 0.179498),
    "#0000ff": (0.452014, -0.032457, -0.311528),
    "#ffff00": (0.967983, -0.071369, 0.198570),
    "#ff69b4": (0.728297, 0.195155, -0.027446),
    "#2e9e44": (0.616909, -0.135744, 0.089719),
    "#ffd700": (0.886771, -0.016925, 0.181398),
    "#1b1b1f": (0.223848, 0.002092, -0.007412),
    "#7a4a26": (0.457290, 0.046491, 0.068122),
    "#f6d3b3": (0.888390, 0.024981, 0.052181),
    "#010203": (0.082309, -0.003926, -0.007011),
    "#fefdfc": (0.994530, 0.000643, 0.001576),
}
DELTA_E = {
    ("#ff69b4", "#e84a8f"): 8.6922,
    ("#2e9e44", "#1fa6a0"): 22.6246,
    ("#f6d3b3", "#d49a6a"): 15.0054,
    ("#1b1b1f", "#000000"): 6.6367,
    ("#7a4a26", "#8a5a2b"): 6.3599,
    ("#0000ff", "#2f5fd0"): 17.6828,
}


def test_colour_differences_are_those_of_the_paper() -> None:
    data = np.array([[float(number) for number in line.split()] for line in SHARMA.split("\n") if line])
    assert data.shape == (34, 7)
    found = deltaE_ciede2000(data[:, :3], data[:, 3:6])
    assert found == pytest.approx(data[:, 6], abs=5e-5)
    assert deltaE_ciede2000(data[:, 3:6], data[:, :3]) == pytest.approx(found), "not symmetric"


@pytest.mark.parametrize(("color", "reference"), OKLAB.items())
def test_oklab_is_that_of_another_implementation(color: str, reference: tuple[float, float, float]) -> None:
    assert oklab_of_rgb(rgb_of_hex(color)) == pytest.approx(reference, abs=2e-6)


@pytest.mark.parametrize(("pair", "reference"), DELTA_E.items())
def test_differences_of_hex_codes_are_those_of_another_implementation(pair: tuple[str, str], reference: float) -> None:
    assert delta_e_hex(*pair) == pytest.approx(reference, abs=0.02), "the white points differ in the fourth digit"


def on_ramp(first: str, second: str) -> bool:
    pair = [oklab_of_rgb(rgb_of_hex(color)) for color in (first, second)]
    assert is_on_ramp_of(pair[0], pair[1]) == is_on_ramp_of(pair[1], pair[0]), "not symmetric"
    return bool(is_on_ramp_of(pair[0], pair[1]))


@pytest.mark.parametrize(
    ("first", "second"),
    [("#f07f1d", "#b23915"), ("#22b8b0", "#197388"), ("#e84a8f", "#a83683"), ("#ececf2", "#b0afb3")],
)
def test_a_shadow_may_turn_towards_violet(first: str, second: str) -> None:
    assert on_ramp(first, second)


@pytest.mark.parametrize(
    ("first", "second"),
    [("#ff69b4", "#2f5fd0"), ("#2e9e44", "#7b3fb5"), ("#1b1b1f", "#f4f4f4"), ("#e0b64f", "#54331f")],
)
def test_other_colours_are_no_shadow(first: str, second: str) -> None:
    assert not on_ramp(first, second)
