"""What is submitted is a fact once, however often it comes, and is refused as a file of facts would be."""

from typing import Any

import httpx
import msgspec
import pytest
import trio

from isthmus.events import EventRefused, decode
from isthmus.services.operations import OPERATIONS
from isthmus.store import audit, services
from isthmus.store.face import Tx
from tests.services.rig import BODIES, BY_NAME, CHANGED, NOW, TERMS, Site, problem
from tests.services.world import history, keep

SUBMITS = [each.name for each in OPERATIONS if each.body]
KINDS = {
    "submitTime": "time.approved/1",
    "withdrawTime": "time.unapproved/1",
    "amendContract": "contract.amended/1",
    "adjustForecast": "assignment.changed/1",
    "withdrawForecastAdjustment": "assignment.ended/1",
}


@pytest.mark.parametrize("operation", SUBMITS)
async def test_a_submission_is_a_canonical_event_under_an_id_of_its_own_words(
    site: Site, operation: str
) -> None:
    answer = await site.submit(operation)
    body, said = BODIES[operation], answer.json()
    assert (answer.status_code, said["outcome"], site.announced) == (201, "recorded", 1)
    (event,) = await site.events()
    assert event["type"] == KINDS[operation]
    own = next(name for name in ("entry", "contract", "assignment") if name in body)
    key = body[own] if own == "contract" else f"api.timesheets:{body[own]}"
    kind = event["type"].partition("/")[0]
    assert (said["key"], said["event"]) == (key, f"api.timesheets/{kind}/{key}/{body['revision']}")
    assert event["id"] == said["event"] and event["source"] == "api.timesheets"
    assert {name: event[name] for name in body if name not in (own, "lines")} == {
        name: body[name] for name in body if name not in (own, "lines")
    }


@pytest.mark.parametrize("operation", SUBMITS)
async def test_the_same_twice_is_one_fact_with_or_without_a_key(site: Site, operation: str) -> None:
    first = await site.submit(operation, idempotency="k1")
    site.now += (NOW - NOW.replace(hour=8)) * 1  # an hour later
    again = await site.submit(operation, idempotency="k1")
    assert (again.status_code, again.content) == (201, first.content)
    assert (first.headers.get("idempotency-replayed"), again.headers.get("idempotency-replayed")) == (
        None,
        "true",
    )
    bare = await site.submit(operation)
    assert (bare.status_code, bare.json()) == (200, {**first.json(), "outcome": "known"})
    assert len(await site.events()) == 1
    assert site.announced == 1


async def test_two_equal_submissions_at_once_give_one_event_and_one_answer(site: Site) -> None:
    answers: list[httpx.Response] = []
    await site.token()

    async def send(key: str) -> None:
        answers.append(await site.submit("submitTime", idempotency=key))

    async with trio.open_nursery() as nursery:
        for n in range(12):
            nursery.start_soon(send, "k1" if n % 2 else "")
    assert len(await site.events()) == 1
    assert {answer.json()["event"] for answer in answers} == {
        "api.timesheets/time.approved/api.timesheets:E-1/1"
    }
    assert (
        sum(
            answer.json()["outcome"] == "recorded" and "idempotency-replayed" not in answer.headers
            for answer in answers
        )
        == 1
    )


async def test_a_key_belongs_to_a_submitter_not_to_a_token(site: Site) -> None:
    one = await site.token(name="one", source="timesheets")
    two = await site.token(name="two", source="timesheets")
    other = await site.token(name="three", source="payroll")
    first = await site.submit("submitTime", idempotency="k1", token=one)
    assert (await site.submit("submitTime", idempotency="k1", token=two)).content == first.content
    strange = await site.submit("submitTime", idempotency="k1", token=other)
    assert (strange.status_code, strange.json()["key"]) == (201, "api.payroll:E-1")


async def test_an_answer_is_remembered_for_thirty_days_and_the_fact_for_good(site: Site) -> None:
    site.now = NOW
    await site.submit("submitTime", idempotency="old")
    site.now = NOW.replace(month=12, day=3)
    token = await site.token(name="later")
    await site.submit("submitTime", idempotency="new", entry="E-2", token=token)
    kept = await site.inner.read(
        lambda tx: [services.answer(tx, "timesheets", key) for key in ("old", "new")]
    )
    assert [answer is None for answer in kept] == [True, False]
    again = await site.submit("submitTime", idempotency="old", token=token)
    assert (again.status_code, again.json()["outcome"]) == (200, "known")


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("", id="empty"),
        pytest.param("a b", id="a space"),
        pytest.param("k" * 201, id="too long"),
    ],
)
async def test_a_key_that_is_none_is_refused_and_nothing_is_recorded(site: Site, key: str) -> None:
    headers = {"idempotency-key": key}
    answer = await site.ask("submitTime", json=BODIES["submitTime"], headers=headers)
    assert (answer.status_code, problem(answer)) == (400, "malformed")
    assert await site.events() == []


