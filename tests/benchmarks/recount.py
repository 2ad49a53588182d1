"""How long a daemon counts unbilled work anew at its start, over a log as `history` leaves it.

Nothing there was billed, so every entry is kept in memory: the slowest log of its size.
"""

import argparse
import json
import time
from pathlib import Path

import trio

from isthmus.ops.unbilled import UnbilledLedger, read_page
from isthmus.store import log
from isthmus.store.open import open_store
from tests.benchmarks.outbox import rss_mb


async def recount(state_dir: Path) -> dict[str, float]:
    """Count page by page until the figures are whole, as a starting daemon does."""
    ledger = UnbilledLedger()
    async with open_store(state_dir) as store:
        events = await store.read(log.head)
        began = time.perf_counter()
        while ledger.upto < events:
            ledger.apply(await store.read(lambda tx: read_page(tx, ledger)))
        elapsed = time.perf_counter() - began
    return {"events": events, "recount_s": elapsed, "rss_mb": rss_mb()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state_dir", type=Path)
    print(json.dumps(trio.run(recount, parser.parse_args().state_dir)))


if __name__ == "__main__":
    main()
