"""Every planned fault does what its line in the table says, and what was done survives a restart."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from isthmus.sdk.errors import Retryable, Throttled, Unsure
from isthmus.sdk.http import Http, HttpLimits, open_http
from isthmus.sdk.simulator import ActRefused, Fault, Match, Simulator, started
from isthmus.sdk.testing import nothing_left_open


class Notes(Simulator):
    """The smallest vendor there is: notes that can be made and listed."""

    plugin = "notes"

    def routes(self) -> Sequence[BaseRoute]:
        return [
            Route("/notes", self._list, methods=["GET"]),
            Route("/notes", self._make, methods=["POST"]),
            Route("/notes", self._make_quietly, methods=["PUT"]),
        ]

    def credentials(self) -> dict[str, Any]:
        return {"base_url": self.base_url, "token": "t"}

    def acts(self) -> dict[str, Callable[..., Any]]:
        return {"scribble": self.scribble, "scribble_slowly": self.scribble_slowly, "burn": self.burn}

    def scribble(self, text: str) -> dict[str, Any]:
        """A user makes a note."""
        return self._add({"text": text}, None)

    async def scribble_slowly(self, text: str) -> dict[str, Any]:
        """A user makes a note after a while."""
        await trio.lowlevel.checkpoint()
        return self.scribble(text)

    def burn(self) -> None:
        """A user tries what is not allowed."""
        raise ActRefused("no fire in the office")

    def _add(self, fields: dict[str, Any], external_key: str | None) -> dict[str, Any]:
        number = self.next_id("note")
        made = {"id": number, **fields}
        self.ledger.create("note", str(number), made, at=self.now(), external_key=external_key)
        return made

    async def _list(self, request: Request) -> Response:
        return JSONResponse([record.fields for record in self.ledger.of_kind("note")])

    async def _make_quietly(self, request: Request) -> Response:
        await self._make(request)
        return Response(status_code=204)

    async def _make(self, request: Request) -> Response:
        body = json.loads(await request.body())
        return JSONResponse(self._add(body, body.get("key")), status_code=201)


@pytest.fixture
async def notes() -> AsyncIterator[Notes]:
    simulator = Notes()
    async with started(simulator):
        yield simulator


@pytest.fixture
async def http(notes: Notes) -> AsyncIterator[Http]:
    async with open_http(notes.base_url, limits=HttpLimits(deadline_s=2)) as client:
        yield client


def count(notes: Notes) -> int:
    return len(notes.ledger.all())


async def make(http: Http, text: str = "hello") -> Any:
    return await http.post("notes", json={"text": text, "key": f"crm:{text}"})


async def test_without_a_fault_a_write_is_done_and_answered(notes: Notes, http: Http) -> None:
    reply = await make(http)
    assert (reply.status, reply.json()["id"], count(notes)) == (201, 1, 1)


async def test_status_answers_and_does_nothing(notes: Notes, http: Http) -> None:
    notes.faults.add([Fault(fault="status", status=418, body={"error": "teapot"}, headers={"X-Why": "tea"})])
    reply = await make(http)
    assert (reply.status, reply.json(), reply.headers["x-why"]) == (418, {"error": "teapot"}, "tea")
    assert count(notes) == 0


@pytest.mark.parametrize(
    ("retry_after_s", "told"),
    [pytest.param(7, 7.0, id="with a delay"), pytest.param(None, None, id="without one")],
)
async def test_throttle_answers_429_and_does_nothing(
    notes: Notes, http: Http, retry_after_s: float | None, told: float | None
) -> None:
    notes.faults.add([Fault(fault="throttle", retry_after_s=retry_after_s)])
    with pytest.raises(Throttled) as throttled:
        await make(http)
    assert throttled.value.retry_after_s == told
    assert count(notes) == 0


async def test_lose_response_does_it_and_sends_no_byte(notes: Notes, http: Http) -> None:
    notes.faults.add([Fault(fault="lose_response")])
    with pytest.raises(Unsure, match=r"RemoteProtocolError|ReadError"):
        await make(http)
    assert count(notes) == 1


async def test_late_commit_breaks_at_once_and_does_it_later(notes: Notes, http: Http) -> None:
    notes.faults.add([Fault(fault="late_commit", delay_s=0.2)])
    began = trio.current_time()
    with pytest.raises(Unsure):
        await make(http)
    assert trio.current_time() - began < 0.15
    assert count(notes) == 0
    await trio.sleep(0.3)
    assert count(notes) == 1


async def test_delay_waits_then_does_it(notes: Notes, http: Http) -> None:
    notes.faults.add([Fault(fault="delay", delay_s=0.2)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(make, http)
        await trio.sleep(0.1)
        assert count(notes) == 0
    assert count(notes) == 1


async def test_drip_does_it_and_answers_byte_by_byte(notes: Notes, http: Http) -> None:
    notes.faults.add([Fault(fault="drip", delay_s=0.01)])
    began = trio.current_time()
    reply = await make(http)
    assert reply.json()["text"] == "hello"
    assert trio.current_time() - began >= 0.01 * len(reply.body)
    assert count(notes) == 1


async def test_truncate_does_it_and_sends_half_the_answer(notes: Notes, http: Http) -> None:
    notes.faults.add([Fault(fault="truncate")])
    with pytest.raises(Unsure, match="RemoteProtocolError"):
        await make(http)
    assert count(notes) == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(None, b"", id="empty"),
        pytest.param("<html>", b"<html>", id="text as it is"),
        pytest.param({"id": 9}, b'{"id":9}', id="anything else as JSON"),
    ],
)
async def test_wrong_body_does_it_and_answers_200_with_another_body(
    notes: Notes, http: Http, body: object, said: bytes
) -> None:
    notes.faults.add([Fault(fault="wrong_body", body=body)])
    reply = await make(http)
    assert (reply.status, reply.body, count(notes)) == (200, said, 1)


@pytest.mark.parametrize(
    ("match", "fires"),
    [
        pytest.param(Match(), True, id="no condition"),
        pytest.param(Match(method="post"), True, id="the method, in any case"),
        pytest.param(Match(method="GET"), False, id="another method"),
        pytest.param(Match(path_prefix="/no"), True, id="the start of the path"),
        pytest.param(Match(path_prefix="/x"), False, id="another path"),
        pytest.param(Match(contains="hello"), True, id="part of the body"),
        pytest.param(Match(contains="bye"), False, id="what is not in the body"),
        pytest.param(Match(method="POST", contains="bye"), False, id="all conditions must fit"),
    ],
)
async def test_which_requests_a_fault_meets(notes: Notes, http: Http, match: Match, fires: bool) -> None:
    notes.faults.add([Fault(fault="status", status=418, match=match)])
    assert ((await make(http)).status == 418) is fires


async def test_a_fault_fires_so_often_after_so_many_it_let_pass(notes: Notes, http: Http) -> None:
    notes.faults.add([Fault(fault="status", status=418, times=2, skip=1)])
    assert [(await make(http)).status for _ in range(4)] == [201, 418, 418, 201]


async def test_faults_never_meet_the_control_paths(notes: Notes, http: Http) -> None:
    notes.faults.add([Fault(fault="status", times=99)])
    assert (await http.get("_sim/ledger")).ok


async def test_faults_are_planned_shown_and_cleared_over_http(notes: Notes, http: Http) -> None:
    planned = [{"match": {"method": "POST"}, "fault": "status", "status": 418, "times": 5}]
    assert (await http.post("_sim/faults", json=planned)).ok
    assert (await make(http)).status == 418
    (shown,) = (await http.get("_sim/faults")).json()
    assert (shown["fault"], shown["fired"], shown["times"]) == ("status", 1, 5)
    await http.request("DELETE", "_sim/faults")
    assert (await make(http)).status == 201


@pytest.mark.parametrize(
    "planned",
    [
        pytest.param([{"fault": "explode"}], id="a fault nobody knows"),
        pytest.param([{"fault": "status", "tims": 3}], id="a misspelt field"),
        pytest.param({"fault": "status"}, id="no list"),
    ],
)
async def test_a_plan_that_cannot_be_read_is_refused(notes: Notes, http: Http, planned: object) -> None:
    assert (await http.post("_sim/faults", json=planned)).status == 400
    assert notes.faults.faults == []


async def test_the_control_paths_tell_the_vocabulary(notes: Notes, http: Http) -> None:
    about = (await http.get("_sim")).json()
    assert about["plugin"] == "notes"
    assert about["acts"]["scribble"] == "A user makes a note."
    assert about["credentials"] == {"base_url": notes.base_url, "token": "t"}


@pytest.mark.parametrize(
    ("body", "status", "made"),
    [
        pytest.param({"act": "scribble", "text": "a"}, 200, 1, id="an act"),
        pytest.param({"act": "scribble_slowly", "text": "a"}, 200, 1, id="an async act"),
        pytest.param({"act": "burn"}, 409, 0, id="an act that is refused"),
        pytest.param({"act": "scribble"}, 409, 0, id="an act without its arguments"),
        pytest.param({"act": "dance"}, 400, 0, id="an act nobody knows"),
        pytest.param(["scribble"], 400, 0, id="no object"),
    ],
)
async def test_acts_over_http(notes: Notes, http: Http, body: object, status: int, made: int) -> None:
    reply = await http.post("_sim/do", json=body)
    assert (reply.status, count(notes)) == (status, made)
    assert status == 200 or reply.json()["error"]


async def test_the_ledger_shows_every_write_in_order(notes: Notes, http: Http) -> None:
    await make(http, "one")
    record = notes.ledger.get("note", "1")
    assert record is not None
    notes.ledger.update(record, {"text": "two"}, at=notes.now(), op="edit", body={"text": "two", "by": "x"})
    (shown,) = (await http.get("_sim/ledger")).json()["records"]
    assert (shown["kind"], shown["id"], shown["external_key"]) == ("note", "1", "crm:one")
    assert shown["fields"] == {"id": 1, "text": "two", "key": "crm:one"}
    writes = [(write["op"], write["body"].get("by")) for write in shown["writes"]]
    assert writes == [("create", None), ("edit", "x")]


async def test_the_ledger_counts_what_was_doubled(notes: Notes, http: Http) -> None:
    await make(http, "one")
    await make(http, "one")
    assert len(notes.ledger.by_external_key("note", "crm:one")) == 2
    notes.ledger.remove(notes.ledger.by_external_key("note", "crm:one")[0], at=notes.now())
    assert len(notes.ledger.by_external_key("note", "crm:one")) == 1


async def _files(folder: Path) -> AsyncIterator[trio.Path]:
    for path in await trio.Path(folder).iterdir():
        yield path


async def restarted(kept: Path) -> Notes:
    """A new simulator from a state file, served and stopped again."""
    simulator = Notes(seed=99)
    async with started(simulator, state_file=kept):
        return simulator


async def test_the_state_file_survives_a_restart(tmp_path: Path) -> None:
    kept = tmp_path / "state.json"
    first = Notes()
    async with started(first, state_file=kept), open_http(first.base_url) as http:
        await make(http, "written")
        await http.post("_sim/do", json={"act": "scribble", "text": "scribbled"})
        first.faults.add([Fault(fault="lose_response"), Fault(fault="late_commit", delay_s=0.05)])
        for text in ("lost", "late"):
            with pytest.raises(Unsure):
                await make(http, text)
        await trio.sleep(0.2)
    second = await restarted(kept)
    kept_texts = [record.fields["text"] for record in second.ledger.all()]
    assert kept_texts == ["written", "scribbled", "lost", "late"]
    assert msgspec.to_builtins(second.ledger.all()) == msgspec.to_builtins(first.ledger.all())
    assert second.next_id("note") == 5
    assert [path.name async for path in _files(tmp_path)] == ["state.json"]


async def test_reading_writes_no_state(tmp_path: Path) -> None:
    kept = tmp_path / "state.json"
    simulator = Notes()
    async with started(simulator, state_file=kept), open_http(simulator.base_url) as http:
        await http.get("notes")
    assert not kept.exists()


async def test_two_simulators_with_one_seed_draw_alike() -> None:
    assert Notes(seed=7).random.random() == Notes(seed=7).random.random() != Notes(seed=8).random.random()


async def test_a_stopped_simulator_listens_no_more(notes: Notes) -> None:
    other = Notes()
    async with started(other):
        url = other.base_url
        assert url.startswith("http://127.0.0.1:")
    async with open_http(url) as http:
        with pytest.raises(Retryable, match="no connection"):
            await http.get("notes")


async def test_a_connection_ends_with_its_client(notes: Notes) -> None:
    """The mutant is hypercorn's own: it keeps a connection without a request for five seconds."""
    port = int(notes.base_url.rpartition(":")[2])
    async with nothing_left_open(settle_s=2):
        async with await trio.open_tcp_stream("127.0.0.1", port):
            pass
        async with await trio.open_tcp_stream("127.0.0.1", port) as hasty:
            await hasty.send_all(b"GET /notes HTTP/1.1\r\nhost: x\r\n\r\n")