@pytest.mark.parametrize("operation", SUBMITS)
async def test_one_revision_has_one_content_and_a_change_has_a_higher_one(site: Site, operation: str) -> None:
    await site.submit(operation)
    refused = await site.submit(operation, **CHANGED[operation])
    assert (refused.status_code, problem(refused)) == (409, "other-content")
    assert "send a change as a higher one" in refused.json()["detail"]
    higher = {"revision": BODIES[operation]["revision"] + 1, **CHANGED[operation]}
    assert (await site.submit(operation, **higher)).status_code == 201
    late = await site.submit(operation)
    assert (late.status_code, late.json()["outcome"]) == (200, "known")
    assert len(await site.events()) == 2


async def test_a_revision_that_another_system_told_of_the_contract_is_not_told_again(site: Site) -> None:
    """The CRM amended it meanwhile; two truths of one revision would go two ways."""
    await keep(site.inner, history())
    told = {**TERMS, "type": "contract.amended/1", "source": "crm", "occurred_at": "2026-10-20T09:00:00Z"}
    await keep(site.inner, [decode(msgspec.json.encode(told))])
    before = len(await site.events())
    answer = await site.submit("amendContract", reason="ours")
    assert (answer.status_code, problem(answer)) == (409, "overtaken")
    assert "revision 2 of crm:c1 is known" in answer.json()["detail"]
    assert len(await site.events()) == before
    assert (await site.submit("amendContract", reason="ours", revision=3)).status_code == 201


async def test_a_withdrawal_needs_a_higher_revision_than_what_it_withdraws(site: Site) -> None:
    await site.submit("submitTime", revision=4)
    assert problem(await site.submit("withdrawTime", revision=4)) == "overtaken"
    assert (await site.submit("withdrawTime", revision=5)).status_code == 201


SENTENCES = [
    pytest.param("submitTime", {"hours": "0"}, "/hours", id="no hours"),
    pytest.param("submitTime", {"hours": "-1"}, "/hours", id="hours below zero"),
    pytest.param("submitTime", {"hours": "1.005"}, "/hours", id="hours with three digits"),
    pytest.param("submitTime", {"hours": 7.5}, "/hours", id="hours as a number"),
    pytest.param("submitTime", {"hours": "1e1"}, "/hours", id="hours with an exponent"),
    pytest.param("submitTime", {"hours": "٣"}, "/hours", id="hours in other digits"),
    pytest.param("submitTime", {"billable": "yes"}, "/billable", id="a word for yes"),
    pytest.param("submitTime", {"worked_on": "2026-02-30"}, "/worked_on", id="no such day"),
    pytest.param("submitTime", {"revision": "1"}, "/revision", id="a revision as text"),
    pytest.param("submitTime", {"project": None}, "/project", id="no project"),
    pytest.param("amendContract", {"time_zone": "Mars/Olympus"}, "/time_zone", id="no such time zone"),
    pytest.param("amendContract", {"ends_on": "2026-09-01"}, "/ends_on", id="an end before the start"),
    pytest.param("amendContract", {"currency": "usd"}, "/currency", id="a currency in small letters"),
    pytest.param(
        "amendContract", {"lines": [{"model": "barter", "line": "B"}]}, "/lines/0/model", id="no such model"
    ),
    pytest.param(
        "amendContract",
        {
            "lines": [
                *TERMS["lines"],
                {"model": "milestone", "line": "M", "milestones": [{"milestone": "psa:m1"}]},
            ]
        },
        "/lines/1/milestones/0/title",
        id="a field of a milestone is missing",
    ),
    pytest.param("amendContract", {"lines": TERMS["lines"] * 2}, "/lines", id="a line twice"),
    pytest.param(
        "adjustForecast", {"ends_on": "2026-11-01"}, "/ends_on", id="an assignment that ends before it starts"
    ),
]


