"""The plots by which market segmentations are judged: stability, gorge, profile, separation, origins.

Here belong pictures only, of aggregates only. They follow Dolnicar, Grün and Leisch 2018, "Market Segmentation
Analysis", and are SVG: the report and Dagster show the same ones. Figures on other things stand
in `plots`.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from ml.persona_count import PREDICTED_FROM
from ml.persona_evidence import GORGE_BINS, STABLE_SEGMENT_FROM, Segment

_INK, _ACCENT, _QUIET = "#33415c", "#2a7f9e", "#b8c4ce"
_COLORS = ("#2a7f9e", "#d1803b", "#5a8f4e", "#a5548a", "#8a7a3d", "#4f62b0", "#b5483f", "#5b6673")
MARKER_SHARE_OF_RANGE = 0.25
"""A feature marks a segment where it lies this share of the largest deviation from everybody ..."""
MARKER_SHARE_OF_MEAN = 0.5
"""... or deviates from everybody by this share of their value (the rule of the field's bar charts)."""
MOST_FEATURES = 25


def marker_variables(profiles: pl.DataFrame) -> pl.DataFrame:
    """Say which features mark which persona.

    Args:
        profiles: As `profile_personas` returns them.

    Returns:
        The same with is_marker: the effect is at least a quarter of the largest of all, or the value half above or
        below everybody's while the effect is at least 0.2.
    """
    largest = profiles["effect_size"].abs().max() if profiles.height else None
    is_far = pl.col("effect_size").abs() >= MARKER_SHARE_OF_RANGE * float(largest or 1.0)  # type: ignore[arg-type]
    is_relative = (pl.col("persona_value") - pl.col("base_value")).abs() >= MARKER_SHARE_OF_MEAN * pl.col(
        "base_value"
    ).abs()
    has_effect = pl.col("effect_size").abs() >= 0.2
    return profiles.with_columns(is_marker=(has_effect & (is_far | is_relative)).fill_null(False))


def plot_stability(evidence: pl.DataFrame) -> bytes:
    """Draw how alike pairs of bootstrap solutions are, as a box per number of personas, and prediction strength.

    Args:
        evidence: `PersonaModel.k_evidence`.
    """
    figure, (axes,) = _canvas(6.4, 3.4)
    boxes = [
        {"whislo": low, "q1": first, "med": median, "q3": third, "whishi": high, "mean": mean, "label": str(k)}
        for k, mean, low, first, median, third, high in evidence.select(
            "k", "stability", "stability_low", "stability_q25", "stability_median", "stability_q75", "stability_high"
        ).iter_rows()
    ]
    if boxes:
        drawn = axes.bxp(boxes, positions=evidence["k"].to_list(), showfliers=False, patch_artist=True, widths=0.5)
        for box, is_chosen in zip(drawn["boxes"], evidence["is_chosen"], strict=True):
            box.set(facecolor=_ACCENT if is_chosen else _QUIET, edgecolor=_INK)
        for line in drawn["medians"]:
            line.set(color=_INK)
        axes.plot(evidence["k"], evidence["prediction_strength"], "o--", color=_INK, markersize=4, linewidth=1)
        axes.axhline(PREDICTED_FROM, color=_QUIET, linewidth=1)
        axes.set_ylim(min(0.0, float(evidence["stability_low"].min() or 0.0)), 1.03)  # type: ignore[arg-type]
    axes.set_xlabel("number of personas (coloured: chosen; dots: prediction strength)", fontsize=8)
    axes.set_ylabel("agreement when drawn anew", fontsize=8)
    axes.set_title("Stability of each number of personas", fontsize=10, color=_INK)
    return _picture(figure, "stability")


def plot_shown_measures(evidence: pl.DataFrame) -> bytes:
    """Draw what people expect to see and what does not decide: elbow, silhouette, Calinski-Harabasz; and the gap."""
    figure, panels = _canvas(8.0, 2.4, 4)
    measures = {
        "within_sum_of_squares": "elbow: sum of squares within",
        "silhouette": "silhouette",
        "calinski_harabasz": "Calinski–Harabasz",
        "gap": "gap",
    }
    for axes, (name, title) in zip(panels, measures.items(), strict=True):
        axes.plot(evidence["k"], evidence[name], marker="o", markersize=3, color=_ACCENT)
        if name == "gap" and evidence.height:
            axes.errorbar(evidence["k"], evidence["gap"], evidence["gap_error"], color=_ACCENT, fmt="none")
        for k in evidence.filter(pl.col("is_chosen"))["k"]:
            axes.axvline(k, color=_INK, linestyle=":", linewidth=1)
        axes.set_title(title, fontsize=8, color=_INK)
        axes.tick_params(labelsize=6)
    return _picture(figure, "shown")


def plot_gorge(segments: Sequence[Segment], names: Mapping[int, str]) -> bytes:
    """Draw how similar people are to the centre of each segment; two hills with a gorge between them are structure.

    Args:
        segments: Of a `PersonaEvidence`.
        names: Persona by cluster.
    """
    columns = min(max(len(segments), 1), 4)
    rows = -(-max(len(segments), 1) // columns)
    figure, panels = _canvas(2.1 * columns, 1.7 * rows, rows * columns, columns)
    edges = np.linspace(0, 1, GORGE_BINS + 1)[:-1]
    for place, axes in enumerate(panels):
        if place >= len(segments):
            axes.set_visible(False)
            continue
        segment = segments[place]
        axes.bar(edges, segment.similarity, width=1 / GORGE_BINS, align="edge", color=_color(segment.cluster))
        axes.set_title(_short(names.get(segment.cluster, f"segment {segment.cluster + 1}"), 26), fontsize=7, color=_INK)
        axes.set_yticks([])
        axes.tick_params(labelsize=6)
    figure.supxlabel("similarity to the centre (0.5: as near to the next one)", fontsize=7)
    return _picture(figure, "gorge")


def plot_segment_profiles(profiles: pl.DataFrame, names: Mapping[str, str]) -> bytes:
    """Draw how each persona deviates from everybody, feature by feature; marker variables are coloured.

    Args:
        profiles: As `profile_personas` returns them.
        names: Name by persona_id.
    """
    marked = marker_variables(profiles.filter(pl.col("level").is_null()) if "level" in profiles.columns else profiles)
    telling = (
        marked.group_by("label")
        .agg(pl.col("effect_size").abs().max())
        .sort("effect_size", "label", descending=[True, False])
    )
    labels = telling["label"].head(MOST_FEATURES).to_list()[::-1]
    personas = sorted(marked["persona_id"].unique().to_list())
    written = [_short(label, 30) for label in labels]
    # Drawn for every week, and with the most text of all: places are reckoned, not tried out, and bars are one artist.
    width, height = 1.9 + 1.3 * max(len(personas), 1), 1.2 + 0.19 * max(len(labels), 1)
    figure, panels = _canvas(width, height, max(len(personas), 1), layout=None)
    left = 0.2 + 0.06 * max((len(label) for label in written), default=0)
    figure.subplots_adjust(left / width, 0.55 / height, 1 - 0.1 / width, 1 - 0.3 / height, wspace=0.12)
    for place, persona in enumerate(personas):
        axes = panels[place]
        own = {row["label"]: row for row in marked.filter(pl.col("persona_id") == persona).iter_rows(named=True)}
        effects = [own[label]["effect_size"] or 0.0 if label in own else 0.0 for label in labels]
        colors = [_color(place) if label in own and own[label]["is_marker"] else _QUIET for label in labels]
        corners = [[(0, y - 0.4), (x, y - 0.4), (x, y + 0.4), (0, y + 0.4)] for y, x in enumerate(effects)]
        axes.add_collection(PolyCollection(corners, facecolors=colors))
        axes.autoscale_view()
        axes.axvline(0, color=_INK, linewidth=0.8)
        axes.set_ylim(-0.75, len(labels) - 0.25)
        axes.set_yticks(range(len(labels)), written) if place == 0 else axes.set_yticks([])
        axes.tick_params(labelsize=6)
        axes.set_title(_short(names.get(persona, persona), 22), fontsize=7, color=_INK)
    figure.supxlabel(
        "deviation from everybody, in standard deviations (coloured: marker variables)", fontsize=7, y=0.12 / height
    )
    return _picture(figure, "profiles")


def plot_separation(segments: Sequence[Segment], names: Mapping[int, str]) -> bytes:
    """Draw where half and nine tenths of each segment's people lie, on the two directions that tell segments apart.

    Ellipses stand for hulls: a hull is drawn through single people.

    Args:
        segments: Of a `PersonaEvidence`.
        names: Persona by cluster.
    """
    figure, (axes,) = _canvas(5.2, 4.2)
    for segment in segments:
        color = _color(segment.cluster)
        values, vectors = np.linalg.eigh(np.array(segment.extent).reshape(2, 2))
        angle = float(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])))
        for radius, fill in ((1.1774, 0.35), (2.146, 0.12)):  # half and nine tenths of a Gaussian
            width, height = 2 * radius * np.sqrt(np.maximum(values[::-1], 0))
            axes.add_patch(
                Ellipse(segment.centre, width, height, angle=angle, facecolor=color, alpha=fill, edgecolor=color)
            )
        label = _short(names.get(segment.cluster, f"segment {segment.cluster + 1}"), 26)
        axes.annotate(label, segment.centre, fontsize=7, ha="center", va="center", color=_INK)
        axes.plot(*segment.centre, marker="")
    axes.autoscale_view()
    axes.margins(0.15)
    axes.set_xlabel("first direction", fontsize=8)
    axes.set_ylabel("second direction", fontsize=8)
    axes.set_title("How far segments lie apart", fontsize=10, color=_INK)
    return _picture(figure, "separation")


