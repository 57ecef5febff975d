"""Which identities are one person, week by week.

What belongs here: components of a graph of identities over time, its guards, decisions of people, and why an identity
changed its person. Personal values never come here, only ids and hashes. How contacts without a common identifier are
compared stands in `contact_matching.py`; which tables name two identities, in dbt's `int_identity_links`.

A week knows the links of that week and of all weeks before it. Components are kept as a forest: each identity points to
the oldest one of its component, so a week costs what its new links cost, not what the whole graph does. Only components
that a guard or a decision ever touches are computed again, in the weeks in which something happens to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

# Identities and weeks are counted in 32 bits: arrays of millions cost the time it takes to touch their memory.
INT = np.int32
IntArray = npt.NDArray[np.signedinteger[Any]]
FloatArray = npt.NDArray[np.float64]

# The kinds that may be a person's oldest identity: a contact's id rather than a login's, a login's rather than a
# device's.
PERSON_KINDS = ("contact", "user", "device")
# Kinds of links, the strongest first: where a decision keeps two contacts apart, the strongest links are kept.
LINK_KINDS = ("same_user", "same_email", "same_phone", "probabilistic_match", "same_device")
NEVER = np.iinfo(np.int32).max // 4
NOBODY = -1
NO_LINK = len(LINK_KINDS)

APPEARED, MERGED, SPLIT, UNMERGED = range(4)
REASONS = ("appeared", "merged", "split_by_shared_identifier", "unmerged_by_decision")


@dataclass(frozen=True)
class ResolutionRules:
    """What holds in a workspace.

    Attributes:
        max_people: by kind of link, how many contacts and logins may share one identifier before it links nobody.
        include_anonymous: whether a device that nobody identified on is a person of its own.
    """

    max_people: dict[str, int] = field(default_factory=dict)
    include_anonymous: bool = False


@dataclass(frozen=True)
class _Graph:
    """Identities as numbers, the oldest first, and identifiers after them."""

    people: int
    devices_from: int
    nodes: int
    seen_week: IntArray


@dataclass(frozen=True)
class _Edges:
    """Links between numbered identities: from the week that learns of one until its identifier is too common."""

    left: IntArray
    right: IntArray
    start: IntArray
    end: IntArray
    kind: IntArray
    weight: FloatArray
    shared: IntArray  # the week from which on the right one may lead on to somebody else

    def __len__(self) -> int:
        return len(self.left)

    def where(self, chosen: npt.NDArray[np.bool_] | IntArray) -> _Edges:
        """Some of the links."""
        return _Edges(
            left=self.left[chosen],
            right=self.right[chosen],
            start=self.start[chosen],
            end=self.end[chosen],
            kind=self.kind[chosen],
            weight=self.weight[chosen],
            shared=self.shared[chosen],
        )


@dataclass(frozen=True)
class _Changes:
    """Which identity has which root from which week on, and why; `root` is `NOBODY` where it belongs to nobody."""

    node: IntArray
    week: IntArray
    root: IntArray
    reason: IntArray
    kind: IntArray
    weight: FloatArray

    def where(self, chosen: npt.NDArray[np.bool_] | IntArray) -> _Changes:
        """Some of the changes."""
        return _Changes(
            node=self.node[chosen],
            week=self.week[chosen],
            root=self.root[chosen],
            reason=self.reason[chosen],
            kind=self.kind[chosen],
            weight=self.weight[chosen],
        )


def resolve_identities(
    identities: pl.DataFrame, links: pl.DataFrame, rules: ResolutionRules, apart: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Say which person each identity belongs to, and from which week on.

    A person is a component of the graph of identities that are linked. Its id is that of its oldest identity: contacts
    come before logins and logins before devices, then the earliest seen, then the lowest id. So growing history,
    another order of arrival and a rebuild change no id, and a merge keeps the older one.

    An identifier that more than `rules.max_people` contacts and logins share as of a week links nobody in that week.

    Args:
        identities: who may be a person or belong to one, each once: `identity_kind` (contact, user or device),
            `identity_id`, `seen_from_at` (when it was first known), `seen_week` (Int32: the number of the first week
            that knows it) and `own_person_id` (the person's id if this is the oldest identity).
        links: what names two identities, each pair once: `identity_kind`, `identity_id` (one of `identities`),
            `other_kind`, `other_id` (one of `identities`, or an `email` or `phone` by its hash), `link_kind` (one of
            `LINK_KINDS`), `link_week` (Int32) and `match_weight` (of a probabilistic match, else null).
        rules: what holds in the workspace.
        apart: contacts that somebody decided to be two people, strongest links first kept: `contact_id`,
            `other_contact_id`, `from_week` (Int32).

    Returns:
        Every change of every identity, in order: `identity_kind`, `identity_id`, `person_before` (null at first),
        `person_after` (null where a device is nobody's any more), `seen_from_at`, `from_week`, `to_week` (null while it
        lasts), `makes_person` (whether the identity alone makes somebody a person), `is_first` (its first person),
        `reason` (one of `REASONS`), `link_kind` and `match_weight` (of the strongest link that brought the change
        about, or that was lost).

    Raises:
        ValueError: a link of an unknown kind, or one that names an identity that is not among `identities`.
    """
    numbered = _oldest_first(identities)
    graph, edges = _graph(numbered, links)
    counted = _without_crowds(graph, edges, rules)
    decisions = _decisions(numbered, apart)
    is_troubled, component = _troubled(graph, counted, decisions)
    calm = _calm_changes(graph, counted.where(~is_troubled[counted.left]), is_troubled, rules)
    troubled = _troubled_changes(graph, counted.where(is_troubled[counted.left]), is_troubled, component, decisions)
    changes = _with_devices_of_nobody(graph, edges, _concatenated([calm, troubled]), rules)
    return _ledger(numbered, graph, changes)


