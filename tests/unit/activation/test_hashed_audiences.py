"""Files for advertising platforms: what is hashed how, who is in them, and that nothing is hashed twice."""

import hashlib
import re

import polars as pl
import pytest

from activation.hashed_audiences import (
    ADVERTISING,
    HASH_OF_NOTHING,
    NO_REASON,
    NOTHING_TO_MATCH,
    PEOPLE_COLUMNS,
    PLATFORMS,
    REFUSED_ELSEWHERE,
    SAME_IDENTIFIER,
    normalize,
    write_hashed_audience,
)

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
    """People who may be used for advertising, unless a row says otherwise."""
    usual = {"purpose": ADVERTISING, "is_allowed": True, "decision_reason": "granted"}
    numbered = [{"person_id": f"p{number}"} | usual | row for number, row in enumerate(rows)]
    return pl.DataFrame(numbered, schema=PEOPLE_COLUMNS)


def written(tmp_path, frame, platform="meta", **settings):
    """The finished file, and its rows as text."""
    done = write_hashed_audience(frame, platform, tmp_path / "file.csv", **settings)
    return done, pl.read_csv(done.path, infer_schema=False)


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
def test_names_have_the_hashes_that_meta_publishes(tmp_path, plain):
    _, rows = written(tmp_path, people({"email": "a@b.de", "first_name": plain.upper()}))
    assert rows["FN"].to_list() == [GOLDEN[plain]]


def test_numbers_and_addresses_have_the_hashes_that_meta_and_tiktok_publish(tmp_path):
    _, rows = written(tmp_path, people({"phone": "+16505551212"}))
    assert rows["PHONE"].to_list() == [GOLDEN["16505551212"]]
    _, rows = written(tmp_path, people({"email": "JaneDoe@gmail.com"}), "tiktok")
    assert rows["Email_SHA256"].to_list() == [GOLDEN["janedoe@gmail.com"]]


def test_tiktok_says_with_plus_and_hashes_its_own_example_without_so_that_is_a_setting(tmp_path):
    """The page's example reads +37493828222; the hash beside it is that of 37493828222."""
    frame = people({"phone": "+37493828222"})
    _, with_plus = written(tmp_path, frame, "tiktok")
    _, digits = written(tmp_path, frame, "tiktok", tiktok_phone="digits")
    assert with_plus["Phone_SHA256"].to_list() == [GOLDEN["+37493828222"]]
    assert digits["Phone_SHA256"].to_list() == [GOLDEN["37493828222"]]


def test_the_headers_are_those_of_the_platforms(tmp_path):
    headers = {key: ",".join(written(tmp_path, people(), key)[1].columns) for key in PLATFORMS}
    assert headers == {
        "google": "Email,Phone,First Name,Last Name,Country,Zip",
        "meta": "EMAIL,PHONE,FN,LN,CT,ZIP,COUNTRY",
        "linkedin": "firstname,lastname,email,companyname,jobtitle,country",
        "tiktok": "Email_SHA256,Phone_SHA256",
    }


def test_country_and_zip_are_unhashed_for_google_and_hashed_for_meta(tmp_path):
    ann = people({"email": "ann@example.com", "country": "us", "postal_code": "94016"})
    _, google = written(tmp_path, ann, "google")
    assert google.row(0, named=True) | {"Email": None} == {
        "Email": None, "Phone": None, "First Name": None, "Last Name": None, "Country": "US", "Zip": "94016",
    }  # fmt: skip
    _, meta = written(tmp_path, ann)
    assert meta.row(0, named=True)["ZIP"] == sha256("94016")
    assert meta.row(0, named=True)["COUNTRY"] == sha256("us")


def test_a_hash_is_never_hashed_again(tmp_path):
    hashed = sha256("ann@example.com")
    for value in (hashed, hashed.upper(), f" {hashed} "):
        for platform, header in (("google", "Email"), ("meta", "EMAIL"), ("linkedin", "email")):
            _, rows = written(tmp_path, people({"email": value}), platform)
            assert rows[header].to_list() == [hashed]


def test_the_same_address_plain_and_hashed_is_one_row(tmp_path):
    done, rows = written(tmp_path, people({"email": "ann@example.com"}, {"email": sha256("ann@example.com")}))
    assert rows.height == 1
    assert done.left_out == {SAME_IDENTIFIER: 1}


