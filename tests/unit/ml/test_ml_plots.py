import polars as pl
import pytest

from ml.plots import plot_k_evidence, plot_persona_sizes, plot_reliability

EVIDENCE = pl.DataFrame(
    {
        "k": [3, 4],
        "silhouette": [0.3, 0.2],
        "stability": [0.9, 0.95],
        "prediction_strength": [0.8, 0.9],
        "is_chosen": [False, True],
    }
)
BIN = {"mean_probability": 0.1, "observed_share": 0.12, "people": 10}


@pytest.mark.parametrize(
    "picture",
    [
        lambda: plot_persona_sizes({"Very active report readers": 1200, "Quiet people": 300}),
        lambda: plot_persona_sizes({}),
        lambda: plot_k_evidence(EVIDENCE),
        lambda: plot_k_evidence(EVIDENCE.clear()),
        lambda: plot_reliability([BIN]),
        lambda: plot_reliability([]),
    ],
)
def test_pictures_are_png(picture):
    assert picture().startswith(b"\x89PNG")


def test_pictures_are_the_same_every_time():
    assert plot_k_evidence(EVIDENCE) == plot_k_evidence(EVIDENCE)
