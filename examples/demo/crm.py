"""The CRM: accounts and contacts, a snapshot when history begins and then weekly files of what is new or changed.

What belongs here: attributes people have in the CRM, and the CRM's own column names and date format.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from examples.demo import company
from examples.demo.clock import DAY, DemoWeek, local
from examples.demo.columns import numbered
from examples.demo.names import FAMILY_NAMES, FIRST_NAMES, INDUSTRIES, JOB_TITLES, STEMS, SUFFIXES
from examples.demo.people import NEVER, People
from examples.demo.sampling import BoolArray, Choice, IntArray, Stream, choose, generator

CRM_TIME_FORMAT = "%d.%m.%Y %H:%M"
CHANGED_CONTACTS_PER_WEEK = 0.004
CHANGED_ACCOUNTS_PER_WEEK = 0.005
SHARE_IN_COUNTRY_OF_ACCOUNT = 0.92
# Numbers that Germany, France and Great Britain keep free for films, so that no demo ever calls anybody: the beginning,
# and how many digits follow.
PHONE_BLOCKS = (
    *((f"+49 {area}", 3) for area in ("30 23125", "69 90009", "40 66969", "221 4710", "89 99998")),
    *((f"+33 {area}", 4) for area in ("1 9900", "2 6191", "3 5301", "4 6571", "5 3649", "6 3998")),
    *((f"+44 {area}", 3) for area in ("20 79460", "113 4960", "114 4960", "115 4960", "116 4960", "117 4960")),
    *((f"+44 {area}", 3) for area in ("118 4960", "121 4960", "131 4960", "141 4960", "151 4960", "161 4960")),
)
PLANS = ("Starter", "Team", "Business", "Enterprise")
SEAT_PRICES_PER_YEAR = np.array([180, 300, 420, 600])


@dataclass(frozen=True)
class Countries:
    """Where customers are: codes, weights, languages, and three cities each with the start of their postal codes."""

    codes: tuple[str, ...]
    weights: tuple[int, ...]
    languages: tuple[str, ...]
    cities: tuple[str, ...]
    postal_codes: tuple[str, ...]


COUNTRIES = Countries(
    codes=("DE", "AT", "CH", "NL", "FR", "GB", "PL", "US"),
    weights=(47, 10, 8, 8, 8, 9, 5, 5),
    languages=("de", "de", "de", "nl", "fr", "en", "pl", "en"),
    cities=(
        *("Berlin", "Hamburg", "München", "Wien", "Graz", "Linz", "Zürich", "Basel", "Bern"),
        *("Amsterdam", "Utrecht", "Rotterdam", "Paris", "Lyon", "Lille", "London", "Leeds", "Bristol"),
        *("Warszawa", "Kraków", "Gdańsk", "Boston", "Austin", "Denver"),
    ),
    postal_codes=(
        *("10115", "20095", "80331", "1010", "8010", "4020", "8001", "4001", "3001"),
        *("1011", "3511", "3011", "75002", "69002", "59000", "EC1A", "LS1", "BS1"),
        *("00-001", "30-001", "80-001", "02108", "78701", "80202"),
    ),
)


class Crm:
    """The CRM's contacts and accounts as they stand, and the files it delivers."""

    def __init__(self, people: People, first_week: DemoWeek, seed: int):
        """Draw the attributes of all accounts and contacts that will ever exist."""
        self.people = people
        self._seed = seed
        self._draw_accounts(first_week)
        self._draw_contacts()

    def _draw_accounts(self, first_week: DemoWeek) -> None:
        rng = generator(self._seed, Stream.ACCOUNTS)
        people, count = self.people, self.people.accounts
        members = np.bincount(people.account, minlength=count)
        self.account_id = numbered("AC", 6, count)
        self._account_country = choose(rng, COUNTRIES.weights, count)
        stems = choose(rng, np.ones(len(STEMS)), count)
        suffixes = choose(rng, np.ones(len(SUFFIXES)), count)
        number = pl.Series(np.arange(count)).cast(pl.String)
        self._account_name = pl.Series(STEMS).gather(stems) + " " + pl.Series(SUFFIXES).gather(suffixes)
        self._account_domain = pl.Series(STEMS).gather(stems).str.to_lowercase() + number + ".example"
        self._industry = choose(rng, np.arange(len(INDUSTRIES), 0, -1.0), count)
        self._employees = np.ceil(members * rng.lognormal(1.8, 0.9, count) + 2).astype(np.int64)
        self._plan = np.digitize(self._employees, [25, 120, 600])
        self._seats = np.ceil(members * rng.uniform(1.0, 1.6, count) + 1).astype(np.int64)
        # A week before its first member; accounts nobody has joined yet are old leads.
        first_member = np.full(count, NEVER)
        np.minimum.at(first_member, people.account, people.joined_at)
        self._account_created_at = np.where(first_member == NEVER, first_week.start, first_member) - 7 * DAY
        self._account_changed_at = self._account_created_at.copy()

    def _draw_contacts(self) -> None:
        rng = generator(self._seed, Stream.CONTACTS)
        people = self.people
        humans, persona, human = len(people), people.persona_at_start, people.contact_human
        stays = rng.random(humans) < SHARE_IN_COUNTRY_OF_ACCOUNT
        elsewhere = choose(rng, COUNTRIES.weights, humans)
        self.country = np.where(stays, self._account_country[people.account], elsewhere)
        self._city = self.country * 3 + choose(rng, (6, 3, 2), humans)
        self._first_name = choose(rng, np.ones(len(FIRST_NAMES)), humans)
        self._family_name = choose(rng, np.ones(len(FAMILY_NAMES)), humans)
        self._department = Choice(company.DEPARTMENT_WEIGHTS).draw(rng, persona)
        self._seniority = Choice(company.SENIORITY_WEIGHTS).draw(rng, persona)
        self._lead_source = Choice(company.LEAD_SOURCE_WEIGHTS).draw(rng, persona)
        self._owner = rng.integers(1, 9, people.accounts)
        self._is_deleted = np.zeros(len(human), dtype=np.bool_)
        self._changed_at = people.contact_created_at.copy()

    def accounts_snapshot(self, before: int) -> pl.DataFrame:
        """The accounts created before the instant `before`, as delivered when history begins."""
        return self._accounts(np.flatnonzero(self._account_created_at < before))

    def contacts_snapshot(self, before: int) -> pl.DataFrame:
        """The contacts created before the instant `before`, as delivered when history begins."""
        return self._contacts(np.flatnonzero(self.people.contact_created_at < before))

    def live(self, week: DemoWeek) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Let a week pass.

        Returns:
            The contacts and the accounts that are new or changed, as the CRM delivers them.
        """
        rng = generator(self._seed, Stream.CONTACTS, week.number)
        people = self.people
        created, human = people.contact_created_at, people.contact_human
        is_new = (created >= week.start) & (created < week.end)
        is_old = created < week.start
        is_leaving = is_old & (people.left_week[human] == week.number)
        is_moving = is_old & ~self._is_deleted & ~is_leaving & (rng.random(len(created)) < CHANGED_CONTACTS_PER_WEEK)
        movers = np.unique(human[is_moving])
        self._department[movers] = choose(rng, np.ones(len(company.DEPARTMENTS)), len(movers))
        self._seniority[movers] = np.minimum(self._seniority[movers] + 1, len(company.SENIORITIES) - 1)
        is_changed = is_leaving | (is_old & ~self._is_deleted & np.isin(human, movers))
        self._is_deleted |= is_leaving
        moment = week.start + (rng.random(len(created)) * (week.end - week.start)).astype(np.int64)
        self._changed_at[is_changed] = moment[is_changed]

        is_customer = self._account_created_at < week.start
        upgraded = np.flatnonzero(is_customer & (rng.random(people.accounts) < CHANGED_ACCOUNTS_PER_WEEK))
        self._plan[upgraded] = np.minimum(self._plan[upgraded] + 1, len(PLANS) - 1)
        self._seats[upgraded] += rng.integers(1, 6, len(upgraded))
        self._account_changed_at[upgraded] = week.start + rng.integers(0, week.end - week.start, len(upgraded))
        is_due = (self._account_created_at >= week.start) & (self._account_created_at < week.end)
        is_due[upgraded] = True
        return self._contacts(np.flatnonzero(is_new | is_changed)), self._accounts(np.flatnonzero(is_due))

    def _accounts(self, index: IntArray) -> pl.DataFrame:
        plan, seats = self._plan[index], self._seats[index]
        return pl.DataFrame(
            {
                "Id": self.account_id.gather(index),
                "Created": _crm_time(self._account_created_at[index]),
                "LastModified": _crm_time(self._account_changed_at[index]),
                "Name": self._account_name.gather(index),
                "Industry": pl.Series(INDUSTRIES).gather(self._industry[index]),
                "Employees": self._employees[index],
                "Country": pl.Series(COUNTRIES.codes).gather(self._account_country[index]),
                "Plan": pl.Series(PLANS).gather(plan),
                "Seats": seats,
                "ARR": seats * SEAT_PRICES_PER_YEAR[plan],
            }
        )

    def _contacts(self, index: IntArray) -> pl.DataFrame:
        people = self.people
        human = people.contact_human[index]
        department, seniority = self._department[human], self._seniority[human]
        country, city, account = self.country[human], self._city[human], people.account[human]
        gone = pl.Series(self._is_deleted[index])
        frame = pl.DataFrame(
            {
                "Id": people.contact_id.gather(index),
                "Created": _crm_time(people.contact_created_at[index]),
                "LastModified": _crm_time(self._changed_at[index]),
                "Email": self._emails(index),
                "FirstName": pl.Series([name for name, _ in FIRST_NAMES]).gather(self._first_name[human]),
                "LastName": _with_slips(
                    pl.Series(FAMILY_NAMES).gather(self._family_name[human]), people.contact_is_typed_anew[index], human
                ),
                "Salutation": pl.Series([salutation for _, salutation in FIRST_NAMES]).gather(self._first_name[human]),
                "Phone": self._phones(index),
                "JobTitle": pl.Series(JOB_TITLES).gather(department * len(company.SENIORITIES) + seniority),
                "Department": pl.Series(company.DEPARTMENTS).gather(department),
                "Seniority": pl.Series(company.SENIORITIES).gather(seniority),
                "AccountId": self.account_id.gather(account),
                "Country": pl.Series(COUNTRIES.codes).gather(country),
                "City": pl.Series(COUNTRIES.cities).gather(city),
                "PostalCode": pl.Series(COUNTRIES.postal_codes).gather(city),
                "Language": pl.Series(COUNTRIES.languages).gather(country),
                "LeadSource": pl.Series(company.LEAD_SOURCES).gather(self._lead_source[human]),
                "Owner": "Team " + pl.Series(self._owner[account]).cast(pl.String),
                "Deleted": gone,
            }
        )
        personal = ["Email", "FirstName", "LastName", "Salutation", "Phone", "JobTitle"]
        return frame.with_columns(pl.when(gone).then(None).otherwise(pl.col(personal)).name.keep())

    def _phones(self, index: IntArray) -> pl.Series:
        """A number of each human's own while there are any; a second contact's is in other writing, or missing."""
        people = self.people
        human = pl.Series(people.contact_human[index])
        block = pl.DataFrame({"start": np.cumsum([0, *(10**digits for _, digits in PHONE_BLOCKS)])[:-1]}).with_columns(
            area=pl.Series([area for area, _ in PHONE_BLOCKS]), digits=pl.Series([digits for _, digits in PHONE_BLOCKS])
        )
        numbers = sum(10**digits for _, digits in PHONE_BLOCKS)
        frame = pl.DataFrame({"human": human}).with_columns(
            second=people.contact_is_second[index], typed_anew=people.contact_is_typed_anew[index]
        )
        found = frame.with_columns(place=np.searchsorted(block["start"].to_numpy(), human.to_numpy(), side="right") - 1)
        found = found.with_columns(
            area=block["area"].gather(found["place"]),
            rest=(pl.col("human") - block["start"].gather(found["place"])).cast(pl.String),
            digits=block["digits"].gather(found["place"]),
        )
        number = pl.col("area") + pl.when(pl.col("digits") == 3).then(pl.col("rest").str.zfill(3)).otherwise(
            pl.col("rest").str.zfill(4)
        )
        return found.select(
            pl.when((pl.col("human") >= numbers) | pl.col("typed_anew"))
            .then(None)
            .when("second")
            .then(number.str.replace(" ", " (0)").str.replace_all(" ", "-", literal=True).str.replace("-", " "))
            .otherwise(number)
        ).to_series()

    def _emails(self, index: IntArray) -> pl.Series:
        """Addresses; a second contact has its human's in other case or with spaces, or rarely a private one."""
        people = self.people
        human = people.contact_human[index]
        local_part = (
            pl.Series([name.lower() for name, _ in FIRST_NAMES]).gather(self._first_name[human])
            + "."
            + pl.Series([_ascii(name) for name in FAMILY_NAMES]).gather(self._family_name[human])
            + pl.Series(human).cast(pl.String)
        )
        address = local_part + "@" + self._account_domain.gather(people.account[human])
        return (
            pl.DataFrame({"address": address, "local_part": local_part})
            .with_columns(second=people.contact_is_second[index], other=people.contact_has_other_email[index])
            .select(
                pl.when("other")
                .then(pl.col("local_part") + "@mailbox.example")
                .when(pl.col("second") & pl.Series(human % 2 == 0))
                .then(pl.col("address").str.to_uppercase())
                .when("second")
                .then(" " + pl.col("address").str.to_titlecase() + " ")
                .otherwise("address")
            )
            .to_series()
        )


def _with_slips(names: pl.Series, slips: BoolArray, place: IntArray) -> pl.Series:
    """Names, some of them with two letters in the wrong order."""
    at = pl.col("place") % (pl.col("name").str.len_chars() - 2) + 1
    slipped = pl.concat_str(
        pl.col("name").str.slice(0, at),
        pl.col("name").str.slice(at + 1, 1),
        pl.col("name").str.slice(at, 1),
        pl.col("name").str.slice(at + 2),
    )
    frame = pl.DataFrame({"name": names, "slips": slips, "place": place})
    return frame.select(pl.when("slips").then(slipped).otherwise("name")).to_series()


def _crm_time(instants: IntArray) -> pl.Series:
    return local(instants).dt.to_string(CRM_TIME_FORMAT)


def _ascii(name: str) -> str:
    spelled_out = name.lower().replace("ä", "ae").replace("ö", "oe").replace("ü", "ue").replace("ß", "ss")
    return spelled_out.replace("ó", "o")
