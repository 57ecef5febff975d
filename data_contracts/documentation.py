"""Contracts for people to read: a page per entity, and a mapping to start from.

Here belongs text made from a contract. What the text says is written in the contract; nothing is described here.

    python -m data_contracts.documentation docs/contracts       writes the pages of our own contracts
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from data_contracts.changes import ChangedContract
from data_contracts.contract import Column, Contract, load_contracts
from data_contracts.odcs_rules import TYPE_WORDS
from data_contracts.rules import ATTRIBUTE_PREFIX


def contract_markdown(contract: Contract, changed: ChangedContract | None = None) -> str:
    """Write a contract as a Markdown page.

    Args:
        contract: The contract.
        changed: What a company changes of it.

    Returns:
        The page: what a row is, every column and every rule.
    """
    return "\n".join([*_page(contract), *(_changes(changed) if changed else ())]) + "\n"


def write_contract_pages(folder: Path, changed: Mapping[str, ChangedContract] = MappingProxyType({})) -> list[Path]:
    """Write one page per entity, and an index of them.

    Args:
        folder: Where to write `<entity>.md` and `index.md`; made if it is not there.
        changed: The contracts a company changes, by entity. Their ODCS documents and mapping templates are written
            beside the pages, as `<entity>.odcs.yaml` and `<entity>.mapping.yml`.

    Returns:
        The files written, the index first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contracts = load_contracts() | {entity: change.contract for entity, change in changed.items()}
    rows = [
        f"| [{contract.title}]({entity}.md) | {_cell(contract.description)} | {_cell(contract.purpose)} |"
        for entity, contract in contracts.items()
    ]
    index = folder / "index.md"
    index.write_text(
        "\n".join(["# Data contracts", "", "| entity | what it is | what it is for |", "| --- | --- | --- |", *rows])
        + "\n",
        encoding="utf-8",
    )
    written = [index]
    for entity, contract in contracts.items():
        page = folder / f"{entity}.md"
        page.write_text(contract_markdown(contract, changed.get(entity)), encoding="utf-8")
        written.append(page)
    for entity, change in changed.items():
        for name, text in (
            (f"{entity}.odcs.yaml", change.document.to_yaml()),
            (f"{entity}.mapping.yml", mapping_template(change.contract)),
        ):
            written.append(folder / name)
            written[-1].write_text(text, encoding="utf-8")
    return written


def mapping_template(contract: Contract) -> str:
    """Write a mapping to start from: every column of the entity, the optional ones commented out.

    Args:
        contract: Contract of the entity.

    Returns:
        YAML with comments, valid as it stands: each required column comes from an extract column of the same name.
    """
    lines = [
        f"# Mapping of one extract to {contract.entity}: {contract.description}",
        f"# {contract.granularity}",
        "#",
        "# Left of each colon stands our column, right of it the extract's. Where a name is not enough:",
        *(f"#   {example:<60}  {meaning}" for example, meaning in _examples(contract)),
        "# Remove the # before each column that the extract has.",
        "",
        "extract:",
        f"  files: extracts/{contract.entity}*.csv  # glob below the data folder",
        "  # delivered_at: '(\\d{4}-\\d{2}-\\d{2})'  # where the file's name holds the day it was delivered",
        "entities:",
        f"  {contract.entity}:",
        "    columns:",
    ]
    declared = [column for column in contract.columns if column.name.startswith(ATTRIBUTE_PREFIX)]
    for column in contract.columns:
        if column not in declared:
            lines += _mapping_lines(column)
    if contract.allows_attributes:
        lines += [
            f"    {'' if any(column.required for column in declared) else '# '}attributes:  # columns of your own, "
            "each with a role: feature, label, identifier, sensitive, ignore"
        ]
        for column in declared:
            lines += _attribute_lines(column)
    return "\n".join(lines) + "\n"


