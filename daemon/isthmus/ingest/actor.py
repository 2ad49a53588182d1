"""Reads one stream of one source, page by page, for as long as the daemon lives."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NoReturn

import trio

from isthmus.ingest.record import Recorded, record
from isthmus.runtime.backoff import delay_s
from isthmus.runtime.doorbell import Doorbell
from isthmus.sdk.connector import Page, Source
from isthmus.sdk.errors import Fatal, Retryable, Throttled
from isthmus.store import cursors
from isthmus.store.errors import StoreFull
from isthmus.store.face import Store

__all__ = ["Watch", "read_stream"]

FULL_PAUSE_S = 5.0
"""After a full disk."""
RECHECK_S = 5.0
"""How soon a stream that may not be read looks whether it may."""


class Watch:
    """What an intake tells whoever looks on; the default looks away."""

    def pulled(self, stream: str, page: Page, recorded: Recorded) -> None:
        """A page was recorded."""

    def failed(self, stream: str, error: Exception) -> None:
        """A pull did not give a page."""


class _Circle:
    """Notices a source that leads in a circle: page after page, and never an end.

    After Brent: one cursor is remembered and exchanged after 1, 2, 4, 8 ... pages, so a circle of any
    length is found within three times its length, and an honest backfill of any length costs nothing.
    """

    def __init__(self) -> None:
        self._seen: bytes | None = None
        self._pages, self._limit = 0, 1

    def closed_by(self, cursor: bytes) -> bool:
        """Whether a page with more to come leads to where we have been."""
        if cursor == self._seen:
            return True
        self._pages += 1
        if self._pages == self._limit:
            self._seen, self._pages, self._limit = cursor, 0, self._limit * 2
        return False


async def read_stream(
    source: Source,
    stream: str,
    *,
    instance: str,
    store: Store,
    bell: Doorbell,
    poll_s: float,
    now: Callable[[], datetime],
    announce: Callable[[], None],
    may_read: Callable[[], bool] = lambda: True,
    rest: Callable[[float], None] = lambda seconds: None,
    watch: Watch | None = None,
    pull_timeout_s: float = 120.0,
    lanes: Sequence[str] = (),
) -> NoReturn:
    """Pull ``stream`` every ``poll_s`` seconds, or when ``bell`` rings, until cancelled.

    The cursor moves only with the page it belongs to. A pull is cancelled freely: what was not recorded
    is pulled again.

    Args:
        announce: Called after new facts are in the log.
        may_read: False while a lane is past its quota or an admin paused the connector.
        rest: Tells the lanes of the same connector how many seconds the peer asked for.
        lanes: The lanes of the same connector: a link that is read may be what their deliveries wait for.

    Raises:
        Fatal: reading can never succeed; the supervisor parks the actor.
    """
    watch = watch or Watch()
    failures = 0
    circle = _Circle()
    while True:
        pause = min(poll_s, RECHECK_S)
        if may_read():
            pause = poll_s
            # Asked each time: a person may have sent it back.
            cursor = await store.read(lambda tx: cursors.get(tx, instance, stream))
            try:
                with trio.fail_after(pull_timeout_s):
                    page = await source.pull(stream, cursor)
                with trio.CancelScope(shield=True):
                    recorded = await record(
                        store, instance, stream, page, now(), begun_at=cursor, lanes=lanes
                    )
            except cursors.Moved:
                pause = 0.0
            except Throttled as error:
                watch.failed(stream, error)
                pause = poll_s if error.retry_after_s is None else error.retry_after_s
                rest(pause)
            except Fatal:
                raise
            except (Retryable, trio.TooSlowError) as error:
                failures += 1
                watch.failed(stream, error)
                pause = delay_s(failures, min(poll_s, 1.0), 300.0)
            except StoreFull as error:
                watch.failed(stream, error)
                pause = FULL_PAUSE_S
            else:
                failures = 0
                watch.pulled(stream, page, recorded)
                if recorded.new or recorded.woken:
                    announce()
                if not page.more:
                    circle = _Circle()
                elif circle.closed_by(page.next):
                    circle = _Circle()
                    watch.failed(
                        stream, Retryable("the source leads in a circle of pages; the poll ends here")
                    )
                else:
                    pause = 0.0
        await bell.wait(pause)
