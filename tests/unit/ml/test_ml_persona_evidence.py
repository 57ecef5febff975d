import json
from datetime import date
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from planted_people import CATALOGUE, in_order_of, planted_people

from benchmarks.segment_worlds import planted_world, structureless_world
from ml import persona_plots
from ml.many_starts import best_of_many_starts
from ml.model_card import card_markdown, model_card
from ml.naming import profile_personas
from ml.persona_evidence import PersonaEvidence, merge_weak_segments, size_notes
from ml.personas import PersonaModel, PersonaSettings, fit_personas, judge_again
from ml.stability import k_means_finder


@pytest.fixture(scope="module")
def people():
    return planted_people(1_200)[0]


@pytest.fixture(scope="module")
def model(people):
    return fit_personas(people, CATALOGUE, PersonaSettings(k=4))


def blobs(sizes, seed=0):
    random = np.random.default_rng(seed)
    return np.vstack([random.normal(6 * place, 1, size=(size, 2)) for place, size in enumerate(sizes)])


def test_a_segment_that_is_too_small_joins_the_nearest_and_it_is_recorded():
    scores = blobs([300, 280, 12])
    centres = best_of_many_starts(scores, 3, 20, 7)
    left, merges = merge_weak_segments(scores, centres, 2, 0.05, k_means_finder(5), 4, 7)
    assert len(left) == 2
    assert [merge.reason for merge in merges] == ["too small"]
    assert merges[0].words.startswith("A segment with 2.0% of the people was joined to the nearest one")


def test_a_segment_that_is_not_found_again_is_merged_but_never_below_the_fewest():
    scores = blobs([300, 300])
    centres = best_of_many_starts(scores, 5, 20, 7)
    left, merges = merge_weak_segments(scores, centres, 2, 0.0, k_means_finder(5), 6, 7)
    assert len(left) == 5 - len(merges) < 5
    assert {merge.reason for merge in merges} == {"not found again"}
    kept, none = merge_weak_segments(scores, centres, 5, 0.0, k_means_finder(5), 6, 7)
    assert len(kept) == 5 and none == []


def test_few_people_per_feature_are_called_thin_and_fewer_exploratory():
    assert size_notes(1_000, 10) == []
    assert size_notes(999, 10)[0].startswith("Thin evidence: 999 people for 10 features")
    assert size_notes(599, 10)[0].startswith("Exploratory:")


def test_people_without_groups_are_told_that_these_are_constructed_cuts():
    world = structureless_world(2, "one correlated cloud", people=1_000)
    evidence = fit_personas(world.people, world.catalogue, PersonaSettings()).evidence
    assert evidence.solution_kind in {"reproducible", "constructive"}
    assert evidence.kind_words.startswith("No natural segments; these are constructed cuts")


def test_evidence_survives_json(model):
    assert PersonaEvidence.from_dict(json.loads(json.dumps(model.evidence.to_dict()))) == model.evidence


def test_evidence_holds_no_single_person(model):
    for segment in model.evidence.segments:
        assert sum(segment.similarity) == pytest.approx(1, abs=1e-4)
        assert len(segment.extent) == 4


def test_a_model_whose_groups_were_replaced_is_judged_again(people, model):
    from dataclasses import replace

    unjudged = replace(model, evidence=replace(model.evidence, segments=(), stability=None))
    judged = judge_again(unjudged, people)
    assert [one.stability for one in judged.evidence.segments] == pytest.approx(
        [one.stability for one in model.evidence.segments], abs=0.1
    )
    assert judge_again(model, people) is model


@pytest.mark.parametrize("algorithm", ["gaussian_mixture", "ward", "latent_class"])
def test_every_algorithm_gives_a_model_that_survives_json(people, algorithm):
    other = fit_personas(people, CATALOGUE, PersonaSettings(k=3, algorithm=algorithm))
    thawed = PersonaModel.from_dict(json.loads(json.dumps(other.to_dict())))
    assert thawed.assign(people).equals(other.assign(people))
    assert list(other.shares) == sorted(other.shares, reverse=True)
    expected = "k_means" if algorithm == "latent_class" else algorithm  # there are numbers among the features
    assert other.algorithm == expected
    assert any("Latent classes are for yes-or-no answers" in note for note in other.evidence.notes) == (
        algorithm == "latent_class"
    )


