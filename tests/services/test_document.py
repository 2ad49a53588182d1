"""The document is the contract: what is routed, what it shows and what the Structs say are one."""

import inspect
import re
from pathlib import Path

import jsonschema
import msgspec
import pytest
from starlette.routing import Route

from isthmus.cli.commands.api import api_document
from isthmus.events.base import BusinessEvent
from isthmus.events.contract import ContractAmended
from isthmus.events.master import AssignmentChanged, AssignmentEnded
from isthmus.events.work import TimeApproved, TimeUnapproved
from isthmus.ops.tokens import SCOPES
from isthmus.services.app import Surroundings, services_app
from isthmus.services.document import openapi
from isthmus.services.operations import OPERATIONS, PREFIX, Operation, problems_of
from isthmus.services.problems import PROBLEMS
from isthmus.services.submissions import Submission
from isthmus.store.open import open_memory_store
from tests.services.rig import BY_NAME, NOW, Site

MANUAL = (Path(inspect.getfile(services_app)).with_name("README.md")).read_text()


async def test_the_served_document_is_that_of_the_operations(site: Site) -> None:
    answer = await site.ask("getDocument", token=None)
    assert answer.json() == openapi()
    assert answer.json()["openapi"] == "3.1.0"


def test_the_command_line_prints_it_without_a_daemon(capsys: pytest.CaptureFixture[str]) -> None:
    api_document()
    assert msgspec.json.decode(capsys.readouterr().out) == openapi()


async def test_what_is_routed_is_documented_and_the_other_way_round() -> None:
    async with open_memory_store() as store:
        app = services_app(Surroundings(store=store, now=lambda: NOW))
    routed = {
        (method.lower(), route.path.replace(":path}", "}"))
        for route in app.routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "HEAD"
    }
    documented = {(method, path) for path, methods in openapi()["paths"].items() for method in methods}
    assert routed == documented


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_every_operation_says_its_scope_its_answers_and_its_problems(operation: Operation) -> None:
    said = openapi()["paths"][PREFIX + operation.path][operation.method.lower()]
    assert said["operationId"] == operation.name and said["summary"]
    assert said["security"] == ([{"token": [operation.scope]}] if operation.scope else [])
    statuses = {*operation.answers, *(PROBLEMS[code].status for code in problems_of(operation))}
    assert set(said["responses"]) == {str(status) for status in statuses}
    assert ("requestBody" in said) == (operation.body is not None)
    query = {each["name"] for each in said["parameters"] if each["in"] == "query"}
    assert query == set(operation.query.__struct_fields__)
    assert {each["name"] for each in said["parameters"] if each["in"] == "path"} == set(
        re.findall(r"{(\w+)}", operation.path)
    )


def test_every_schema_is_one_and_every_reference_leads_to_one() -> None:
    document = openapi()
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    text = msgspec.json.encode(document).decode()
    for section, name in re.findall(r'"#/components/(\w+)/([^"]+)"', text):
        assert name in document["components"][section]


def test_every_scope_opens_something() -> None:
    assert {each.scope for each in OPERATIONS} - {None} == set(SCOPES)


ENVELOPE = {field.name for field in msgspec.structs.fields(BusinessEvent)}


@pytest.mark.parametrize(
    ("operation", "event"),
    [
        pytest.param("submitTime", TimeApproved, id="time.approved"),
        pytest.param("withdrawTime", TimeUnapproved, id="time.unapproved"),
        pytest.param("amendContract", ContractAmended, id="contract.amended"),
        pytest.param("adjustForecast", AssignmentChanged, id="assignment.changed"),
        pytest.param("withdrawForecastAdjustment", AssignmentEnded, id="assignment.ended"),
    ],
)
def test_a_body_has_every_field_of_its_fact_but_those_we_know_ourselves(
    operation: str, event: type[BusinessEvent]
) -> None:
    body = BY_NAME[operation].body
    assert body is not None and issubclass(body, Submission)
    assert set(body.__struct_fields__) == set(event.__struct_fields__) - (ENVELOPE - {"entity"})


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_problem_has_its_paragraph_in_the_manual(code: str) -> None:
    assert re.search(rf"^\| `{code}` \| {PROBLEMS[code].status} \| .{{20,}} \|$", MANUAL, re.M)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_every_operation_stands_in_the_manual_with_its_scope(operation: Operation) -> None:
    scope = f"`{operation.scope}`" if operation.scope else "none"
    assert re.search(
        rf"^\| `{operation.method} {re.escape(operation.path)}` \| {scope} \| .+ \|$", MANUAL, re.M
    )