def _page(contract: Contract) -> Iterator[str]:
    yield from (f"# {contract.title}", "", contract.description, "")
    yield from (f"- Rows: {contract.granularity}", f"- Purpose: {contract.purpose}")
    yield f"- Limits: {contract.limitations}"
    yield f"- Key: {', '.join(f'`{name}`' for name in contract.primary_key) or 'none'}"
    yield f"- Time: `{contract.time_column}`"
    if contract.is_versioned:
        versions = ", ".join(f"`{name}`" for name in contract.version_columns)
        yield f"- Versions: every one is kept; it is valid from the first of {versions} that has a value"
    yield f"- Retention: {contract.retention_days} days"
    yield f"- Contract version: {contract.version}"
    yield from ("", "## Columns", "")
    yield "| column | type | unit | data | kept | description |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for column in contract.columns:
        yield (
            f"| {_column_title(column)} | {column.type} | {column.unit or ''} | {column.classification} "
            f"| {column.retention_days} days | {_cell(_column_words(column, contract))} |"
        )
    if contract.allows_attributes:
        yield from ("", "A mapping may add attributes of its own, as columns `attr_<name>`.")
    yield from (
        "",
        "## Rules",
        "",
        "A row that breaks a critical rule goes to quarantine, whole; a warning is counted.",
        "",
    )
    yield from ("| what is wrong with the row | severity | tolerated | why |", "| --- | --- | --- | --- |")
    for reference in contract.references:
        tolerated = f"{reference.tolerated_percent:g} % of rows" if reference.tolerated_percent else ""
        why = f"It names rows of [{reference.entity}]({reference.entity}.md), which may arrive later."
        yield f"| {_cell(reference.name)} | warning | {tolerated} | {why} |"
    for rule in contract.rules:
        tolerated = f"{rule.tolerated_percent:g} % of rows" if rule.tolerated_percent else ""
        yield f"| {_cell(rule.name)} | {rule.severity} | {tolerated} | {_cell(rule.description)} |"


def _changes(changed: ChangedContract) -> Iterator[str]:
    yield from ("", "## What this company changes", "")
    for title, names in (("Columns of its own", changed.added_columns), ("New or stricter", changed.added_rules)):
        if names:
            yield from (f"{title}:", "", *(f"- {_cell(name)}" for name in names), "")
    if changed.loosened:
        yield from ("Loosened:", "")
        for loosening in changed.loosened:
            reason = f": {loosening.reason}" if loosening.reason else ""
            kind = "critical" if loosening.is_critical else "warning"
            yield f"- {_cell(loosening.rule)} ({kind}; {_cell(loosening.how)}){_cell(reason)}"


def _column_title(column: Column) -> str:
    name = f"**`{column.name}`**" if column.required else f"`{column.name}`"
    traits = [word for word, holds in (("required", column.required), ("unique", column.is_unique)) if holds]
    return f"{name} ({', '.join(traits)})" if traits else name


def _column_words(column: Column, contract: Contract) -> str:
    """What the column is; its purpose where it has one of its own."""
    return column.description + (f" Purpose: {column.purpose}" if column.purpose != contract.purpose else "")


def _mapping_lines(column: Column) -> Iterator[str]:
    notes = [column.description]
    if column.type != "VARCHAR":
        notes.append(f"It is {TYPE_WORDS[column.type]}{f', in {column.unit}' if column.unit else ''}.")
    if column.allowed_values:
        notes.append(f"One of {', '.join(column.allowed_values)}.")
    notes += [f"It names rows of {reference.entity}." for reference in column.references]
    yield f"      # {'Required. ' if column.required else ''}{' '.join(notes)}"
    yield f"      {'' if column.required else '# '}{column.name}: {column.name}"


def _attribute_lines(column: Column) -> Iterator[str]:
    """An attribute is brought under the name it has in the extract, which gives `attr_<name>`."""
    role = "identifier" if column.is_personal else "feature"
    yield f"      # {'Required. ' if column.required else ''}{column.description} It is {TYPE_WORDS[column.type]}."
    yield f"      {'' if column.required else '# '}{column.name.removeprefix(ATTRIBUTE_PREFIX)}: {role}"


def _examples(contract: Contract) -> Iterator[tuple[str, str]]:
    yield "{column: Created, format: '%d.%m.%Y %H:%M'}", "how the extract writes a time"
    allowed = [column.allowed_values[0] for column in contract.columns if column.allowed_values]
    if allowed:
        yield f"{{column: State, values: {{'their word': {allowed[0]}}}}}", "what its words mean"
    yield "{value: EUR}", "the same for every row"
    yield "{sql: 'lower(\"Address\")'}", "computed from the extract's columns"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    write_contract_pages(Path(sys.argv[1]))