def test_probabilities_are_those_of_the_assignment(people, model):
    ids, probabilities = model.probabilities(people)
    assigned = model.assign(people)
    assert ids.to_list() == assigned["person_id"].to_list()
    assert probabilities.argmax(axis=1).tolist() == assigned["cluster"].to_list()
    assert probabilities.max(axis=1) == pytest.approx(assigned["strength"].to_numpy(), abs=1e-6)


def test_each_large_market_has_personas_of_its_own_and_small_ones_share(people):
    settings = PersonaSettings(k=2, market_feature="country", market_minimum=300)
    by_market = fit_personas(people, CATALOGUE, settings)
    assert sorted({str(market) for market in by_market.markets}) == ["DE", "FR", "None"]
    assert "country" not in by_market.preparation.features_
    clusters = in_order_of(people, by_market.assign(people))
    for country, cluster in zip(people["country"], clusters, strict=True):
        assert by_market.markets[cluster] == (country if country in {"DE", "FR"} else None)
    assert any("were found among everybody" in note for note in by_market.evidence.notes)
    thawed = PersonaModel.from_dict(json.loads(json.dumps(by_market.to_dict())))
    assert thawed.assign(people).equals(by_market.assign(people))
    nowhere = people.with_columns(country=pl.lit(None, pl.String))
    assert by_market.assign(nowhere)["cluster"].null_count() == 0


def test_no_market_is_large_enough_and_it_says_so(people):
    pooled = fit_personas(people, CATALOGUE, PersonaSettings(k=2, market_feature="country", market_minimum=5_000))
    assert pooled.markets == ()
    assert pooled.evidence.notes[-1] == "No market has 5,000 people; all share personas."


def test_the_card_tells_what_was_done_to_each_feature_and_where_not_to_trust(model):
    card = model_card(model, date(2026, 11, 9))
    assert json.loads(json.dumps(card)) == card
    told = {one["feature"]: one["preparation"] for one in card["features"]}
    assert told["revenue_365d"].startswith(("signed log", "Yeo-Johnson", "as it is"))
    assert "any or none told apart" in told["tickets_91d"]
    text = card_markdown(card)
    for part in ("## Why this many", "## Segments", "## Limits", "Natural segments", "signed log"):
        assert part in text


def pictures(people, model):
    placed = model.assign(people).with_columns(persona_id=pl.format("persona-0{}", pl.col("cluster") + 1))
    profiles = profile_personas(people, placed, CATALOGUE)
    names = {cluster: f"Persona <{cluster}>" for cluster in range(model.k)}
    segments = model.evidence.segments
    return [
        lambda: persona_plots.plot_stability(model.k_evidence),
        lambda: persona_plots.plot_shown_measures(model.k_evidence),
        lambda: persona_plots.plot_gorge(segments, names),
        lambda: persona_plots.plot_separation(segments, names),
        lambda: persona_plots.plot_segment_stability(segments, names),
        lambda: persona_plots.plot_segment_profiles(profiles, {}),
        lambda: persona_plots.plot_origins(model.evidence.origins, model.k),
        lambda: persona_plots.plot_stability(model.k_evidence.clear()),
        lambda: persona_plots.plot_gorge([], {}),
    ]


def test_pictures_are_svg_the_same_every_time_and_escaped(people, model):
    for draw in pictures(people, model):
        svg = draw().decode()
        assert svg.startswith("<svg") and svg == draw().decode()
        assert "Persona <" not in svg and "<script" not in svg


def test_marker_variables_lie_far_from_everybody(people, model):
    placed = model.assign(people).with_columns(persona_id=pl.format("persona-0{}", pl.col("cluster") + 1))
    marked = persona_plots.marker_variables(profile_personas(people, placed, CATALOGUE))
    assert marked.filter("is_marker")["effect_size"].abs().min() >= 0.2
    assert not marked.filter(pl.col("effect_size").abs() < 0.1)["is_marker"].any()


def test_another_row_order_gives_the_same_groups_and_another_seed_nearly():
    world = planted_world(2, 4, 4, people=600)
    first = fit_personas(world.people, world.catalogue, PersonaSettings(k=4))
    again = fit_personas(world.people.sample(fraction=1, shuffle=True, seed=1), world.catalogue, PersonaSettings(k=4))
    assert first.model_id == again.model_id
    assert all(one >= other for one, other in pairwise(first.shares))
