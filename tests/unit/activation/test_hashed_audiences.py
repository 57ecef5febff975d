"""Files for advertising platforms: what is hashed how, nothing twice, and that the gate stands before them."""

import hashlib
import re

import polars as pl
import pytest
from gate_world import ADS_VALUES, ads_world, audience, sealed_for_ads

from activation.hashed_audiences import (
    FIELDS,
    HASH_OF_NOTHING,
    HASHED_FILES,
    NOTHING_TO_MATCH,
    PLATFORMS,
    SAME_IDENTIFIER,
    hashed_rows,
    hashes_of,
    matched_by,
    normalize,
    note_on_size,
    once_each,
    write_hashed_audience,
    write_rows,
)
from activation.sync.gated import NotGated

# From the platforms' own pages (Meta: customer information parameters; TikTok: supported IDs of a customer file), and
# from `printf %s VALUE | sha256sum`.
GOLDEN = {
    "mary": "6915771be1c5aa0c886870b6951b03d7eafc121fea0e80a5ea83beb7c449f4ec",
    "정": "8fa8cd9c440be61d0151429310034083132b35975c4bea67fdd74158eb51db14",
    "valéry": "08e1996b5dd49e62a4b4c010d44e4345592a863bb9f8e3976219bac29417149c",
    "16505551212": "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176",
    "janedoe@gmail.com": "d6117306485ed0e50afab3ac871e98f81699151f30281527d63ff5f233656c69",
    "37493828222": "65b7e6dcf6f4310f8d7cbfbd78289a753062fb054d6664fb9aaac5df66a422d4",
    "+37493828222": "241371e614f8650dfae0f111361c69de1bb4829a72b71bb8044daae8b2e7791d",
}


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def people(*rows):
    return pl.DataFrame(list(rows), schema=dict.fromkeys(FIELDS, pl.String))


def written(frame, platform="meta", **settings):
    """The rows of the file, and who was left out."""
    return once_each(hashed_rows(frame, platform, **settings), platform)


def file_of(tmp_path, frame, platform="meta"):
    write_rows(written(frame, platform)[0], tmp_path / "file.csv")
    return (tmp_path / "file.csv").read_bytes()


def normalized(platform, column, value, **others):
    expressions = normalize(platform)
    return people({column: value} | others).select(expressions[column].alias("value"))["value"][0]


@pytest.mark.parametrize(
    ("platform", "column", "value", "expected"),
    [
        ("google", "email", " Jane.Doe+Shopping@GoogleMail.com ", "janedoe@googlemail.com"),
        ("google", "email", "j a n e.doe@gmail.com", "janedoe@gmail.com"),
        ("google", "email", "Jane.Doe+news@Example.com", "jane.doe+news@example.com"),
        ("google", "phone", "+16505551212", "+16505551212"),
        ("google", "first_name", " Zoë ", "zoë"),
        ("google", "country", "de", "DE"),
        ("google", "postal_code", " 94016 ", "94016"),
        ("meta", "email", " Jane.Doe+Shopping@Gmail.com ", "jane.doe+shopping@gmail.com"),
        ("meta", "phone", "+16505551212", "16505551212"),
        ("meta", "first_name", "Mary", "mary"),
        ("meta", "last_name", "O'Neill-Smith", "oneillsmith"),
        ("meta", "last_name", "Valéry", "valéry"),
        ("meta", "city", "St. Gallen", "stgallen"),
        ("meta", "postal_code", "WC2H 8LG", "wc2h8lg"),
        ("meta", "country", "DE", "de"),
        ("linkedin", "email", " Jane.Doe@Gmail.com", "jane.doe@gmail.com"),
        ("tiktok", "email", "Jane Doe@gmail.com", "janedoe@gmail.com"),
        ("tiktok", "phone", "+16577770000", "+16577770000"),
    ],
)
def test_each_platform_has_values_as_it_documents_them(platform, column, value, expected):
    assert normalized(platform, column, value) == expected


def test_of_a_postal_code_of_the_united_states_meta_gets_five_digits():
    assert normalized("meta", "postal_code", "94016-1234", country="US") == "94016"
    assert normalized("meta", "postal_code", "1010-123", country="PT") == "1010123"