def _oldest_first(identities: pl.DataFrame) -> pl.DataFrame:
    """The identities with `code`, their place in the order of age."""
    rank = pl.col("identity_kind").replace_strict(
        {kind: i for i, kind in enumerate(PERSON_KINDS)}, return_dtype=pl.Int32
    )
    # Microseconds of two hundred years are fewer than 2**53, so kind and moment are one number; only those of the very
    # same moment are ordered by their ids, which takes longer than everything else.
    age = rank * 2**54 + pl.col("seen_from_at").cast(pl.Datetime("us")).to_physical().clip(-(2**53), 2**53)
    aged = identities.with_columns(age=age).sort("age", maintain_order=False)
    is_tied = pl.Series(aged["age"].is_duplicated())
    if is_tied.any():
        places = is_tied.arg_true()
        tied = aged.select("age", "identity_id")[places].with_columns(place=places).sort("age", "identity_id")
        order = np.arange(aged.height)
        order[places.to_numpy()] = tied["place"].to_numpy()
        aged = aged[order]
    return aged.drop("age").with_columns(code=pl.int_range(aged.height, dtype=pl.Int32, eager=True))


def _graph(numbered: pl.DataFrame, links: pl.DataFrame) -> tuple[_Graph, _Edges]:
    """Links between numbers; identifiers that can be nobody's oldest identity are numbered after those that can."""
    unknown_kinds = sorted(set(links["link_kind"].unique()) - set(LINK_KINDS))
    if unknown_kinds:
        raise ValueError(f"unknown kinds of links: {unknown_kinds}")
    places: dict[str, pl.DataFrame] = {
        str(kind): part.select("identity_id", "code")
        for (kind,), part in numbered.select("identity_kind", "identity_id", "code").group_by("identity_kind")
    }
    following = numbered.height
    links = _without_what_only_one_has(links)
    parts = [pl.DataFrame(schema={"code": pl.Int32, "code_other": pl.Int32, "week": pl.Int32, "weight": pl.Float64})]
    kinds: list[IntArray] = [np.zeros(0, dtype=INT)]
    grouped = links.group_by("identity_kind", "other_kind", "link_kind")
    for (kind, other_kind, link_kind), part in sorted(grouped, key=lambda each: str(each[0])):
        other = str(other_kind)
        if other not in PERSON_KINDS and other not in places:
            identifiers = links.filter(pl.col("other_kind") == other).select(identity_id="other_id").unique()
            codes = pl.int_range(following, following + identifiers.height, dtype=pl.Int32, eager=True)
            places[other] = identifiers.sort("identity_id").with_columns(code=codes)
            following += identifiers.height
        known = pl.DataFrame(schema={"identity_id": pl.String, "code": pl.Int32})
        found = part.join(places.get(str(kind), known), on="identity_id", how="left").join(
            places.get(other, known), left_on="other_id", right_on="identity_id", how="left", suffix="_other"
        )
        weight = pl.col("match_weight").cast(pl.Float64).fill_null(float("nan"))
        parts.append(found.select("code", "code_other", week=pl.col("link_week").cast(pl.Int32), weight=weight))
        kinds.append(np.full(part.height, LINK_KINDS.index(str(link_kind)), dtype=INT))
    linked = pl.concat(parts)
    if linked["code"].null_count() or linked["code_other"].null_count():
        raise ValueError("a link names an identity that is not among the identities")
    edges = _Edges(
        left=linked["code"].to_numpy(),
        right=linked["code_other"].to_numpy(),
        start=linked["week"].to_numpy(),
        end=np.full(linked.height, NEVER, dtype=INT),
        kind=np.concatenate(kinds),
        weight=linked["weight"].to_numpy(),
        shared=linked["week"].to_numpy(),
    )
    devices = int((numbered["identity_kind"] == "device").sum())
    graph = _Graph(
        people=numbered.height,
        devices_from=numbered.height - devices,
        nodes=following,
        seen_week=numbered["seen_week"].cast(pl.Int32).to_numpy(),
    )
    return graph, edges


