"""A company's settings, read and validated once, before anything runs.

What belongs here: what a workspace is, whether its settings fit each other, and where it keeps its things. What
`personae.yml` may say stands in `workspace_settings.py`, how an extract becomes an entity in `mapping.py`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from activation.fields import Known
from activation.selection import Names
from orchestration.activation_file import ActivationFile, read_activation_file
from orchestration.adoption_settings import adoption_vars, check_adoption
from orchestration.affinity_settings import affinity_vars, check_similarity
from orchestration.brand import Brand, read_brand
from orchestration.connectors.settings import Connector, read_connectors
from orchestration.contracts import Contracts, read_contracts
from orchestration.dimension_settings import dimension_vars
from orchestration.identity_settings import (
    MODEL_FILE,
    Decision,
    compared_columns,
    read_decisions,
)
from orchestration.legal_basis import (
    PURPOSES,
    check_legal_basis,
    check_somebody_may_be_profiled,
    legal_basis_var,
)
from orchestration.lookalike_settings import check_lookalikes
from orchestration.mapping import ENTITIES_WITH_ATTRIBUTES, Attribute, Mapping, read_mappings, slug, words_of
from orchestration.personas_file import PersonasFile, feature_families, read_personas_file, standard_features
from orchestration.persuasion_settings import check_persuasion, persuasion_vars
from orchestration.rollbacks import Rollback, read_rollbacks
from orchestration.settings_file import SettingsError, SettingsFile, nearest
from orchestration.special_categories import complaint_about_event, complaint_about_words
from orchestration.target_settings import check_targets
from orchestration.weeks import Week
from orchestration.workspace_settings import WorkspaceSettings

SETTINGS_FILE = "personae.yml"
STATE_FOLDER = ".personae"
# Of DuckDB's format, for a warehouse that is made anew; one that is there keeps its own. It is the oldest that writes
# texts that repeat in three quarters of the time of those before it, and the newest takes as long: tools that hold
# DuckDB 1.5 open it too.
STORAGE_VERSION = "v1.5.0"


@dataclass(frozen=True)
class Workspace:
    """A folder that belongs to one company: its settings, mappings and contracts, and where a run writes."""

    folder: Path
    settings: WorkspaceSettings
    mappings: tuple[Mapping, ...]
    data_folder: Path
    contracts: Contracts
    connectors: tuple[Connector, ...] = ()
    compared: tuple[tuple[str, str], ...] = ()
    personas_file: PersonasFile = field(default_factory=PersonasFile)
    rollbacks: tuple[Rollback, ...] = ()
    brand: Brand = field(default_factory=Brand)
    activation_file: ActivationFile = field(default_factory=ActivationFile)

    @classmethod
    def open(cls, folder: Path, data_folder: Path | None = None) -> Workspace:
        """Read and validate a workspace.

        Args:
            folder: the workspace.
            data_folder: where the extracts are, in place of what `personae.yml` says.

        Raises:
            SettingsError: anything a person has to mend, with file and line.
        """
        if folder.is_file():
            raise SettingsError(folder, None, "this is a file; name the folder of the workspace")
        if not (folder / SETTINGS_FILE).is_file() and not any(folder.glob("*.y*ml")):
            raise SettingsError(folder, None, f"there is no {SETTINGS_FILE} here; `personae init {folder}` makes one")
        folder = folder.resolve()
        file = SettingsFile(folder / SETTINGS_FILE)
        settings = file.parse(WorkspaceSettings)
        data = (data_folder or folder / settings.data).resolve()
        if not data.is_dir():
            if data_folder:
                raise SettingsError(data_folder, None, "the data folder is missing")
            raise file.error(("data",), f"the data folder '{settings.data}' is missing")
        contracts = read_contracts(folder)
        mappings = read_mappings(folder / "mappings", settings.timezone, contracts)
        workspace = cls(folder, settings, mappings, data, contracts, read_connectors(folder))
        workspace._check_connectors()
        read_decisions(folder)
        workspace._check_references(file)
        workspace = replace(
            workspace,
            compared=workspace._compared_columns(file),
            personas_file=read_personas_file(folder, workspace.feature_kinds()),
            rollbacks=read_rollbacks(folder),
            brand=read_brand(folder),
        )
        check_persuasion(
            file,
            settings.persuasion,
            workspace._describing_attributes(),
            workspace._own_message_columns(),
            workspace.entities,
            list(workspace.personas_file.names()),
        )
        check_lookalikes(file, settings.lookalikes, workspace.selection_names())
        purposes = tuple(dict.fromkeys((*PURPOSES[1:], settings.activation.purpose)))
        workspace = replace(
            workspace,
            activation_file=read_activation_file(
                folder, workspace.selection_names(), workspace.fields_known(), purposes
            ),
        )
        more = workspace.activation_file.activation.purposes
        check_legal_basis(file, settings.legal_basis, (*PURPOSES, settings.activation.purpose, *more))
        return workspace

    def selection_names(self) -> Names:
        """What a selection of people may name; features of a special category select nobody."""
        special, persuasion = self._special_features(), self.settings.persuasion
        return Names(
            features={name: kind for name, kind in self.feature_kinds().items() if name not in special},
            special_categories=special,
            targets=list(self.settings.targets),
            phrases=[phrase.text for phrase in self.brand.phrases],
            defined_personas=[
                *self.personas_file.personas,
                *self.personas_file.names(),
                *self.personas_file.names().values(),
            ],
            lookalikes=list(self.settings.lookalikes),
            adoption_classes=list(self.settings.adoption.names()) if self.settings.launches else (),
            message_styles=list(persuasion.styles.values()) if persuasion.is_declared else (),
        )

    def fields_known(self) -> Known:
        """What of a person may be mapped to a destination's fields."""
        attributes = [one for one in self.attributes("contacts") if one.role in ("feature", "label", "text")]
        sensitive = self._special_features()
        return Known(
            features=self.feature_kinds(),
            attributes={one.name: one.type or "text" for one in attributes},
            sensitive=(*sensitive, *(one.name for one in attributes if one.sensitive)),
            targets=tuple(self.settings.targets),
            phrases=tuple(phrase.text for phrase in self.brand.phrases),
            missing=self._missing_labels(),
        )

    def _missing_labels(self) -> dict[str, str]:
        """Labels that nobody has here, and what would give them."""
        missing = {}
        if not self.settings.launches:
            missing["adoption_class"] = f"`launches:` in {SETTINGS_FILE} declares none"
        if not self.settings.persuasion.is_declared:
            missing["message_style"] = f"`persuasion:` in {SETTINGS_FILE} tags no messages"
        return missing

    def _special_features(self) -> tuple[str, ...]:
        """Features of a special category of personal data, or what would be one."""
        return tuple(
            f"{prefix}_{attribute.name}"
            for entity, prefix in (("contacts", "contact"), ("accounts", "account"))
            for attribute in self.attributes(entity)
            if attribute.sensitive
        )

    def contact_purposes(self) -> list[tuple[str, str]]:
        """Each purpose and channel that people are reached for, the workspace's own first."""
        own = (self.settings.activation.purpose, self.settings.activation.channel)
        return list(dict.fromkeys([own, *self.activation_file.activation.asked_for()]))

    def feature_kinds(self) -> dict[str, str]:
        """Kind of every feature the settings may name: number, flag or category."""
        kinds = standard_features(self.entities)
        kinds |= {f"{slug(name)}_events_28d": "number" for name in self.settings.features.events}
        for entity, prefix in (("contacts", "contact"), ("accounts", "account")):
            for attribute in self.attributes(entity):
                if attribute.role == "feature":
                    kinds[f"{prefix}_{attribute.name}"] = "number" if attribute.type == "number" else "category"
        return kinds

    def _compared_columns(self, file: SettingsFile) -> tuple[tuple[str, str], ...]:
        """Columns of the contacts that are compared to find the same human twice, with their kinds."""
        contract = self.contracts["contacts"]
        described = [
            column.name
            for column in contract.columns
            if column.type == "VARCHAR" and not column.name.startswith("attr_")
        ]
        identifiers = {each.source: each.column for each in self.attributes("contacts") if each.role == "identifier"}
        settings = self.settings.identity.probabilistic
        return tuple(compared_columns(settings, described, identifiers, file).items())

    def _describing_attributes(self) -> dict[str, list[Attribute]]:
        return {entity: self.attributes(entity) for entity in ENTITIES_WITH_ATTRIBUTES}

    def _own_message_columns(self) -> list[str]:
        """The columns that the workspace's contract adds to messages."""
        changed = self.contracts.changed.get("messages")
        return sorted(changed.added_columns) if changed else []

    def check_before_run(self) -> None:
        """What a workspace may leave open while it is written, and must have answered when it is run.

        Raises:
            SettingsError: nobody may be profiled, or an extra that a setting needs is not installed.
        """
        file = SettingsFile(self.folder / SETTINGS_FILE)
        check_similarity(file, self.settings.affinity)
        check_somebody_may_be_profiled(file, self.settings.legal_basis, self.entities)

    def _check_references(self, file: SettingsFile) -> None:
        """What one setting says of another must exist."""
        families = feature_families() if self.settings.personas.families else []
        for family in self.settings.personas.families:
            if family not in families:
                raise file.error(
                    ("personas", "families", family), f"'{family}' is no feature family; {nearest(family, families)}"
                )
        market = self.settings.personas.per_market
        if market is not None:
            markets = [name for name, kind in self.feature_kinds().items() if kind == "category"]
            if market.feature not in markets:
                raise file.error(
                    ("personas", "per_market"),
                    f"'{market.feature}' is no category that says where people are; {nearest(market.feature, markets)}",
                )
        for entity in ENTITIES_WITH_ATTRIBUTES:
            self._check_roles(entity)
        self._check_events(file)
        event = self.settings.uplift.event
        if event and event not in self.settings.features.events:
            raise file.error(
                ("uplift", "event"),
                f"'{event}' is not among features.events; {nearest(event, self.settings.features.events)}",
            )
        described = {entity: self.attributes(entity) for entity in ENTITIES_WITH_ATTRIBUTES}
        check_adoption(file, self.settings.launches, self.settings.adoption, described, self.entities)
        labels = {attribute.source: attribute.role for attribute in self.attributes("contacts")}
        check_targets(
            file, self.settings.targets, self.feature_kinds(), self.entities, self.settings.features.events, labels
        )

    def _check_events(self, file: SettingsFile) -> None:
        """An event whose name looks like a special category is counted only where somebody decided that it is none."""
        features = self.settings.features
        for name in features.not_sensitive:
            if name not in features.events:
                raise file.error(
                    ("features", "not_sensitive"),
                    f"'{name}' is not among features.events; {nearest(name, features.events)}",
                )
        for name, words in features.events.items():
            if name not in features.not_sensitive and (complaint := complaint_about_event(name)):
                raise file.error(("features", "events", name), complaint)
            if complaint := complaint_about_words(words or "", "a name that people get"):
                raise file.error(("features", "events", name), complaint)

    def _check_connectors(self) -> None:
        names = [connector.name for connector in self.connectors]
        for mapping in self.mappings:
            for name, place in mapping.connectors.items():
                if name not in names:
                    hint = nearest(name, names) if names else "connectors.yml declares none"
                    raise SettingsFile(mapping.path).error(place, f"'{name}' is no connector; {hint}")

    def _check_roles(self, entity: str) -> None:
        """What one mapping calls sensitive must not be a feature in another, nor of no category."""
        stated: dict[str, tuple[str, str | None, str]] = {}
        for mapping in self.mappings:
            for mapped in mapping.entities:
                for attribute in mapped.attributes if mapped.entity == entity else ():
                    here = (attribute.role, attribute.sensitive or None)
                    role, category, where = stated.setdefault(attribute.column, (*here, mapping.path.name))
                    if (role, category) != here:
                        both = (attribute.role, role) if role != attribute.role else (here[1], category)
                        now, before = (each or "not sensitive" for each in both)
                        raise SettingsFile(mapping.path).error(
                            ("entities", entity, "attributes", attribute.source),
                            f"'{attribute.source}' is {now} here and {before} in {where}",
                        )

    @cached_property
    def entities(self) -> tuple[str, ...]:
        """The entities the mappings deliver, in alphabetical order."""
        return tuple(sorted({entity.entity for mapping in self.mappings for entity in mapping.entities}))

    def attributes(self, entity: str) -> list[Attribute]:
        """The declared extra attributes of `entity`, each once, in alphabetical order of their column."""
        found = {
            attribute.column: attribute
            for mapping in self.mappings
            for mapped in mapping.entities
            if mapped.entity == entity
            for attribute in mapped.attributes
        }
        return [found[column] for column in sorted(found)]

    def event_labels(self) -> dict[str, str]:
        """By event that is counted on its own, what a marketer reads for the count."""
        return {name: f"{words_of(name)} (last 4 weeks)" for name in self.settings.features.events}

    @property
    def state_folder(self) -> Path:
        """Everything a run writes goes below this folder."""
        return self.folder / STATE_FOLDER

    @property
    def warehouse_file(self) -> Path:
        """The DuckDB database."""
        return self.state_folder / "warehouse.duckdb"

    @property
    def temporary_folder(self) -> Path:
        """Where DuckDB spills."""
        return self.state_folder / "tmp"

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Who is kept apart, as the file says now: it may be written while Dagster's UI is open."""
        return read_decisions(self.folder)

    @property
    def identity_model_file(self) -> Path:
        """How contacts are matched: the workspace's own file where it keeps one, else the one a run trained."""
        kept = self.folder / MODEL_FILE
        return kept if kept.is_file() else self.state_folder / MODEL_FILE

    @property
    def dagster_home(self) -> Path:
        """Dagster's runs and events."""
        return self.state_folder / "dagster"

    @property
    def dbt_target_folder(self) -> Path:
        """dbt's manifest and compiled SQL."""
        return self.state_folder / "dbt"

    @property
    def pictures_folder(self) -> Path:
        """Drawings of what stands for many weeks."""
        return self.state_folder / "pictures"

    @property
    def published_folder(self) -> Path:
        """Published tables and the report, a folder per week."""
        return self.state_folder / "published"

    @property
    def report_folder(self) -> Path:
        """Reports, a file per week; published from here."""
        return self.state_folder / "reports"

    @property
    def table_files_folder(self) -> Path:
        """Files of tables that a run has written and not yet published."""
        return self.state_folder / "table_files"

    @property
    def activation_folder(self) -> Path:
        """Activation files, a folder per week."""
        return self.state_folder / "activation"

    @property
    def lookalike_folder(self) -> Path:
        """Files of look-alikes for ad platforms, a folder per week, and what `personae lookalike` wrote."""
        return self.state_folder / "lookalikes"

    @property
    def timezone(self) -> ZoneInfo:
        """The workspace's time zone."""
        return ZoneInfo(self.settings.timezone)

    @property
    def first_week(self) -> Week:
        """The earliest week that can be run."""
        return Week.containing(self.settings.first_week)

    def dbt_vars(self) -> dict[str, Any]:
        """The settings dbt's models read: the same for every run, so that dbt parses once per workspace."""
        settings = self.settings
        attributes = self._describing_attributes()
        return {
            "timezone": settings.timezone,
            "delivered_entities": list(self.entities),
            "contact_attributes": [attribute.as_var() for attribute in self.attributes("contacts")],
            "account_attributes": [attribute.as_var() for attribute in self.attributes("accounts")],
            "event_names": [{"event_name": name, "column": slug(name)} for name in settings.features.events],
            "event_labels": self.event_labels(),
            "targets": [target.as_var(name, attributes) for name, target in settings.targets.items()],
            "identity": settings.identity.model_dump()
            | {
                "probabilistic": settings.identity.probabilistic.model_dump()
                | {
                    "columns": dict(self.compared),
                    "trained_from": self.first_week.as_of_at(settings.timezone).isoformat(),
                }
            },
            "delivery_grace_hours": settings.delivery_grace_hours,
            "activation": settings.activation.model_dump(),
            "contact_purposes": [
                {"purpose": purpose, "channel": channel} for purpose, channel in self.contact_purposes()
            ],
            "legal_basis": legal_basis_var(settings.legal_basis),
            "minimum_cell": settings.minimum_cell,
            "persona_excludes": sorted(settings.personas.exclude),
            "affinity": affinity_vars(settings.affinity, self.brand.is_declared),
            "adoption": adoption_vars(settings.launches, settings.adoption, attributes),
            "persuasion": persuasion_vars(settings.persuasion, attributes, self._own_message_columns()),
            **dimension_vars(
                settings.preferences, settings.uplift, slug(settings.uplift.event) if settings.uplift.event else None
            ),
        }

    def settings_hash(self) -> str:
        """A short hash of everything the workspace's files say."""
        content = {
            "activation": self.activation_file.fingerprint,
            "brand": self.brand.fingerprint,
            "settings": self.settings.model_dump(mode="json"),
            "mappings": [mapping.content_hash for mapping in self.mappings],
            "personas": self.personas_file.model_dump(mode="json"),
            "rollbacks": [rollback.model_dump(mode="json") for rollback in self.rollbacks],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    def fingerprint(self) -> str:
        """A short hash of every setting that may change a feature."""
        no_feature = {
            "minimum_cell",
            "persona_excludes",
            "preferences",
            "uplift",
            "affinity",
            "adoption",
            "persuasion",
            "targets",
            "contact_purposes",
        }
        variables = {name: value for name, value in self.dbt_vars().items() if name not in no_feature}
        kept = self.folder / MODEL_FILE
        model = hashlib.sha256(kept.read_bytes()).hexdigest() if kept.is_file() else None
        content = json.dumps(
            {"vars": variables, "mappings": [m.content_hash for m in self.mappings], "model": model}, sort_keys=True
        )
        return hashlib.sha256(content.encode()).hexdigest()[:16]