def plot_origins(origins: Sequence[Mapping[str, Any]], chosen: int) -> bytes:
    """Draw where the segments of each solution come from in the solution with one fewer (SLSA).

    A dark dot comes out of one segment as a whole; a light one is put together from several.

    Args:
        origins: Of a `PersonaEvidence`.
        chosen: The number of personas that was chosen.
    """
    figure, (axes,) = _canvas(6.4, 3.6)
    numbers = sorted({int(one["k"]) for one in origins})
    if numbers:
        axes.set_xlim(numbers[0] - 1.5, numbers[-1] + 0.5)
        axes.set_xticks([numbers[0] - 1, *numbers])

    def height(group: int, k: int) -> float:
        return 1 - (group + 0.5) / k

    for one in origins:
        k, group = int(one["k"]), int(one["group"])
        width = 0.4 + 4 * float(one["parent_share"]) * float(one["share"])
        parent = height(int(one["parent"]), k - 1)
        axes.plot([k - 1, k], [parent, height(group, k)], color=_QUIET, linewidth=width, zorder=1)
        size = 40 + 500 * float(one["share"])
        axes.scatter([k], [height(group, k)], s=size, color=_ACCENT, alpha=max(0.15, float(one["origin"])), zorder=2)
    for group in range(numbers[0] - 1 if numbers else 0):
        axes.scatter([numbers[0] - 1], [height(group, numbers[0] - 1)], s=120, color=_QUIET, zorder=2)
    axes.axvline(chosen, color=_INK, linestyle=":", linewidth=1)
    axes.set_yticks([])
    axes.set_xlabel("number of personas (dotted: chosen; dark: comes out of one segment)", fontsize=8)
    axes.set_title("Where segments come from", fontsize=10, color=_INK)
    return _picture(figure, "origins")