def _without_what_only_one_has(links: pl.DataFrame) -> pl.DataFrame:
    """An address or number of a single contact links nobody: most are, and need no place in the graph."""
    is_person = pl.col("other_kind").is_in(PERSON_KINDS)
    shared = [
        part.filter(pl.col("other_id").is_duplicated()) for part in links.filter(~is_person).partition_by("other_kind")
    ]
    return pl.concat([links.filter(is_person), *shared])


def _without_crowds(graph: _Graph, edges: _Edges, rules: ResolutionRules) -> _Edges:
    """Links that count in at least one week; they end in the week their identifier turns out to be everybody's."""
    crowded_from = np.full(graph.nodes, NEVER, dtype=INT)
    for kind, most in rules.max_people.items():
        of_kind = np.flatnonzero(edges.kind == LINK_KINDS.index(kind))
        order = of_kind[np.lexsort((edges.start[of_kind], edges.right[of_kind]))]
        identifier = edges.right[order]
        # The link that many places after an identifier's first one is still the same identifier's: one too many.
        one_too_many = np.flatnonzero(identifier[most:] == identifier[: len(identifier) - most]) + most
        np.minimum.at(crowded_from, identifier[one_too_many], edges.start[order[one_too_many]])
    has_limit = np.isin(edges.kind, [LINK_KINDS.index(kind) for kind in rules.max_people])
    end = np.where(has_limit, crowded_from[edges.right], NEVER)
    return _with_first_sharing(graph, replace(edges, end=end).where(edges.start < end))


def _with_first_sharing(graph: _Graph, edges: _Edges) -> _Edges:
    """Until a second one has it, an address, a number or a device explains no merge of the one that has it."""
    identifier = np.flatnonzero(edges.right >= graph.devices_from)
    order = identifier[np.lexsort((edges.start[identifier], edges.right[identifier]))]
    second = np.flatnonzero(edges.right[order][1:] == edges.right[order][:-1]) + 1
    shared_from = np.full(graph.nodes, NEVER, dtype=INT)
    np.minimum.at(shared_from, edges.right[order[second]], edges.start[order[second]])
    shared = np.where(edges.right >= graph.devices_from, shared_from[edges.right], edges.start)
    return replace(edges, shared=shared)


def _decisions(numbered: pl.DataFrame, apart: pl.DataFrame | None) -> list[tuple[int, int, int]]:
    """Pairs of contacts that are two people, by number, each with its first week; unknown contacts leave."""
    if apart is None or apart.is_empty():
        return []
    contacts = numbered.filter(pl.col("identity_kind") == "contact").select("identity_id", "code")
    found = apart.join(contacts, left_on="contact_id", right_on="identity_id").join(
        contacts, left_on="other_contact_id", right_on="identity_id", suffix="_other"
    )
    pairs = found.select(
        low=pl.min_horizontal("code", "code_other"), high=pl.max_horizontal("code", "code_other"), week="from_week"
    )
    return sorted(pairs.group_by("low", "high").agg(pl.col("week").min()).rows())


