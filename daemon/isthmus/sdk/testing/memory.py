"""How much memory reading takes at most, so that a test can compare a small peer with a large one."""

import tracemalloc

from isthmus.sdk.connector import Source

__all__ = ["peak_of_reading"]


async def peak_of_reading(source: Source, stream: str) -> tuple[int, int]:
    """Read a stream from its start, dropping each page, as the daemon does once it has recorded it.

    Compare two peers of different size: the peak must be that of a page, not that of the history. A fake
    peer must run in a process of its own, or its records are counted too.

    Returns:
        How many facts and refusals there were, and the most bytes that were held at once meanwhile.
    """
    read = 0
    cursor: bytes | None = None
    tracemalloc.start()
    try:
        start, _ = tracemalloc.get_traced_memory()
        while True:
            page = await source.pull(stream, cursor)
            read += len(page.events) + len(page.refused)
            cursor, more = page.next, page.more
            del page
            if not more:
                break
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return read, peak - start