def plot_segment_stability(segments: Sequence[Segment], names: Mapping[int, str]) -> bytes:
    """Draw how well each persona is found again when people are drawn anew (SLSW)."""
    figure, (axes,) = _canvas(6.0, 0.9 + 0.35 * max(len(segments), 1))
    for place, one in enumerate(segments):
        color = _color(one.cluster) if one.is_stable else "#b5483f"
        axes.plot([one.stability_low, one.stability_high], [place, place], color=color, linewidth=4, alpha=0.5)
        axes.plot([one.stability], [place], "o", color=color)
    labels = [_short(names.get(one.cluster, f"segment {one.cluster + 1}"), 36) for one in segments]
    axes.set_yticks(range(len(segments)), labels)
    axes.invert_yaxis()
    axes.axvline(STABLE_SEGMENT_FROM, color=_QUIET, linestyle="--", linewidth=1)
    axes.set_xlim(0, 1.02)
    axes.set_title("How well each persona is found again (dashed: not to be trusted below)", fontsize=9, color=_INK)
    return _picture(figure, "segments")


def _color(place: int) -> str:
    return _COLORS[place % len(_COLORS)]


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _canvas(
    width: float, height: float, panels: int = 1, columns: int | None = None, layout: str | None = "constrained"
) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), dpi=110, layout=layout)  # type: ignore[arg-type]
    FigureCanvasAgg(figure)
    columns = columns or panels
    drawn = figure.subplots(-(-panels // columns), columns, squeeze=False, sharey=False).ravel().tolist()
    for axes in drawn:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8, colors=_INK)
    return figure, drawn


def _picture(figure: Figure, name: str) -> bytes:
    target = BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
    text = target.getvalue().decode()
    return text[text.index("<svg") :].encode()