@pytest.mark.parametrize(("operation", "changes", "pointer"), SENTENCES)
async def test_what_is_refused_is_refused_in_the_words_of_a_file_of_facts(
    site: Site, operation: str, changes: dict[str, Any], pointer: str
) -> None:
    fact = {
        **BODIES[operation],
        **changes,
        "type": KINDS[operation],
        "source": "x",
        "occurred_at": "2026-11-02T09:00:00Z",
    }
    with pytest.raises(EventRefused) as refused:
        decode(msgspec.json.encode(fact))
    answer = await site.submit(operation, **changes)
    assert (answer.status_code, problem(answer)) == (422, "invalid")
    assert answer.json()["detail"] == str(refused.value)
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert await site.events() == []


@pytest.mark.parametrize(
    ("operation", "changes", "pointer", "says"),
    [
        pytest.param(
            "submitTime", {"huors": "7"}, "/huors", "unknown field `huors`", id="a field nobody knows"
        ),
        pytest.param("submitTime", {"entry": "E 1"}, "/entry", "matching regex", id="an own id with a space"),
        pytest.param("submitTime", {"project": "a\0b"}, "/project", "matching regex", id="a NUL in a key"),
        pytest.param(
            "submitTime", {"project": "a\n"}, "/project", "matching regex", id="a line feed at the end"
        ),
        pytest.param(
            "submitTime", {"revision": 2**31}, "/revision", "<= 2147483647", id="a revision no counter has"
        ),
        pytest.param("submitTime", {"revision": 0}, "/revision", ">= 1", id="a revision of zero"),
        pytest.param(
            "adjustForecast", {"hours_per_day": "0"}, "/hours_per_day", "more than 0", id="no hours a day"
        ),
        pytest.param(
            "amendContract",
            {"lines": [{**TERMS["lines"][0], "cap_amout": "1.00"}]},
            "/lines/0/cap_amout",
            "unknown field",
            id="a misspelt cap inside a line",
        ),
        pytest.param(
            "amendContract", {"revision": 1}, "/revision", ">= 2", id="an amendment before the contract"
        ),
    ],
)
async def test_what_a_caller_mistypes_is_refused_with_its_place(
    site: Site, operation: str, changes: dict[str, Any], pointer: str, says: str
) -> None:
    answer = await site.submit(operation, **changes)
    assert (answer.status_code, problem(answer)) == (422, "invalid")
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer and says in error["detail"]
    assert await site.events() == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="half of it"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b'{"entry": "\\ud800"}', id="half a character"),
        pytest.param(b"[" * 100_000, id="nested without end"),
        pytest.param(b"[" * 900 + b"]" * 900, id="nested as deep as is read"),
    ],
)
async def test_a_body_that_is_no_json_object_never_breaks_anything(site: Site, body: bytes) -> None:
    answer = await site.ask("submitTime", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert await site.events() == []


async def test_to_json_two_point_zero_is_two(site: Site) -> None:
    assert (await site.submit("submitTime", revision=2.0)).json()["revision"] == 2


async def test_every_submission_is_in_the_audit_trail_with_the_name_of_its_token(site: Site) -> None:
    token = await site.token("time:submit", name="timesheets-2026")
    await site.submit("submitTime", token=token)
    await site.submit("submitTime", token=token)
    await site.submit("submitTime", token=token, hours="9.00")
    await site.submit("submitTime", token=token, revision=3)
    await site.submit("submitTime", token=token, revision=2)

    def acts(tx: Tx) -> list[tuple[str, str, Any]]:
        return [(row.actor, row.act, msgspec.json.decode(row.detail)) for row in audit.page(tx)]

    told = [each for each in await site.inner.read(acts) if each[1] != "token.issued"]
    assert {actor for actor, _, _ in told} == {"api:timesheets-2026"}
    event = "api.timesheets/time.approved/api.timesheets:E-1/1"
    assert [
        (act, detail.get("events"), detail.get("problem"), detail.get("conflicts")) for _, act, detail in told
    ] == [
        ("submitted", 1, None, None),
        ("submitted", 0, None, None),
        ("submitted", 0, None, [event]),
        ("submitted", 1, None, None),
        ("submission.refused", None, "overtaken", None),
    ]
    assert {detail["operation"] for _, _, detail in told} == {"submitTime"}
    assert told[0][2]["event"] == event and len(told[0][2]["token"]) == 12


def test_every_operation_that_submits_is_tried_here() -> None:
    assert set(SUBMITS) == set(BODIES) == set(CHANGED) == set(KINDS) <= set(BY_NAME)