@pytest.mark.parametrize("empty", [None, "", "  ", "n/a", "@", "ann@", "ann@localhost", HASH_OF_NOTHING, "0" * 32])
def test_what_is_no_address_is_refused_and_the_hash_of_nothing_is_never_written(tmp_path, empty):
    for platform in PLATFORMS:
        done, rows = written(tmp_path, people({"email": empty, "phone": "0", "first_name": "Ann"}), platform)
        assert rows.height == 0
        assert done.left_out == {NOTHING_TO_MATCH: 1}
        assert HASH_OF_NOTHING not in done.path.read_text()


def test_a_gmail_address_of_nothing_but_dots_is_refused(tmp_path):
    _, rows = written(tmp_path, people({"email": "..+x@gmail.com"}), "google")
    assert rows.height == 0


def test_only_whoever_allowed_advertising_is_written_and_null_is_no(tmp_path):
    frame = people(
        {"email": "ann@example.com"},
        {"email": "bob@example.com", "is_allowed": False, "decision_reason": "withdrawn"},
        {"email": "eve@example.com", "is_allowed": None, "decision_reason": None},
    )
    done, rows = written(tmp_path, frame)
    assert rows["EMAIL"].to_list() == [sha256("ann@example.com")]
    assert done.left_out == {"withdrawn": 1, NO_REASON: 1}


def test_an_address_or_number_that_anybody_refused_is_written_for_nobody(tmp_path):
    refused = {"is_allowed": False, "decision_reason": "objected"}
    frame = people(
        {"email": "shared@example.com", "phone": "+4930111111"},
        {"email": " SHARED@example.com", **refused},
        {"email": "own@example.com", "phone": "+4930222222"},
        {"phone": "+4930222222", **refused},
    )
    done, rows = written(tmp_path, frame)
    assert rows.height == 0
    assert done.left_out == {REFUSED_ELSEWHERE: 2, "objected": 2}


def test_spellings_of_one_gmail_address_are_one_refusal_for_google(tmp_path):
    frame = people(
        {"email": "jane.doe@gmail.com"}, {"email": "janedoe+x@gmail.com", "is_allowed": False, "decision_reason": "no"}
    )
    assert written(tmp_path, frame, "google")[1].height == 0


def test_people_of_another_purpose_are_no_advertising(tmp_path):
    with pytest.raises(ValueError, match="advertising and no other"):
        written(tmp_path, people({"email": "ann@example.com", "purpose": "email_marketing"}))


def test_nothing_but_hashes_countries_and_postal_codes_is_in_a_file(tmp_path):
    ann = {"email": "ann@example.com", "phone": "+4930111111", "first_name": "Ann", "last_name": "Lee", "city": "Bonn"}
    for platform in PLATFORMS:
        done, rows = written(tmp_path, people(ann | {"country": "DE", "postal_code": "53111"}), platform)
        values = {value for column in rows.iter_columns() for value in column.drop_nulls()}
        assert all(re.fullmatch(r"[0-9a-f]{64}|DE|53111", value) for value in values)
        assert "p0" not in done.path.read_text()


def test_a_formula_is_no_postal_code(tmp_path):
    _, rows = written(tmp_path, people({"email": "a@b.de", "postal_code": "=1+1", "country": "=D"}), "google")
    assert rows.row(0, named=True)["Zip"] is None
    assert rows.row(0, named=True)["Country"] is None


def test_the_order_of_people_decides_nothing(tmp_path):
    frame = people(*({"email": f"person{number}@example.com"} for number in range(20)))
    there, _ = written(tmp_path, frame)
    back, _ = written(tmp_path, [frame[10:], frame[:10].reverse()])
    assert there.sha256 == back.sha256


def test_a_file_that_a_platform_will_refuse_for_its_size_says_so(tmp_path):
    done, _ = written(tmp_path, people({"email": "ann@example.com"}), "tiktok")
    assert done.note == "TikTok customer file wants at least 1,000 rows"
    assert done.to_dict()["note"] == done.note


def test_an_unknown_platform_and_missing_columns_are_named(tmp_path):
    with pytest.raises(ValueError, match="'gogle' is no platform; there are google, meta"):
        written(tmp_path, people(), "gogle")
    with pytest.raises(ValueError, match="lack the columns phone"):
        written(tmp_path, people().drop("phone"))
