"""Run units inside transactions on one connection: together while all goes well, one by one when one fails.

SQLite itself is spoken to in `_bridge` alone; here a connection is whatever has `execute`.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import trio

from isthmus.store.errors import StoreBusy, StoreFailed
from isthmus.store.face import Tx

T = TypeVar("T")


class Job(Generic[T]):
    """A unit that waits for its transaction, and then its result."""

    __slots__ = ("_claimed", "_error", "_settled", "_value", "abandoned", "limit_s", "task", "unit")

    def __init__(self, unit: Callable[[Tx], T], limit_s: float = 0.0) -> None:
        self.unit = unit
        self.limit_s = limit_s
        self.task: trio.lowlevel.Task | None = None
        self.abandoned = False
        self._claimed = threading.Lock()
        self._error: BaseException | None = None
        self._value: T | None = None
        self._settled = False

    def claim(self) -> bool:
        """True for the first who asks: the thread, to run it, or the caller, to take it back."""
        return self._claimed.acquire(blocking=False)

    def succeed(self, value: T) -> None:
        self._value, self._settled = value, True

    def fail(self, error: BaseException) -> None:
        """Say why there is no result; a job that has its outcome keeps it."""
        if not self._settled:
            self._error, self._settled = error, True

    def result(self) -> T:
        """What the unit returned.

        Raises:
            Exception: what the unit raised, or why its transaction failed.
        """
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # an exception that holds its own traceback would never be freed
        assert self._settled
        return self._value  # type: ignore[return-value]


class Transacts(Protocol):
    """As much of a connection as a transaction takes; it raises `StoreError` and nothing of SQLite's."""

    def begin(self, kind: str) -> Tx: ...

    def commit_all(self) -> None: ...

    def roll_back(self) -> None: ...


def transact(
    connection: Transacts, units: Sequence[Callable[[Tx], Any]], check: Callable[[Tx], None]
) -> list[Any]:
    """All units in one write transaction, or none of them.

    Args:
        check: Runs first; raises when this process may not write.

    Raises:
        Exception: whatever the first failing unit raised; everything was rolled back.
    """
    tx = connection.begin("IMMEDIATE")
    try:
        check(tx)
        results = [unit(tx) for unit in units]
        connection.commit_all()
    except BaseException:
        connection.roll_back()
        raise
    return results


def run_group(connection: Transacts, jobs: Sequence[Job[Any]], check: Callable[[Tx], None]) -> None:
    """Give every job its result or its error.

    Raises:
        StoreFailed: the store cannot go on; the jobs have been told too.
    """
    try:
        for job, value in zip(jobs, transact(connection, [job.unit for job in jobs], check), strict=True):
            job.succeed(value)
    except StoreFailed as failure:
        fail_all(jobs, failure)
        raise
    except StoreBusy as busy:  # waiting once is enough
        fail_all(jobs, busy)
    except BaseException as error:  # noqa: BLE001 - the caller is told, whatever it was
        if len(jobs) == 1:
            jobs[0].fail(error)
            return
        for position, job in enumerate(jobs):
            try:
                run_group(connection, [job], check)
            except StoreFailed as failure:
                fail_all(jobs[position + 1 :], failure)
                raise


def fail_all(jobs: Sequence[Job[Any]], failure: Exception) -> None:
    """Tell each job; each gets an exception of its own, since each caller adds its own traceback."""
    for job in jobs:
        job.fail(type(failure)(str(failure)))
