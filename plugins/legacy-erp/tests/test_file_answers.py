"""Response files: what the connector makes of one that is not as it should be."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from isthmus.sdk import Opened
from isthmus_legacy_erp.simulator.files import Files


async def post(bench: Any, opened: Opened, *charges: Any) -> Any:
    await bench.send(opened, *charges)
    bench.sim.run_jobs()
    return await bench.pull(opened, "responses")


def alter_answers(monkeypatch: pytest.MonkeyPatch, alter: Callable[[Any], Any]) -> None:
    """Let the ERP answer something else than it did; the totals of its file fit what it says."""
    original: Callable[..., str] = Files.answer

    def altered(self: Files, *args: Any, **options: Any) -> str:
        alter(args[3])
        return original(self, *args, **options)

    monkeypatch.setattr(Files, "answer", altered)


async def test_a_charge_that_stands_in_the_erp_with_another_amount_is_no_success(
    bench: Any, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.send(opened, bench.charge(1), bench.charge(2))
    alter_answers(monkeypatch, lambda lines: lines[0][1].update({"AMOUNT": Decimal("301.00")}))
    bench.sim.run_jobs()
    page = await bench.pull(opened, "responses")
    assert [event.charge for event in page.events] == ["billing/charge/2"]
    assert "D0000001 with amount 301.00, 300.00 was sent (duplicate)" in page.refused[0].reason


async def test_a_response_with_a_wrong_total_is_refused_and_comes_again(bench: Any, opened: Opened) -> None:
    bench.sim.break_next("wrong_total")
    page = await post(bench, opened, bench.charge())
    assert page.events == []
    assert "the trailer says count 2, the details make 1" in page.refused[0].reason
    await bench.pull(opened, "responses")
    bench.sim.run_jobs()
    assert len((await bench.pull(opened, "responses")).events) == 1


@pytest.mark.parametrize(
    ("alter", "words"),
    [
        pytest.param(lambda lines: lines.pop(), "has no line for it", id="a line without an answer"),
        pytest.param(
            lambda lines: lines[1][1].update({"EXT-REF": "billing/charge/9"}),
            "answers 'billing/charge/9', which was not sent there",
            id="an answer to something else",
        ),
        pytest.param(
            lambda lines: lines[1][1].update({"ERP-NO": ""}), "was not posted", id="posted without a number"
        ),
    ],
)
async def test_an_answer_that_does_not_fit_what_was_sent_is_reported(
    bench: Any, opened: Opened, monkeypatch: pytest.MonkeyPatch, alter: Callable[[Any], Any], words: str
) -> None:
    alter_answers(monkeypatch, alter)
    page = await post(bench, opened, bench.charge(1), bench.charge(2))
    assert [event.charge for event in page.events] == ["billing/charge/1"]
    assert len(page.refused) == 1 and words in page.refused[0].reason


async def test_a_response_to_a_batch_that_was_never_sent_is_reported(bench: Any, opened: Opened) -> None:
    bench.sim._files().answer(
        "charges-response", 1, bench.now(), [], extra={"ANSWERS": "charges-ACME-1", "BATCH-STATUS": "POSTED"}
    )
    bench.sim.run_jobs()
    page = await bench.pull(opened, "responses")
    assert "answers a batch that was never sent" in page.refused[0].reason