def _troubled(
    graph: _Graph, edges: _Edges, decisions: list[tuple[int, int, int]]
) -> tuple[npt.NDArray[np.bool_], IntArray]:
    """Which nodes lie in a component that loses a link in some week, or of which two contacts are kept apart."""
    is_troubled = np.zeros(graph.nodes, dtype=np.bool_)
    component = np.zeros(graph.nodes, dtype=INT)
    losing = edges.left[edges.end < NEVER]
    if not len(losing) and not decisions:
        return is_troubled, component
    component = _components(graph.nodes, edges.left, edges.right)
    touched = {component[low] for low, high, _ in decisions if component[low] == component[high]}
    labels = np.union1d(component[losing], np.fromiter(touched, dtype=INT))
    is_troubled = np.isin(component, labels)
    return is_troubled, component


def _components(nodes: int, left: IntArray, right: IntArray) -> IntArray:
    """A label per node, the same for all that are connected."""
    matrix = coo_matrix((np.ones(len(left), dtype=np.int8), (left, right)), shape=(nodes, nodes))
    return connected_components(matrix, directed=False)[1].astype(INT)


def _oldest_of(labels: IntArray) -> IntArray:
    """For each place, the first place that has its label."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return first[inverse]


def _calm_changes(graph: _Graph, edges: _Edges, is_troubled: npt.NDArray[np.bool_], rules: ResolutionRules) -> _Changes:
    """Components that only ever grow: each node is merged into an older one at most once."""
    merged_week = np.full(graph.nodes, NEVER, dtype=INT)
    merged_into = np.arange(graph.nodes, dtype=INT)
    merged_kind = np.full(graph.nodes, NO_LINK, dtype=INT)
    merged_weight = np.full(graph.nodes, np.nan)
    pointer = merged_into.copy()
    for week, new in _by_week(edges):
        left, right = _roots(pointer, new.left), _roots(pointer, new.right)
        joins = left != right
        if not joins.any():
            continue
        touched, places = np.unique(np.concatenate([left[joins], right[joins]]), return_inverse=True)
        left, right = np.split(places, 2)
        oldest = touched[_oldest_of(_components(len(touched), left, right))]
        kind, weight = _causes(week, len(touched), left, right, new.where(joins))
        is_younger = oldest != touched
        younger = touched[is_younger]
        pointer[younger] = oldest[is_younger]
        merged_week[younger], merged_into[younger] = week, oldest[is_younger]
        merged_kind[younger], merged_weight[younger] = kind[is_younger], weight[is_younger]

    node = np.flatnonzero(~is_troubled[: graph.people])
    appears = graph.seen_week[node]
    if not rules.include_anonymous:
        is_device = node >= graph.devices_from
        appears = np.where(is_device, merged_week[node], appears)
        node, appears = node[appears < NEVER], appears[appears < NEVER]
    root = node.copy()
    while (is_merged := merged_week[root] <= appears).any():
        root = np.where(is_merged, merged_into[root], root)
    joined = root != node
    found = [
        _Changes(
            node,
            appears,
            root,
            np.full(len(node), APPEARED, dtype=INT),
            np.where(joined, merged_kind[node], NO_LINK),
            np.where(joined, merged_weight[node], np.nan),
        )
    ]
    while True:
        moving = merged_week[root] < NEVER
        if not moving.any():
            return _concatenated(found)
        node, before = node[moving], root[moving]
        root = np.asarray(merged_into[before])
        reason = np.full(len(node), MERGED, dtype=INT)
        found.append(_Changes(node, merged_week[before], root, reason, merged_kind[before], merged_weight[before]))


def _by_week(edges: _Edges) -> Iterator[tuple[int, _Edges]]:
    """The links each week learns of."""
    order = np.argsort(edges.start, kind="stable")
    weeks, starts = np.unique(edges.start[order], return_index=True)
    for week, start, end in zip(weeks.tolist(), starts, np.append(starts, len(order))[1:], strict=True):
        yield week, edges.where(order[start:end])


def _roots(pointer: IntArray, node: IntArray) -> IntArray:
    """The roots of some nodes; their pointers are shortened on the way."""
    root = pointer[node]
    while not np.array_equal(above := pointer[root], root):
        root = above
    pointer[node] = root
    return root


def _causes(week: int, size: int, left: IntArray, right: IntArray, new: _Edges) -> tuple[IntArray, FloatArray]:
    """The strongest of a week's new links at each component, as far as it may lead on to somebody else."""
    leads_on = new.shared <= week
    kind, weight = np.concatenate([new.kind[leads_on], new.kind]), np.concatenate([new.weight[leads_on], new.weight])
    return _strongest(size, np.concatenate([left[leads_on], right]), kind, weight)


