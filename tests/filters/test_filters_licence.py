"""licence: the deeds of Creative Commons as pages link to them, and links that only look like them."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.licence import FAMILIES, Licence, families
from filters.registry import Context, build
from schemas.errors import UsageError

CONTEXT = Context(columns=("license_url",))
DEEDS = {
    "https://creativecommons.org/licenses/by/4.0/": "cc-by",
    "http://creativecommons.org/licenses/by-sa/3.0/us/deed.de": "cc-by-sa",
    "https://creativecommons.org/licenses/by-nc-nd/2.5/scotland/legalcode": "cc-by-nc-nd",
    "http://creativecommons.org/licenses/by-nd-nc/1.0/": "cc-by-nc-nd",
    "https://creativecommons.org/licenses/by-nc-sa/4.0/?ref=chooser-v1": "cc-by-nc-sa",
    "https://creativecommons.org/licenses/by/3.0/igo/deed.en#x": "cc-by",
    "HTTPS://www.CreativeCommons.org/publicdomain/ZERO/1.0": "cc0",
    "https://creativecommons.org/publicdomain/mark/1.0/deed.pt-br": "pdm",
    "https://creativecommons.org/licenses/publicdomain/": "pdm",
    "https://creativecommons.org:443//licenses/by-nd": "cc-by-nd",
    " https://creativecommons.org/licenses/by/4.0/\n": "cc-by",
}
OTHERS = [
    "https://creativecommons.org/",
    "https://creativecommons.org/licenses/",
    "https://creativecommons.org/licenses/byzantine/4.0/",
    "https://creativecommons.org/publicdomain/by/1.0/",
    "https://creativecommons.org.example.net/licenses/by/4.0/",
    "https://creativecommons.org@example.net/licenses/by/4.0/",
    "https://example.net/?to=https://creativecommons.org/licenses/by/4.0/",
    "ftp://creativecommons.org/licenses/by/4.0/",
    "https://www.gnu.org/licenses/fdl-1.3.html",
    "\x00",
    "شسي",
    "https://creativecommons.org/licenses/by" + "-nc" * 66_000,
]


def kept(values: dict, links) -> list[bool]:
    rule = build("licence", values, CONTEXT)
    return rule.keep(pa.record_batch({"license_url": pa.array(links, pa.string())})).to_pylist()


def test_every_form_of_a_deed_is_of_its_family():
    assert dict(zip(DEEDS, families(pa.array(list(DEEDS))).to_pylist(), strict=True)) == DEEDS


def test_other_links_are_of_none():
    assert families(pa.array([*OTHERS, "", None])).to_pylist() == [None] * (len(OTHERS) + 2)


@given(st.lists(st.sampled_from([*DEEDS, *OTHERS, "", None]), max_size=12), st.sets(st.sampled_from(FAMILIES), min_size=1))
@settings(max_examples=40, deadline=None)
def test_what_is_allowed_is_kept_and_nothing_else(links, allow):
    assert kept({"allow": sorted(allow)}, links) == [DEEDS.get(link) in allow for link in links]


def test_pages_that_declare_none_are_kept_where_that_is_asked_but_other_licences_are_not():
    links = [
        None,
        "",
        "  ",
        OTHERS[0],
        "https://creativecommons.org/licenses/by-nc/4.0/",
        "https://creativecommons.org/licenses/by/4.0/",
    ]
    assert kept({"missing": "keep"}, links) == [True, True, True, False, False, True]
    assert kept({"missing": "drop"}, links) == [False, False, False, False, False, True]


def test_a_column_without_any_value_is_of_no_type_and_still_read():
    batch = pa.record_batch({"license_url": pa.nulls(2)})
    assert Licence(("cc0",), "drop").keep(batch).to_pylist() == [False, False]
    assert Licence(("cc0",), "keep").keep(batch).to_pylist() == [True, True]


def test_a_family_that_there_is_not_is_refused():
    with pytest.raises(UsageError, match=r"allow has 'cc-by-4\.0'; the families are cc0, pdm, cc-by"):
        build("licence", {"allow": ["cc-by-4.0"]}, CONTEXT)
    with pytest.raises(UsageError, match="allow is empty"):
        build("licence", {"allow": []}, CONTEXT)
