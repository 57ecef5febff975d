"""Small pictures of what a run found, as PNG, for whoever watches the runs.

Here belong pictures only. Those of the evidence for personas stand in `persona_plots`; the marketer's report draws
its own.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ml.evaluation import ReliabilityBin

_INK = "#33415c"
_ACCENT = "#2a7f9e"
_QUIET = "#b8c4ce"


def plot_persona_sizes(people: Mapping[str, int]) -> bytes:
    """Draw how many people each persona has.

    Args:
        people: People by persona name, drawn in this order from the top.

    Returns:
        PNG bytes.
    """
    figure, axes = _canvas(6.0, 0.8 + 0.4 * max(len(people), 1))
    total = sum(people.values()) or 1
    bars = axes.barh(range(len(people)), list(people.values()), color=_ACCENT)
    axes.bar_label(bars, [f"{count:,} ({count / total:.0%})" for count in people.values()], padding=4, fontsize=8)
    axes.set_yticks(range(len(people)), list(people), fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.25)
    axes.set_xticks([])
    axes.set_title("People per persona", fontsize=10, color=_INK)
    return _png(figure)


def plot_reliability(bins: Sequence[ReliabilityBin]) -> bytes:
    """Draw predicted against observed shares; on the diagonal, what is predicted comes true.

    Args:
        bins: `evaluation["reliability"]` of a propensity.

    Returns:
        PNG bytes.
    """
    figure, axes = _canvas(3.8, 3.6)
    predicted = [part["mean_probability"] for part in bins]
    observed = [part["observed_share"] for part in bins]
    limit = 1.05 * max([*predicted, *observed, 0.01])
    axes.plot([0, limit], [0, limit], color=_QUIET, linestyle="--", linewidth=1)
    axes.plot(predicted, observed, marker="o", color=_ACCENT)
    axes.set_xlim(0, limit)
    axes.set_ylim(0, limit)
    axes.set_xlabel("predicted", fontsize=8)
    axes.set_ylabel("observed", fontsize=8)
    axes.set_title("Predicted and observed, by tenths", fontsize=10, color=_INK)
    return _png(figure)


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, colors=_INK)
    return figure, axes


def _png(figure: Figure) -> bytes:
    target = BytesIO()
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()