def _strongest(size: int, place: IntArray, kind: IntArray, weight: FloatArray) -> tuple[IntArray, FloatArray]:
    """The strongest kind of link at each place, and of matches the highest weight."""
    strongest = np.full(size, NO_LINK, dtype=INT)
    np.minimum.at(strongest, place, kind)
    heaviest = np.full(size, -np.inf)
    is_strongest = strongest[place] == kind
    np.maximum.at(heaviest, place[is_strongest], np.nan_to_num(weight[is_strongest], nan=-np.inf))
    return strongest, np.where(np.isfinite(heaviest), heaviest, np.nan)


def _troubled_changes(
    graph: _Graph,
    edges: _Edges,
    is_troubled: npt.NDArray[np.bool_],
    component: IntArray,
    decisions: list[tuple[int, int, int]],
) -> _Changes:
    """Components that may fall apart again, computed anew in every week in which something happens to them."""
    nodes = np.flatnonzero(is_troubled)
    if not len(nodes):
        return _concatenated([])
    place = np.full(graph.nodes, -1, dtype=INT)
    place[nodes] = np.arange(len(nodes), dtype=INT)
    edges = replace(edges, left=place[edges.left], right=place[edges.right])
    _, group = np.unique(component[nodes], return_inverse=True)
    pairs = [
        (int(place[low]), int(place[high]), week) for low, high, week in decisions if component[low] == component[high]
    ]
    root = np.arange(len(nodes), dtype=INT)
    found: list[_Changes] = []
    for week, happened in _happenings(edges, group, pairs):
        members, of_groups = np.flatnonzero(happened[group]), edges.where(happened[group[edges.left]])
        before = root[members]
        root[members] = _roots_of_week(week, members, of_groups, pairs)
        decided = np.zeros(len(happened), dtype=np.bool_)
        decided[[group[low] for low, _, since in pairs if since <= week]] = True
        changed = members[root[members] != before]
        if len(changed):
            old = np.arange(len(nodes), dtype=INT)
            old[members] = before
            found.append(_changes_of_week(week, changed, old, root, of_groups, decided[group[changed]]))
    changes = _concatenated(found)
    changes = _Changes(
        nodes[changes.node], changes.week, nodes[changes.root], changes.reason, changes.kind, changes.weight
    )
    return _with_appearances(graph, nodes, changes)


def _happenings(
    edges: _Edges, group: IntArray, pairs: list[tuple[int, int, int]]
) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
    """The weeks in which a link begins or ends or a decision begins to hold, and to which components it happens."""
    of_edges, ending = group[edges.left], edges.end < NEVER
    weeks = np.concatenate([edges.start, edges.end[ending], np.array([week for *_, week in pairs], dtype=INT)])
    groups = np.concatenate([of_edges, of_edges[ending], np.array([group[low] for low, *_ in pairs], dtype=INT)])
    for week in np.unique(weeks).tolist():
        happened = np.zeros(int(group.max()) + 1, dtype=np.bool_)
        happened[groups[weeks == week]] = True
        yield week, happened


