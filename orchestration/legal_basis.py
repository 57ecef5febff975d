"""On which basis people may be profiled and reached where the ledger of consent says nothing.

What belongs here: what `legal_basis` in `personae.yml` may say, per purpose and market. Who may be used for what is
decided in the warehouse, from this and the ledger (`dbt_project/macros/consent.sql`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from orchestration.settings_file import SettingsFile, nearest

PROFILING = "profiling"
PURPOSES = (PROFILING, "email_marketing", "advertising")
EVERY_MARKET = "*"
TO_BE_STATED = "TO_BE_STATED"
# ISO 3166-1 alpha-2.
COUNTRIES = frozenset(
    (
        "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW "
        "BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI "
        "FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN "
        "IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME "
        "MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF "
        "PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV "
        "SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE "
        "YT ZA ZM ZW "
    ).split()
)


class Basis(BaseModel):
    """The basis for one purpose in one market, with a sentence that somebody answers for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    basis: Literal["consent", "legitimate_interest", "contract"]
    statement: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _a_plain_text_is_a_statement(cls, given: Any) -> Any:
        if given == "consent":
            return {"basis": "consent"}
        return {"basis": "legitimate_interest", "statement": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _says_why(self) -> Basis:
        if self.basis != "consent" and not (self.statement or "").strip():
            raise ValueError("say in words why: `statement: ...`")
        return self


def _a_text_holds_in_every_market(given: Any) -> Any:
    return {EVERY_MARKET: given} if isinstance(given, str) else given


LegalBasis = dict[str, Annotated[dict[str, Basis], BeforeValidator(_a_text_holds_in_every_market), Field(min_length=1)]]


def check_legal_basis(file: SettingsFile, legal_basis: LegalBasis, purposes: Iterable[str]) -> None:
    """Hold the names of purposes and markets to those there are.

    Args:
        file: where they stand.
        legal_basis: what it says.
        purposes: the purposes that mean something in this workspace.

    Raises:
        SettingsError: a name that is none, with the nearest one.
    """
    known = sorted(set(purposes))
    for purpose, markets in legal_basis.items():
        if purpose not in known:
            raise file.error(("legal_basis", purpose), f"'{purpose}' is no purpose; {nearest(purpose, known)}")
        for market in markets:
            if market != EVERY_MARKET and market not in COUNTRIES:
                hint = nearest(market, COUNTRIES) if len(market) == 2 else "two letters of ISO 3166-1, such as DE"
                raise file.error(
                    ("legal_basis", purpose, market),
                    f"'{market}' is neither \"*\" (every market) nor a country; {hint}",
                )


def check_somebody_may_be_profiled(file: SettingsFile, legal_basis: LegalBasis, entities: Iterable[str]) -> None:
    """Ask for words where the outcome is certain: without consents and without a basis there is nobody to profile.

    Raises:
        SettingsError: nobody may be profiled, or a statement that `personae init` asked for is still missing.
    """
    for purpose, markets in legal_basis.items():
        for market, basis in markets.items():
            if TO_BE_STATED in (basis.statement or ""):
                raise file.error(
                    ("legal_basis", purpose, market),
                    f"say here, in words, on which basis people are used for {purpose} without their consent, "
                    f"in place of {TO_BE_STATED} (GDPR art. 6); or deliver `consents`",
                )
    stated = any(basis.basis != "consent" for basis in legal_basis.get(PROFILING, {}).values())
    if not stated and "consents" not in entities:
        raise file.error(
            ("legal_basis",),
            "nobody may be profiled: no mapping delivers `consents`, and no legal basis is stated. Unknown means no; "
            'state one, such as legal_basis: {profiling: {"*": {basis: legitimate_interest, statement: "..."}}}',
        )


def why_nobody_may_be_contacted(legal_basis: LegalBasis, purpose: str, entities: Iterable[str]) -> str | None:
    """Why the outcome is certain that nobody is in a file for `purpose`; None where it is not certain."""
    stated = any(basis.basis != "consent" for basis in legal_basis.get(purpose, {}).values())
    if stated or "consents" in entities:
        return None
    return (
        f"Nobody may be contacted for {purpose}: no mapping delivers `consents`, and `legal_basis:` in personae.yml "
        "states none for it."
    )


def legal_basis_var(legal_basis: LegalBasis) -> dict[str, list[dict[str, str]]]:
    """What dbt's models need to know: per purpose a list of markets, each with its basis and statement."""
    return {
        purpose: [
            {"market": market, "basis": basis.basis, "statement": (basis.statement or "").strip()}
            for market, basis in sorted(markets.items())
        ]
        for purpose, markets in sorted(legal_basis.items())
    }