async def test_half_a_request_is_not_run(notes: Notes) -> None:
    """A client that goes away while it sends has asked for nothing yet."""
    host, _, port = notes.base_url.removeprefix("http://").partition(":")
    head = f"POST /notes HTTP/1.1\r\nhost: {host}\r\ncontent-length: 20\r\n\r\n"
    async with nothing_left_open(), await trio.open_tcp_stream(host, int(port)) as stream:
        await stream.send_all(head.encode() + b'{"text": "a"}')
        await trio.testing.wait_all_tasks_blocked(0.01)
    assert notes.ledger.all() == []


@pytest.mark.parametrize("fault", ["truncate", "lose_response", "late_commit"])
async def test_an_answer_without_a_body_can_be_lost_too(notes: Notes, http: Http, fault: Any) -> None:
    notes.faults.add([Fault(fault=fault, delay_s=0.0)])
    with pytest.raises(Unsure):
        await http.request("PUT", "notes", json={"text": "hello"})
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert count(notes) == 1


async def test_an_answer_without_a_body_drips_as_it_is(notes: Notes, http: Http) -> None:
    notes.faults.add([Fault(fault="drip", delay_s=0.01)])
    reply = await http.request("PUT", "notes", json={"text": "hello"})
    assert (reply.status, reply.body, count(notes)) == (204, b"", 1)
