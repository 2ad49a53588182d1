"""The loader dies at each statement and each commit; afterwards there is one batch, whole, posted once."""

from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, Engine, RootTransaction, event, insert, update

from isthmus.sdk import ConnectorError
from isthmus_legacy_erp.outbox import FrozenBatch
from isthmus_legacy_erp.staging.carrier import Loaded, SqlCarrier
from isthmus_legacy_erp.staging.database import Steps


class Killed(Exception):
    """The process is gone; nothing after this happened."""


class DyingSteps(Steps):
    """Dies before its ``at``-th statement or commit, or right after it."""

    def __init__(self, at: int, *, after: bool) -> None:
        self._left = at
        self._after = after
        self.steps: list[str] = []

    def connect(self, engine: Engine) -> Connection:
        connection = super().connect(engine)
        when = "after_cursor_execute" if self._after else "before_cursor_execute"
        event.listen(connection, when, lambda *args: self._step(args[2]))
        return connection

    def commit(self, transaction: RootTransaction) -> None:
        if not self._after:
            self._step("COMMIT")
        super().commit(transaction)
        if self._after:
            self._step("COMMIT")

    def _step(self, statement: str) -> None:
        self.steps.append(statement.split(None, 1)[0])
        self._left -= 1
        if self._left == 0:
            raise Killed(statement)


async def killed_and_recovered(bench: Any, at: int, after: bool) -> tuple[bool, list[str]]:
    """Die at a step, come back, deliver again: whether it died, and what is wrong, in words."""
    bench.know()
    charges = [bench.charge(1), bench.charge(2)]
    ordinary, bench.steps = bench.steps, DyingSteps(at, after=after)
    died = False
    try:
        async with bench.open() as opened:
            await bench.send(opened, *charges)
    except Killed:
        died = True
    wrong: list[str] = []
    torn = bench.rows(
        "SELECT batch_id FROM isth_batch AS b WHERE status <> 'READY' OR rec_count <>"
        " (SELECT count(*) FROM isth_line AS l WHERE l.batch_id = b.batch_id)"
    )
    if torn:
        wrong.append("the ERP sees half a batch")
    bench.steps = ordinary
    async with bench.open() as opened:
        await bench.pull(opened, "responses")
        outcomes = await bench.send(opened, *charges)
        if [outcome.remote_id for outcome in outcomes] != [
            "charges-ACME-00000001#1",
            "charges-ACME-00000001#2",
        ]:
            wrong.append(f"the receipts are {outcomes}")
    if (lines := len(bench.rows("SELECT 1 FROM isth_line"))) != 2:
        wrong.append(f"there are {lines} lines")
    bench.sim.memory["refs"]["project"] = {}
    if bench.sim.run_jobs()["batches"] != 1:
        wrong.append("the ERP does not take it")
    return died, wrong


@pytest.mark.parametrize("after", [pytest.param(False, id="before"), pytest.param(True, id="after")])
async def test_killed_at_any_step_there_is_one_batch_and_it_is_whole(
    bench: Any, tmp_path: Path, after: bool
) -> None:
    for at in count(1):
        fresh = type(bench)(tmp_path / f"killed {at}", interface="sql")
        died, wrong = await killed_and_recovered(fresh, at, after)
        assert wrong == [], f"killed at step {at}"
        if not died:
            break
    assert at > 15, "the steps were counted"


async def test_a_loader_with_two_transactions_would_be_found_out(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: the batch first, its lines after that."""

    def load(self: SqlCarrier, batch: FrozenBatch) -> None:
        loaded = msgspec.json.decode(batch.data(), type=Loaded)
        head, line = self._tables.batch, self._tables.line
        about = {"batch_id": batch.file.batch_id, "iface": batch.file.interface, "company": "ACME"}
        rest = {
            "seq": batch.file.seq,
            "sha256": batch.sha256,
            "currency": "EUR",
            "created_at": loaded.created,
        }
        sums = {"rec_count": 2, "tot_hours": 4, "tot_amount": 600, "hash_total": batch.totals.hash_total}
        rows = [{**about, **msgspec.structs.asdict(each), "status": "NEW"} for each in loaded.rows]
        self._database.write(
            "batch", lambda c: c.execute(insert(head), {**about, **rest, **sums, "status": "LOADING"})
        )
        self._database.write("ready", lambda c: c.execute(update(head).values(status="READY")))
        self._database.write("lines", lambda c: c.execute(insert(line), rows))

    monkeypatch.setattr(SqlCarrier, "_load", load)
    for at in range(1, 30):
        fresh = type(bench)(tmp_path / f"killed {at}", interface="sql")
        try:
            _, wrong = await killed_and_recovered(fresh, at, False)
        except ConnectorError as error:
            wrong = [str(error)]
        if wrong:
            return
    pytest.fail("the mutant was not found out")
