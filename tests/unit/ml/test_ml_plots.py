import pytest

from ml.plots import plot_persona_sizes, plot_reliability

BIN = {"mean_probability": 0.1, "observed_share": 0.12, "people": 10}


@pytest.mark.parametrize(
    "picture",
    [
        lambda: plot_persona_sizes({"Very active report readers": 1200, "Quiet people": 300}),
        lambda: plot_persona_sizes({}),
        lambda: plot_reliability([BIN]),
        lambda: plot_reliability([]),
    ],
)
def test_pictures_are_png(picture):
    assert picture().startswith(b"\x89PNG")


def test_pictures_are_the_same_every_time():
    assert plot_reliability([BIN]) == plot_reliability([BIN])
