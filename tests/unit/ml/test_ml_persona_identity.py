import numpy as np
import polars as pl
from planted_people import CATALOGUE, planted_people

from ml.persona_identity import group_centres, match_personas
from ml.personas import PersonaSettings, fit_personas
from tests.people_by_name import person_ids


def people_in(column, **sizes):
    """person_id and a group, numbered on: people_in("cluster", _0=3) has persons 0, 1, 2 in cluster 0."""
    groups = [name.lstrip("_") for name, size in sizes.items() for _ in range(size)]
    frame = pl.DataFrame({"person_id": person_ids(len(groups)), column: groups})
    return frame.with_columns(pl.col(column).cast(pl.Int64)) if column == "cluster" else frame


NOBODY = pl.DataFrame(schema={"person_id": pl.UInt64, "persona_id": pl.String})


def previous(**sizes):
    frame = people_in("persona_id", **sizes)
    return frame.with_columns(persona_id="persona-" + pl.col("persona_id"))


def test_first_ids_go_from_the_largest_group_on():
    match = match_personas(NOBODY, people_in("cluster", _0=2, _1=9, _2=5))
    assert match.persona_ids == {1: "persona-01", 2: "persona-02", 0: "persona-03"}
    assert match.method == "first"
    assert match.groups["status"].to_list() == ["born"] * 3


def test_ids_survive_relabelled_clusters():
    match = match_personas(previous(_01=50, _02=30, _03=20), people_in("cluster", _2=48, _0=32, _1=20))
    assert match.persona_ids == {2: "persona-01", 0: "persona-02", 1: "persona-03"}
    assert set(match.groups["status"]) == {"kept"}
    assert match.retired.height == 0


def test_a_birth_gets_a_new_id_that_was_never_used():
    match = match_personas(
        previous(_01=60, _02=40), people_in("cluster", _0=60, _1=5, _2=35), retired_ids=["persona-07"]
    )
    assert match.persona_ids == {0: "persona-01", 1: "persona-08", 2: "persona-02"}


def test_a_split_keeps_the_id_with_the_larger_part():
    match = match_personas(previous(_01=100), people_in("cluster", _0=40, _1=60))
    assert match.persona_ids == {1: "persona-01", 0: "persona-02"}


def test_a_merged_persona_retires_with_a_successor():
    match = match_personas(previous(_01=70, _02=30), people_in("cluster", _0=100))
    assert match.persona_ids == {0: "persona-01"}
    assert match.retired.to_dicts() == [
        {"persona_id": "persona-02", "successor_id": "persona-01", "successor_share": 1.0}
    ]


def test_too_little_in_common_is_another_persona():
    scattered = pl.DataFrame(
        {"person_id": person_ids(100), "cluster": np.arange(100) % 5},
        schema_overrides={"cluster": pl.Int64},
    )
    match = match_personas(previous(_01=20, _02=20, _03=20, _04=20, _05=20), scattered)
    assert set(match.groups["status"]) == {"born"}
    assert match.persona_ids[0] == "persona-06"


def test_people_who_came_or_went_do_not_count_against_a_persona():
    current = people_in("cluster", _0=50, _1=30).with_columns(
        person_id=pl.when(pl.col("cluster") == 1).then(pl.col("person_id") + 1_000_000).otherwise("person_id")
    )
    match = match_personas(previous(_01=60, _02=40), current)
    assert match.persona_ids[0] == "persona-01"


def test_past_ninety_nine_ids_go_on():
    match = match_personas(NOBODY, people_in("cluster", _0=3), retired_ids=["persona-99"])
    assert match.persona_ids == {0: "persona-100"}


def test_a_refit_with_another_seed_and_other_people_keeps_the_ids():
    first, _ = planted_people(2_000, seed=1)
    settings = PersonaSettings(k=4)
    model = fit_personas(first, CATALOGUE, settings)
    before = model.assign(first)
    ids = match_personas(NOBODY, before.select("person_id", "cluster")).persona_ids
    named = before.select("person_id", persona_id=pl.col("cluster").replace_strict(ids))

    later = first[:1_700]
    refit = fit_personas(later, CATALOGUE, PersonaSettings(k=4, seed=31)).assign(later)
    match = match_personas(named, refit.select("person_id", "cluster"))
    assert set(match.groups["status"]) == {"kept"}
    same = refit.join(named, on="person_id").filter(
        pl.col("cluster").replace_strict(match.persona_ids) == pl.col("persona_id")
    )
    assert same.height / later.height > 0.97


def test_another_base_is_matched_by_centres():
    first, _ = planted_people(2_000, seed=1)
    second, _ = planted_people(2_000, seed=2)
    second = second.with_columns(person_id=pl.col("person_id") + 1_000_000)
    model = fit_personas(first, CATALOGUE, PersonaSettings(k=4))
    before = model.assign(first).select("person_id", persona_id="persona-0" + (pl.col("cluster") + 1).cast(pl.String))
    after = fit_personas(second, CATALOGUE, PersonaSettings(k=4)).assign(second).select("person_id", "cluster")
    match = match_personas(
        before,
        after,
        group_centres(model.preparation, first, before, "persona_id"),
        group_centres(model.preparation, second, after, "cluster"),
    )
    assert match.method == "centres"
    assert match.persona_ids == {0: "persona-01", 1: "persona-02", 2: "persona-03", 3: "persona-04"}
