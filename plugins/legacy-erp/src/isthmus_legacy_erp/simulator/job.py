"""The posting job: takes batches in order of their numbers, guards against doubles, posts, answers."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from isthmus_legacy_erp.simulator.copybook import Record
from isthmus_legacy_erp.simulator.files import Batch, Files, Refused
from isthmus_legacy_erp.simulator.posting import Books, LineRefused

INTERFACES = ("customers", "projects", "charges")
BREAKS = (
    "reject_line",
    "refuse_batch",
    "wrong_total",
    "delay",
    "repeat_file",
    "stop_after_claim",
    "late_commit",
)
DELAY_S = 1.0


class PlannedFaults:
    """What is to go wrong next, kept in the simulator's memory."""

    def __init__(self, memory: dict[str, Any]) -> None:
        self._breaks: list[list[str]] = memory["breaks"]

    def plan(self, kind: str, code: str, times: int) -> None:
        self._breaks.extend([kind, code] for _ in range(times))

    def take(self, kind: str) -> str | None:
        """The code of the next fault of that kind, which is spent by this; None without one."""
        for at, (planned, code) in enumerate(self._breaks):
            if planned == kind:
                del self._breaks[at]
                return code
        return None


class PostingJob:
    """One run of the job; ``result`` counts what it did."""

    def __init__(
        self,
        files: Files,
        books: Books,
        memory: dict[str, Any],
        faults: PlannedFaults,
        now: Callable[[], datetime],
    ) -> None:
        self._files = files
        self._books = books
        self._memory = memory
        self._faults = faults
        self._now = now
        self.result = {"batches": 0, "posted": 0, "refused": 0}

    def take(self, interface: str, name: str) -> bool:
        """Take one batch if it is its turn; whether anything happened.

        Doubles are guarded three times: by number and bytes, by batch id, and by the reference of each line.
        """
        seq, last = int(name.split("_")[2]), self._memory["last"][interface]
        if seq > last + 1:
            return False
        if seq <= last:
            if self._memory["shas"].get(f"{interface} {seq}") == self._files.digest(name):
                self._files.acknowledge(name)
            else:
                self._files.refuse(name, f"NUMBER {seq} WAS USED BY ANOTHER BATCH")
            return True
        if self._faults.take("refuse_batch"):
            self._files.refuse(name, "BATCH REFUSED BY OPERATOR")
            return True
        try:
            batch = self._files.check(name)
        except Refused as error:
            self._files.refuse(name, str(error))
            return True
        if batch.batch_id in self._memory["batch_ids"]:
            self._files.refuse(name, f"BATCH {batch.batch_id} WAS PROCESSED BEFORE")
            return True
        self._memory["last"][interface] = seq
        self._memory["shas"][f"{interface} {seq}"] = batch.sha256
        self._memory["batch_ids"][batch.batch_id] = name
        self.result["batches"] += 1
        self._files.acknowledge(name)
        self._answer(batch, [self._post(batch.interface, line) for line in batch.lines])
        return True

    def _post(self, interface: str, line: Record) -> Record:
        """Post one line; the line of the response."""
        now = self._now()
        answer: Record = {"EXT-REF": line["EXT-REF"], "LINE-STATUS": "REJECTED"}
        if "AMOUNT" in line:
            answer["AMOUNT"] = line["AMOUNT"]
        if code := self._faults.take("reject_line"):
            self.result["refused"] += 1
            return {**answer, "ERR-CODE": code, "ERR-TEXT": "LINE REFUSED BY OPERATOR"}
        try:
            number, remark = self._books.post(interface, line, now)
        except LineRefused as error:
            self.result["refused"] += 1
            return {**answer, "ERR-CODE": error.code, "ERR-TEXT": error.words}
        self.result["posted"] += 1
        posted: Record = {"LINE-STATUS": "POSTED", "ERP-NO": number, "POSTED-ON": f"{now:%Y%m%d}"}
        return {**answer, **posted, "ERR-TEXT": remark}

    def _answer(self, batch: Batch, answers: list[Record]) -> None:
        refused = sum(answer["LINE-STATUS"] == "REJECTED" for answer in answers)
        status = "POSTED" if refused == 0 else "REJECTED" if refused == len(answers) else "PARTIAL"
        now = self._now()
        name = self._files.answer(
            f"{batch.interface}-response",
            batch.seq,
            now,
            [("D", answer) for answer in answers],
            extra={"ANSWERS": batch.batch_id, "BATCH-STATUS": status},
            wrong_total=self._faults.take("wrong_total") is not None,
            due_s=now.timestamp() + DELAY_S if self._faults.take("delay") else 0.0,
        )
        if self._faults.take("repeat_file"):
            self._files.repeat(name)
