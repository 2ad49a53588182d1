"""A million settled events: the file a firm has after some years, made with the store's own statements."""

import argparse
import json
import time
from functools import partial
from pathlib import Path

import trio

from isthmus.store import lanes, log, receipts
from isthmus.store.face import Tx
from isthmus.store.open import open_store
from tests.benchmarks.given import AT, HISTORY, HISTORY_FROM, LANE, approval

AT_ONCE = 20_000


def settle(tx: Tx, first: int, count: int) -> None:
    """Log and receipt ``count`` entries of one revision each, none of them among those of the measurement."""
    kept = log.append(tx, [approval(number, 1) for number in range(first, first + count)], AT)
    assert len(kept.new) == count
    receipts.add_many(tx, LANE, ((seq, f"r{seq}", "") for seq in kept.new), AT)
    lanes.advance(tx, LANE, kept.new[-1])


async def build(state_dir: Path, count: int = HISTORY) -> float:
    """Fill the store of ``state_dir`` and close it; the seconds that took."""
    began = time.perf_counter()
    async with open_store(state_dir) as store:
        for done in range(0, count, AT_ONCE):
            await store.write(partial(settle, first=HISTORY_FROM + done, count=min(AT_ONCE, count - done)))
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state_dir", type=Path)
    state_dir = parser.parse_args().state_dir
    print(json.dumps({"built_s": trio.run(build, state_dir)}))


if __name__ == "__main__":
    main()
