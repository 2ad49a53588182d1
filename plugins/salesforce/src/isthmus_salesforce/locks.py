"""Writes that touch one parent, one at a time.

Salesforce locks the parent of what it writes and gives up with ``UNABLE_TO_LOCK_ROW`` when another call has
it. Those calls are our own as a rule, so they wait for each other here.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

import trio


class OneByOne:
    """A lock per parent, kept while somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, trio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def on(self, parents: Iterable[str | None]) -> AsyncIterator[None]:
        """Hold these parents, taken in one order by everybody, so that no two wait for each other."""
        named = sorted({parent for parent in parents if parent is not None})
        locks = [self._locks.setdefault(parent, trio.Lock()) for parent in named]
        async with AsyncExitStack() as stack:
            for lock in locks:
                await stack.enter_async_context(lock)
            yield
