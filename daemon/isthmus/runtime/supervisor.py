"""Keeps an actor running: a failure ends here, its neighbours never notice.

Restart intensity follows Erlang/OTP's supervisor: more than ``restarts`` failures within ``window_s`` and
the actor is parked until a person resumes it.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec
import trio

from isthmus.runtime.backoff import delay_s
from isthmus.sdk.errors import ConnectorError, Fatal, Retryable, Throttled
from isthmus.sdk.scrub import scrub

log = logging.getLogger(__name__)

__all__ = ["Intensity", "Parking", "supervise"]

PEER_FIRST_S, PEER_MAX_S = 2.0, 300.0
"""The waits of an actor whose peer is down."""


class Intensity(msgspec.Struct, frozen=True, kw_only=True):
    """How often an actor may fail before it is parked."""

    restarts: int = 5
    window_s: float = 60.0
    first_s: float = 0.2
    max_s: float = 15.0


class Parking:
    """Where actors stand until a person acts; `runtime` knows nothing of where that is kept.

    Subclass to write it down: ``park`` is called once when an actor parks, ``wait_resumed`` returns when
    it may run again.
    """

    async def park(self, actor: str, reason: str) -> None:
        """Remember that ``actor`` stands still, and why."""

    async def wait_resumed(self, actor: str) -> None:
        """Return when a person said that ``actor`` may go on."""
        await trio.sleep_forever()


async def supervise(
    actor: str,
    run: Callable[[], Awaitable[object]],
    *,
    parking: Parking,
    fatal: tuple[type[BaseException], ...] = (),
    intensity: Intensity | None = None,
    on_restart: Callable[[str], None] = lambda actor: None,
) -> None:
    """Run ``run`` again and again until cancelled.

    `isthmus.sdk.Fatal` parks at once. Any exception of a type in ``fatal`` (the store's) is not ours to
    survive and passes through. Everything else is reported, waited out and started again; too much of it
    parks, but a peer that is down or asks for less (`Retryable`, `Throttled`) never does: no person could
    mend it here.
    """
    intensity = intensity or Intensity()
    failures: deque[float] = deque()
    peer_failures = 0
    while True:
        began = trio.current_time()
        try:
            await run()
        except Exception as error:
            if _holds(error, fatal):
                raise
            reason = _park_reason(error)
            if reason is None:
                on_restart(actor)
                _report(actor, error)
                now = trio.current_time()
                if _only(error, (Retryable, Throttled)):
                    peer_failures = 1 if now - began > intensity.window_s else peer_failures + 1
                    await trio.sleep(delay_s(peer_failures, PEER_FIRST_S, PEER_MAX_S))
                    continue
                failures.append(now)
                while failures and failures[0] < now - intensity.window_s:
                    failures.popleft()
                if len(failures) <= intensity.restarts:
                    await trio.sleep(delay_s(len(failures), intensity.first_s, intensity.max_s))
                    continue
                reason = scrub(f"failed {len(failures)} times in {intensity.window_s:g} s: {error!r}")
        except BaseExceptionGroup as group:
            # Cancelled, and something broke on the way out: the cancellation is what our caller waits for.
            cancelled, rest = group.split(trio.Cancelled)
            if cancelled is None or not isinstance(rest, ExceptionGroup) or _holds(rest, fatal):
                raise
            _report(actor, rest)
            raise cancelled from None
        else:
            return
        log.error("actor.parked", extra={"actor": actor, "reason": reason})
        await parking.park(actor, reason)
        await parking.wait_resumed(actor)
        log.warning("actor.resumed", extra={"actor": actor})
        failures.clear()
        peer_failures = 0


def _only(error: BaseException, wanted: tuple[type[BaseException], ...]) -> bool:
    """Whether an exception is, or a group holds nothing but, these types."""
    if isinstance(error, BaseExceptionGroup):
        return all(_only(each, wanted) for each in error.exceptions)
    return isinstance(error, wanted)


def _holds(error: BaseException, wanted: tuple[type[BaseException], ...]) -> bool:
    """Whether an exception is, or a group holds, one of these types."""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(wanted) is not None if wanted else False
    return isinstance(error, wanted)


def _park_reason(error: Exception) -> str | None:
    """The words of a `Fatal`, also inside groups, since an inner nursery always raises one."""
    if isinstance(error, ExceptionGroup):
        found, _ = error.split(Fatal)
        while isinstance(found, ExceptionGroup):
            found = found.exceptions[0]  # type: ignore[assignment]
        return None if found is None else str(found)
    return str(error) if isinstance(error, Fatal) else None


def _report(actor: str, error: Exception) -> None:
    """A peer's trouble is one line; our bug comes with its traceback."""
    if _only(error, (ConnectorError,)):
        log.warning("actor.failed", extra={"actor": actor, "reason": str(error)})
    else:
        log.error("actor.failed", extra={"actor": actor, "reason": repr(error)}, exc_info=error)
