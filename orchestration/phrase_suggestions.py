"""`personae suggest-phrases`: proposals for `brand/phrases.yml`, each with its evidence, for a human to accept.

What belongs here: which texts are looked at, what is proposed, and how it is written down. Nothing here is read by a
run. The measures stand in `ml/keyness.py`.

Two questions are asked. What does the brief say more than people do (words of the brand that people use as well)? And
what do people who bought say more than those who did not? Word groups that fewer people say than `minimum_cell` are
left out, and so are texts as samples: what only somebody says may tell who it is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl

from activation.answers import first_row, read_frame
from ml.keyness import cohesion, log_likelihood, log_odds, word_groups
from orchestration.brand import BRAND_FOLDER, BRIEF_FILE, LISTS, PHRASES_FILE
from orchestration.settings_file import SettingsError
from orchestration.special_categories import looks_like
from orchestration.weeks import Week
from orchestration.workspace import Workspace

PROPOSAL_FILE = "phrases.proposed.yml"
STANDS_OUT = 10.8
"""Log-likelihood that chance brings once in a thousand."""
SURELY = 3.0
"""Standard errors of log-odds."""
HOLDS_TOGETHER = 1.0
"""Bits per step by which words of a group attract each other."""
MOST_PER_LIST = 20
SAMPLES = 3
# Words of happenings, and beginnings of what happens to people and companies.
HAPPENINGS = frozenset(
    (
        "new moving moved move joined joining launch launched launching hired hiring raised funding acquired "
        "acquisition merger opened opening started starting migration migrate renewal expansion promotion "
        "promoted graduation wedding relocation neu umzug umziehen eröffnung gründung einstellung wechsel nouveau "
        "nouvelle déménagement ouverture nuevo nueva mudanza apertura nuovo nuova trasloco nieuw verhuizing"
    ).split()
)
COLUMNS = {
    "job_title": ("contacts", "job_title"),
    "company": ("accounts", "industry"),
    "ticket": ("tickets", "subject"),
    "survey": ("survey_answers", "answer"),
    "page": ("events", "page_title"),
    "search": ("events", "keyword"),
    "product": ("order_lines", "product_name"),
}
WHO_SAID = {
    "events": (
        "case when contact_id is not null then 'contact' when user_id is not null then 'user' else 'device' end",
        "coalesce(contact_id, user_id, device_id)",
    ),
}


@dataclass(frozen=True)
class Candidate:
    """A proposed phrase and why.

    Attributes:
        list_name: triggers, events or targets.
        phrase: the words.
        people: how many people say them.
        in_brief: how often the brief says them.
        reasons: the evidence in words.
        samples: texts that many people say, with those words.
    """

    list_name: str
    phrase: str
    people: int
    in_brief: int
    reasons: tuple[str, ...]
    samples: tuple[str, ...]


def suggest_phrases(connection: duckdb.DuckDBPyConnection | None, workspace: Workspace) -> list[Candidate]:
    """Candidates from the brief and, where a week was run, from what people say; the strongest of each list first.

    Raises:
        SettingsError: there is neither a brief nor text of people.
    """
    texts = _texts(connection, workspace) if connection is not None else _no_texts()
    if not workspace.brand.brief.strip() and not texts.height:
        path = workspace.folder / BRAND_FOLDER / BRIEF_FILE
        raise SettingsError(path, None, "write what the brand and its products are, or run a week first")
    brief = pl.DataFrame({"text": workspace.brand.brief.splitlines()}, schema={"text": pl.String})
    in_brief = word_groups(brief.with_columns(in_brief=pl.lit(1, pl.Int64)))
    said = cohesion(word_groups(texts.select("text", "people", "buyers")), "people", int(texts["people"].sum()))
    groups = said.join(in_brief.select("group", "words", "in_brief"), on=["group", "words"], how="full", coalesce=True)
    groups = groups.with_columns(pl.col("people", "buyers", "texts", "in_brief").fill_null(0))
    judged = _judged(groups, workspace.settings.minimum_cell)
    known = {phrase.text.casefold() for phrase in workspace.brand.phrases}
    candidates: dict[str, list[Candidate]] = {name: [] for name in LISTS}
    taken: list[str] = []
    for row in judged.iter_rows(named=True):
        phrase = row["group"]
        if phrase in known or looks_like(phrase) or any(f" {phrase} " in f" {longer} " for longer in taken):
            continue
        samples, titles = _samples(texts, phrase, workspace.settings.minimum_cell)
        name = "targets" if titles else "events" if HAPPENINGS & set(phrase.split()) else "triggers"
        if len(candidates[name]) < MOST_PER_LIST:
            taken.append(phrase)
            candidates[name].append(
                Candidate(name, phrase, row["people"], row["in_brief"], tuple(_reasons(row)), samples)
            )
    return [one for ones in candidates.values() for one in ones]


def write_proposal(workspace: Workspace, candidates: list[Candidate]) -> Path:
    """Write the proposal beside the brief; no run reads it."""
    lines = [
        f"# Proposals of `personae suggest-phrases`. No run reads this file: copy what you accept to {PHRASES_FILE}.",
    ]
    for name in LISTS:
        lines += ["", f"{name}:" if any(one.list_name == name for one in candidates) else f"{name}: []"]
        for one in candidates:
            if one.list_name == name:
                lines.append(f"  - {json.dumps(one.phrase, ensure_ascii=False)}  # {'; '.join(one.reasons)}")
                lines += [f"    #   {json.dumps(sample, ensure_ascii=False)}" for sample in one.samples]
    path = workspace.folder / BRAND_FOLDER / PROPOSAL_FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _judged(groups: pl.DataFrame, minimum_people: int) -> pl.DataFrame:
    """Groups that stand out, the strongest first, with the measures that say so."""
    people, buyers, brief = (int(groups[name].sum()) for name in ("people", "buyers", "in_brief"))
    count = {name: pl.col(name).cast(pl.Float64) for name in ("people", "buyers", "in_brief")}
    others = count["people"] - count["buyers"]
    measured = groups.with_columns(
        brief_keyness=log_likelihood(count["in_brief"], count["people"], brief, people),
        buyer_keyness=log_likelihood(count["buyers"], others, buyers, people - buyers),
        buyer_odds=log_odds(count["buyers"], others, buyers, people - buyers),
    )
    many = pl.col("people") >= minimum_people
    holds = (pl.col("words") == 1) | (pl.col("cohesion") >= HOLDS_TOGETHER) | pl.col("cohesion").is_null()
    by_brief = (pl.col("in_brief") > 0) & (
        (many & (pl.col("brief_keyness") >= 0)) | (pl.col("in_brief") >= 2) & (pl.col("brief_keyness") >= STANDS_OUT)
    )
    by_buyers = many & (pl.col("buyer_odds") >= SURELY) & (pl.col("buyer_keyness") >= STANDS_OUT)
    return (
        measured.filter(holds & (by_brief | by_buyers) & ((pl.col("people") == 0) | many))
        .with_columns(
            strength=pl.col("buyer_keyness").clip(0) + pl.col("brief_keyness").clip(0) * (pl.col("in_brief") > 0),
            by_buyers=by_buyers,
        )
        .sort("strength", "words", "group", descending=[True, True, False])
    )


def _reasons(row: dict[str, float]) -> list[str]:
    """The evidence of one group in words."""
    told = [f"{row['people']:,.0f} people say it"]
    if row["in_brief"]:
        told.append(f"{row['in_brief']:.0f} times in the brief, keyness {row['brief_keyness']:.0f}")
    if row["by_buyers"]:
        told.append(
            f"{row['buyers']:,.0f} of them bought, keyness {row['buyer_keyness']:.0f}, "
            f"log-odds {row['buyer_odds']:.1f} standard errors"
        )
    if row["cohesion"] is not None:
        told.append(f"stands together {2 ** row['cohesion']:,.0f} times as often as chance")
    return told


def _samples(texts: pl.DataFrame, phrase: str, minimum_people: int) -> tuple[tuple[str, ...], bool]:
    """Texts with the phrase that many people say; and whether most people who say it are called so."""
    holds = texts.filter(pl.col("plain").str.contains(f" {phrase} ", literal=True))
    shown = holds.filter(pl.col("people") >= minimum_people).sort("people", "text", descending=[True, False])
    called = holds.filter(pl.col("source").is_in(["job_title", "company"]))["people"].sum()
    told = [f"{source}: {text[:80]}" for source, text in shown.select("source", "text").head(SAMPLES).iter_rows()]
    return tuple(told), bool(holds.height) and 2 * called >= holds["people"].sum()


def _no_texts() -> pl.DataFrame:
    schema = {"source": pl.String, "text": pl.String, "people": pl.Int64, "buyers": pl.Int64, "plain": pl.String}
    return pl.DataFrame(schema=schema)


def _texts(connection: duckdb.DuckDBPyConnection, workspace: Workspace) -> pl.DataFrame:
    """Each distinct text of people who may be profiled, how many say it, and how many of these bought something."""
    row = first_row(connection, "select max(as_of) from intermediate.int_people")
    as_of = row[0] if row else None
    wanted = {source: at for source, at in COLUMNS.items() if at[0] in workspace.entities}
    if as_of is None or not wanted:
        return _no_texts()
    connection.execute(
        "create or replace temp table speakers as "
        "select i.identity_kind, i.identity_id, p.person_id, p.account_id from intermediate.int_people as p "
        "inner join intermediate.int_identities_resolved as i on i.person_id = p.person_id "
        "where p.as_of = $as_of "
        "and i.valid_from < $as_of_at and coalesce(i.valid_to, timestamp '9999-12-31') >= $as_of_at",
        {"as_of": as_of, "as_of_at": Week(as_of - timedelta(days=7)).as_of_at(workspace.settings.timezone)},
    )
    bought = [
        f"select contact_id from staging.stg_{name}" for name in ("orders", "order_lines") if name in workspace.entities
    ]
    buyers = " union ".join(bought) or "select null::varchar as contact_id where false"
    connection.execute(
        "create or replace temp table buyers as select distinct s.person_id from speakers as s "
        f"semi join ({buyers}) as b on b.contact_id = s.identity_id where s.identity_kind = 'contact'"
    )
    parts = []
    for source, (entity, column) in wanted.items():
        if entity == "accounts":
            said = (
                f"select distinct s.person_id, t.{column} as text from speakers as s "
                "inner join staging.stg_accounts as t on t.account_id = s.account_id"
            )
        else:
            kind, identity = WHO_SAID.get(entity, ("'contact'", "contact_id"))
            said = (
                f"select distinct s.person_id, t.text from "
                f"(select distinct {kind} as kind, {identity} as id, {column} as text from staging.stg_{entity}) as t "
                "inner join speakers as s on s.identity_kind = t.kind and s.identity_id = t.id"
            )
        parts.append(
            f"select '{source}' as source, lower(text) as text, count(distinct said.person_id) as people, "
            f"count(distinct b.person_id) as buyers from ({said}) as said "
            "left join buyers as b on b.person_id = said.person_id where text is not null "
            "and try_cast(text as double) is null group by all"
        )
    frame = read_frame(connection, " union all ".join(parts) + " order by all")
    plain = pl.format(" {} ", pl.col("text").str.replace_all(r"[^\p{L}\p{N}']+", " "))
    return frame.with_columns(pl.col("people", "buyers").cast(pl.Int64), plain=plain)