@pytest.mark.parametrize("plain", ["mary", "정", "valéry"])
def test_names_have_the_hashes_that_meta_publishes(plain):
    rows, _ = written(people({"email": "a@b.de", "first_name": plain.upper()}))
    assert rows["FN"].to_list() == [GOLDEN[plain]]


def test_numbers_and_addresses_have_the_hashes_that_meta_and_tiktok_publish():
    rows, _ = written(people({"phone": "+16505551212"}))
    assert rows["PHONE"].to_list() == [GOLDEN["16505551212"]]
    rows, _ = written(people({"email": "JaneDoe@gmail.com"}), "tiktok")
    assert rows["Email_SHA256"].to_list() == [GOLDEN["janedoe@gmail.com"]]


def test_tiktok_says_with_plus_and_hashes_its_own_example_without_so_that_is_a_setting():
    """The page's example reads +37493828222; the hash beside it is that of 37493828222."""
    frame = people({"phone": "+37493828222"})
    with_plus, _ = written(frame, "tiktok")
    digits, _ = written(frame, "tiktok", tiktok_phone="digits")
    assert with_plus["Phone_SHA256"].to_list() == [GOLDEN["+37493828222"]]
    assert digits["Phone_SHA256"].to_list() == [GOLDEN["37493828222"]]


def test_the_headers_are_those_of_the_platforms(tmp_path):
    assert {key: file_of(tmp_path, people(), key).decode() for key in PLATFORMS} == {
        "google": "Email,Phone,First Name,Last Name,Country,Zip\r\n",
        "meta": "EMAIL,PHONE,FN,LN,CT,ZIP,COUNTRY\r\n",
        "linkedin": "firstname,lastname,email,companyname,jobtitle,country\r\n",
        "tiktok": "Email_SHA256,Phone_SHA256\r\n",
    }


def test_country_and_zip_are_unhashed_for_google_and_hashed_for_meta():
    ann = people({"email": "ann@example.com", "country": "us", "postal_code": "94016"})
    google, _ = written(ann, "google")
    assert google.row(0, named=True) | {"Email": None} == {
        "Email": None, "Phone": None, "First Name": None, "Last Name": None, "Country": "US", "Zip": "94016",
    }  # fmt: skip
    meta, _ = written(ann)
    assert meta.row(0, named=True)["ZIP"] == sha256("94016")
    assert meta.row(0, named=True)["COUNTRY"] == sha256("us")


def test_a_hash_is_never_hashed_again():
    hashed = sha256("ann@example.com")
    for value in (hashed, hashed.upper(), f" {hashed} "):
        for platform, header in (("google", "Email"), ("meta", "EMAIL"), ("linkedin", "email")):
            assert written(people({"email": value}), platform)[0][header].to_list() == [hashed]


def test_the_same_address_plain_and_hashed_is_one_row():
    rows, left_out = written(people({"email": "ann@example.com"}, {"email": sha256("ann@example.com")}))
    assert rows.height == 1
    assert left_out == {SAME_IDENTIFIER: 1}


@pytest.mark.parametrize("empty", [None, "", "  ", "n/a", "@", "ann@", "ann@localhost", HASH_OF_NOTHING, "0" * 32])
def test_what_is_no_address_is_left_out_and_the_hash_of_nothing_is_never_written(tmp_path, empty):
    frame = people({"email": empty, "phone": "0", "first_name": "Ann"})
    for platform in PLATFORMS:
        rows, left_out = written(frame, platform)
        assert rows.height == 0
        assert left_out == {NOTHING_TO_MATCH: 1}
        assert HASH_OF_NOTHING.encode() not in file_of(tmp_path, frame, platform)


def test_a_gmail_address_of_nothing_but_dots_is_left_out():
    assert written(people({"email": "..+x@gmail.com"}), "google")[0].height == 0