def _roots_of_week(week: int, members: IntArray, edges: _Edges, pairs: list[tuple[int, int, int]]) -> IntArray:
    """The roots of some components by the links that count in a week."""
    active = edges.where((edges.start <= week) & (week < edges.end))
    left, right = np.searchsorted(members, active.left), np.searchsorted(members, active.right)
    root = members[_oldest_of(_components(len(members), left, right))]
    place = {int(member): position for position, member in enumerate(members.tolist())} if pairs else {}
    in_force = [
        (low, high)
        for low, high, since in pairs
        if since <= week and low in place and high in place and root[place[low]] == root[place[high]]
    ]
    for torn in sorted({int(root[place[low]]) for low, _ in in_force}):
        is_torn = root == torn
        of_torn = [(low, high) for low, high in in_force if root[place[low]] == torn]
        root[is_torn] = _kept_apart(members[is_torn], active, of_torn)
    return root


def _kept_apart(members: IntArray, active: _Edges, pairs: list[tuple[int, int]]) -> IntArray:
    """Roots of the members of one component when pairs of them must not be together.

    Links are taken in order of strength and of time (matches by weight), and one that would bring a pair together is
    left out. A component that a decision touches is small, so this is plain Python.
    """
    parent = {int(member): int(member) for member in members}

    def root_of(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    inside = active.where(np.isin(active.left, members))
    weights = np.nan_to_num(inside.weight, nan=0.0)
    for edge in np.lexsort((inside.right, inside.left, inside.start, -weights, inside.kind)).tolist():
        one, other = root_of(int(inside.left[edge])), root_of(int(inside.right[edge]))
        forbidden = any({root_of(a), root_of(b)} == {one, other} for a, b in pairs)
        if one != other and not forbidden:
            parent[max(one, other)] = min(one, other)
    return np.array([root_of(int(member)) for member in members], dtype=INT)


def _changes_of_week(
    week: int, changed: IntArray, before: IntArray, root: IntArray, edges: _Edges, is_decided: npt.NDArray[np.bool_]
) -> _Changes:
    """Who changed in one week, and why: the old root came along (merged), or it stayed behind (split)."""
    came_along = root[before[changed]] == root[changed]
    new, ended = edges.where(edges.start == week), edges.where(edges.end == week)
    size = len(root)
    new = new.where(before[new.left] != before[new.right])
    joined_kind, joined_weight = _causes(week, size, before[new.left], before[new.right], new)
    # What a component lost is the reason for all that fell off it.
    lost_at = before[np.concatenate([ended.left, ended.right])]
    lost_kind, _ = _strongest(size, lost_at, np.tile(ended.kind, 2), np.tile(ended.weight, 2))
    kind = np.where(came_along, joined_kind[before[changed]], lost_kind[before[changed]])
    fell_apart = np.where(is_decided & (kind == NO_LINK), UNMERGED, SPLIT)
    return _Changes(
        node=changed,
        week=np.full(len(changed), week, dtype=INT),
        root=root[changed],
        reason=np.where(came_along, MERGED, fell_apart),
        kind=kind,
        weight=np.where(came_along, joined_weight[before[changed]], np.nan),
    )


def _with_appearances(graph: _Graph, nodes: IntArray, changes: _Changes) -> _Changes:
    """The changes of contacts, logins and devices, each beginning with the week it is first known."""
    changes = changes.where(changes.node < graph.people)
    # An identity that is linked in the week it appears appears within that person.
    at_once = changes.week <= graph.seen_week[changes.node]
    reason = np.where(at_once, APPEARED, changes.reason)
    changes = _Changes(changes.node, changes.week, changes.root, reason, changes.kind, changes.weight)
    alone = _without(graph.nodes, nodes[nodes < graph.people], changes.node[at_once])
    return _concatenated([changes, _alone(alone, graph.seen_week[alone], alone, APPEARED)])


def _with_devices_of_nobody(graph: _Graph, edges: _Edges, changes: _Changes, rules: ResolutionRules) -> _Changes:
    """A device is a person of its own, if at all, until anybody identifies on it; an everybody's device is nobody's."""
    linked_week = np.full(graph.nodes, NEVER, dtype=INT)
    np.minimum.at(linked_week, edges.right, edges.start)
    may_be_alone = changes.week < linked_week[changes.node] if rules.include_anonymous else False
    is_nobodys = (changes.root == changes.node) & (changes.node >= graph.devices_from) & ~np.asarray(may_be_alone)
    root = np.where(is_nobodys, NOBODY, changes.root)
    changes = _Changes(changes.node, changes.week, root, changes.reason, changes.kind, changes.weight)
    if not rules.include_anonymous:
        return changes
    changes_then = changes.node[changes.week == linked_week[changes.node]]
    linked = np.flatnonzero(linked_week[graph.devices_from : graph.people] < NEVER) + graph.devices_from
    at_once_everybodys = _without(graph.nodes, linked, changes_then)
    ends = _alone(at_once_everybodys, linked_week[at_once_everybodys], NOBODY, SPLIT, LINK_KINDS.index("same_device"))
    return _concatenated([changes, ends])


def _without(size: int, nodes: IntArray, others: IntArray) -> IntArray:
    """The nodes, of `size` that there are, that are not among others, in order; NumPy's own way takes seconds."""
    is_left = np.zeros(size, dtype=np.bool_)
    is_left[nodes] = True
    is_left[others] = False
    return np.flatnonzero(is_left)


def _alone(node: IntArray, week: IntArray, root: IntArray | int, reason: int, kind: int = NO_LINK) -> _Changes:
    """Changes that no link brought about."""
    size = len(node)
    full = np.broadcast_to(np.asarray(root, dtype=INT), (size,))
    return _Changes(
        node, week, full, np.full(size, reason, dtype=INT), np.full(size, kind, dtype=INT), np.full(size, np.nan)
    )


def _concatenated(parts: list[_Changes]) -> _Changes:
    none = np.zeros(0, dtype=INT)
    return _Changes(
        node=np.concatenate([none, *(part.node for part in parts)]),
        week=np.concatenate([none, *(part.week for part in parts)]),
        root=np.concatenate([none, *(part.root for part in parts)]),
        reason=np.concatenate([none, *(part.reason for part in parts)]),
        kind=np.concatenate([none, *(part.kind for part in parts)]),
        weight=np.concatenate([np.zeros(0), *(part.weight for part in parts)]),
    )


def _ledger(numbered: pl.DataFrame, graph: _Graph, changes: _Changes) -> pl.DataFrame:
    """The changes with the ids they are about, each until the identity's next one."""
    changes = changes.where(np.lexsort((changes.week, changes.node)))
    is_same = np.zeros(len(changes.node), dtype=np.bool_)
    is_same[1:] = changes.node[1:] == changes.node[:-1]
    before = np.where(is_same, np.roll(changes.root, 1), NOBODY)
    is_change = before != changes.root
    changes, before, is_same = changes.where(is_change), before[is_change], is_same[is_change]
    until = np.full(len(changes.node), NEVER, dtype=INT)
    until[:-1] = np.where(changes.node[1:] == changes.node[:-1], changes.week[1:], NEVER)
    is_first = np.ones(len(changes.node), dtype=np.bool_)
    is_first[1:] = changes.node[1:] != changes.node[:-1]
    reason = np.where(is_first, APPEARED, changes.reason)
    identities = numbered[changes.node]
    own = numbered["own_person_id"]
    person = pl.DataFrame({"before": before, "after": changes.root}).select(pl.when(pl.all() >= 0).then(pl.all()))
    words = pl.DataFrame({"reason": reason, "kind": changes.kind}).select(
        reason=pl.col("reason").replace_strict(dict(enumerate(REASONS)), return_dtype=pl.String),
        link_kind=pl.col("kind").replace_strict(dict(enumerate([*LINK_KINDS, None])), return_dtype=pl.String),
    )
    return pl.DataFrame(
        {
            "identity_kind": identities["identity_kind"],
            "identity_id": identities["identity_id"],
            "person_before": own.gather(person["before"]),
            "person_after": own.gather(person["after"]),
            "seen_from_at": identities["seen_from_at"],
            "from_week": changes.week.astype(np.int32),
            "to_week": pl.Series(until).replace({NEVER: None}).cast(pl.Int32),
            "makes_person": (changes.node < graph.devices_from) | (changes.root == changes.node),
            "is_first": is_first,
            "reason": words["reason"],
            "link_kind": words["link_kind"],
            "match_weight": pl.Series(changes.weight).fill_nan(None),
        }
    )
