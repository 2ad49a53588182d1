"""What is read: the feed page by page, invoices, time entries; each as the log has it."""

import msgspec
import pytest

from isthmus.events import KINDS, TimeUnapproved, encode
from isthmus.store import crosswalk
from isthmus.store import log as event_log
from tests.services.rig import NOW, Site, problem
from tests.services.world import AT, PROJECT, history, keep, time


@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        pytest.param({}, KINDS, id="everything"),
        pytest.param({"kind": "forecast.revised"}, {"forecast.revised"}, id="forecast facts"),
        pytest.param(
            {"kind": ["time.approved", "charge.held"]}, {"time.approved", "charge.held"}, id="several kinds"
        ),
        pytest.param({"kind": "deal.won"}, {"deal.won"}, id="a kind there is nothing of"),
    ],
)
@pytest.mark.parametrize("limit", [1, 3, 1000])
async def test_the_feed_gives_each_fact_once_in_order_whatever_the_size_of_a_page(
    site: Site, params: dict[str, str | list[str]], wanted: set[str], limit: int
) -> None:
    facts = history()
    await keep(site.inner, facts)
    read, cursor = [], "0"
    for _ in range(len(facts) + 2):
        page = (await site.ask("readFeed", params={**params, "cursor": cursor, "limit": limit})).json()
        read += page["items"]
        cursor = page["next"]
        if not page["more"]:
            break
    assert [item["event"] for item in read] == [
        msgspec.json.decode(encode(fact)) for fact in facts if fact.kind in wanted
    ]
    assert page["as_of"] == NOW.isoformat().replace("+00:00", "Z")
    assert (await site.ask("readFeed", params={**params, "cursor": cursor})).json()["items"] == []


async def test_the_feed_goes_on_where_its_reader_stopped(site: Site) -> None:
    await keep(site.inner, [time("e1", "8.00")])
    first = (await site.ask("readFeed")).json()
    await keep(site.inner, [time("e1", "8.00"), time("e2", "4.00")])
    rest = (await site.ask("readFeed", params={"cursor": first["next"]})).json()
    assert [item["event"]["entry"] for item in rest["items"]] == ["psa:e2"]


async def test_the_feed_leaves_out_what_was_stale_and_other_entities(site: Site) -> None:
    await keep(site.inner, [time("e1", "8.00", revision=2), time("e1", "7.00", revision=1)])
    page = (await site.ask("readFeed")).json()
    assert [item["event"]["revision"] for item in page["items"]] == [2]
    assert (await site.ask("readFeed", params={"entity": "acme-de"})).json()["items"] == []


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        pytest.param({"kind": "time.aproved"}, "kind", id="no such kind"),
        pytest.param({"limit": "0"}, "limit", id="an empty page"),
        pytest.param({"limit": "1001"}, "limit", id="too long a page"),
        pytest.param({"limit": "many"}, "limit", id="no number"),
        pytest.param({"cursor": "-1"}, "cursor", id="no cursor"),
        pytest.param({"cursor": ["1", "2"]}, "cursor", id="a cursor twice"),
        pytest.param({"since": "2026"}, "since", id="no such parameter"),
    ],
)
async def test_a_parameter_that_is_not_right_is_named(
    site: Site, params: dict[str, str], pointer: str
) -> None:
    answer = await site.ask("readFeed", params=params)
    assert (answer.status_code, problem(answer)) == (422, "invalid")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_an_invoice_is_found_by_its_key_and_by_the_id_the_erp_shows(site: Site) -> None:
    await keep(site.inner, history())
    await site.inner.write(lambda tx: crosswalk.link(tx, "invoice", "erp:1", "erp", "10023", AT))
    by_key = (await site.ask("getInvoice", key="erp:1")).json()
    assert (await site.ask("getInvoice", key="10023")).json() == by_key
    shown = {name: by_key[name] for name in ("number", "state", "total", "credited", "paid", "open_amount")}
    assert shown == {
        "number": "INV-1",
        "state": "part_paid",
        "total": "880.00",
        "credited": "80.00",
        "paid": "500.00",
        "open_amount": "300.00",
    }
    assert [payment["payment"] for payment in by_key["payments"]] == ["erp:pay1"]
    voided = (await site.ask("getInvoice", key="erp:2")).json()
    assert (voided["state"], voided["open_amount"]) == ("voided", "0")


@pytest.mark.parametrize(
    ("key", "approved", "answer"),
    [
        pytest.param("psa:e1", True, ["8.00 billed: 800.00 USD, on invoice INV-1"], id="billed"),
        pytest.param("psa:e5", True, ["1.00 not billed: not_billable"], id="waived"),
        pytest.param("psa:new", True, [], id="not looked at yet"),
        pytest.param("psa:gone", False, [], id="withdrawn"),
    ],
)
async def test_a_time_entry_tells_what_became_of_it(
    site: Site, key: str, approved: bool, answer: list[str]
) -> None:
    await keep(site.inner, [*history(), time("new", "1.00"), time("gone", "1.00")])
    gone = TimeUnapproved(
        source="psa", occurred_at=AT, entity="acme-us", entry="psa:gone", project=PROJECT, revision=2
    )
    await keep(site.inner, [gone])
    said = (await site.ask("getTime", key=key)).json()
    assert (said["entry"], said["approved"], said["answer"]) == (key, approved, answer)


async def test_a_split_entry_tells_each_part(site: Site) -> None:
    await keep(site.inner, history())
    said = (await site.ask("getTime", key="psa:e4")).json()
    assert [(part["state"], part["quantity"], part["reason"]) for part in said["parts"]] == [
        ("billed", "3.00", ""),
        ("held", "2.50", "cap_reached"),
    ]


@pytest.mark.parametrize("key", [PROJECT, "crm:c1", "erp:1", "a/b/../c", "%00"])
async def test_what_is_no_time_entry_is_not_found(site: Site, key: str) -> None:
    await keep(site.inner, history())
    assert (await site.ask("getTime", key=key)).status_code == 404


async def test_a_key_with_a_slash_is_one_key(site: Site) -> None:
    await keep(site.inner, [time("x", "1.00", project="erp:P/100")])
    assert (await site.ask("getProjectFinancials", key="erp:P%2F100")).json()["project"] == "erp:P/100"
    assert await site.inner.read(event_log.head) == 1