def test_nothing_but_hashes_countries_and_postal_codes_is_in_a_file():
    ann = {"email": "ann@example.com", "phone": "+4930111111", "first_name": "Ann", "last_name": "Lee", "city": "Bonn"}
    for platform in PLATFORMS:
        rows, _ = written(people(ann | {"country": "DE", "postal_code": "53111"}), platform)
        values = {value for column in rows.iter_columns() for value in column.drop_nulls()}
        assert all(re.fullmatch(r"[0-9a-f]{64}|DE|53111", value) for value in values)


def test_a_formula_is_no_postal_code():
    rows, _ = written(people({"email": "a@b.de", "postal_code": "=1+1", "country": "=D"}), "google")
    assert rows.row(0, named=True)["Zip"] is None
    assert rows.row(0, named=True)["Country"] is None


def test_the_order_of_people_decides_nothing(tmp_path):
    frame = people(*({"email": f"person{number}@example.com"} for number in range(20)))
    assert file_of(tmp_path, frame) == file_of(tmp_path, pl.concat([frame[10:], frame[:10].reverse()]))


def test_a_file_that_a_platform_will_refuse_for_its_size_says_so():
    assert note_on_size(PLATFORMS["tiktok"], 999) == "TikTok customer file wants at least 1,000 rows"
    assert note_on_size(PLATFORMS["linkedin"], 300_001) == "LinkedIn matched audience takes at most 300,000 rows"
    assert note_on_size(PLATFORMS["google"], 100) == ""


def test_every_hash_by_which_somebody_may_stand_in_a_file_is_known():
    ann = people({"email": "Ann.Lee+x@gmail.com", "phone": "+4930111111"})
    expected = ("annlee@gmail.com", "ann.lee+x@gmail.com", "+4930111111", "4930111111")
    assert hashes_of(ann) == {sha256(one) for one in expected}
    for platform in PLATFORMS:
        for style in ("with_plus", "digits"):
            assert set(hashed_rows(ann, platform, style).select(matched_by(platform)).row(0)) <= hashes_of(ann)


def test_an_unknown_platform_is_named():
    with pytest.raises(ValueError, match="'gogle' is no platform; there are google, meta"):
        hashed_rows(people(), "gogle")


# A file for a platform, from what the gate sealed.


def test_a_file_holds_whom_the_gate_approved_and_counts_the_others(tmp_path):
    world = ads_world().person("ann", phone="+4930111111").person("bob", is_allowed=False, decision_reason="withdrawn")
    gate, sealed = sealed_for_ads(world, HASHED_FILES)
    done = write_hashed_audience(world.connection, sealed, "meta", tmp_path / "file.csv")
    rows = pl.read_csv(done.path, infer_schema=False)
    assert rows["EMAIL"].to_list() == [sha256("ann@example.com")] and rows["PHONE"].to_list() == [sha256("4930111111")]
    assert done.left_out == {"withdrawn": 1}
    assert done.to_dict()["note"] == done.note == "Meta custom audience wants at least 100 rows"
    assert "@" not in str(done.to_dict())
    gate.close()


def test_nothing_is_written_that_the_gate_did_not_seal_for_it(tmp_path):
    world = ads_world().person("ann")
    gate, sealed = sealed_for_ads(world, HASHED_FILES)
    path = tmp_path / "file.csv"
    elsewhere = sealed_for_ads(world, "newsletter")[1]
    mails = world.gate()
    mails.consider(audience("mails", destination=HASHED_FILES), "true")
    mails.judge()
    for wrong in (people({"email": "ann@example.com"}), {"segment": "people"}, sealed.relation, None, elsewhere):
        with pytest.raises(NotGated):
            write_hashed_audience(world.connection, wrong, "meta", path)
    with pytest.raises(NotGated, match="approved for advertising over ads"):
        write_hashed_audience(world.connection, mails.seal("mails", *ADS_VALUES), "meta", path)
    gate.close()
    assert not path.exists()


def test_an_audience_that_changed_since_is_not_written(tmp_path):
    world = ads_world().person("ann")
    _, sealed = sealed_for_ads(world, HASHED_FILES)
    world.connection.execute(f"update {sealed.relation} set email = 'eve@example.com'")
    with pytest.raises(NotGated, match="has changed"):
        write_hashed_audience(world.connection, sealed, "meta", tmp_path / "file.csv")
