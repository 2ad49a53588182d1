"""Numbered batches that never change again, for peers that take files one after the other."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from isthmus.store.face import Tx


class Batch(msgspec.Struct, frozen=True):
    """One frozen batch of a sequence."""

    sequence: str
    seq: int
    payload: bytes


def freeze(
    tx: Tx,
    instance: str,
    sequence: str,
    keys: Sequence[str],
    payload: Callable[[int], bytes],
    now: datetime,
) -> Batch:
    """Allot the next number and keep the bytes under it, in this transaction: no gap, no second batch.

    Raises:
        ValueError: a key is in another batch already.
    """
    if taken := frozen(tx, instance, keys):
        raise ValueError(f"frozen already: {', '.join(sorted(taken))}")
    row = tx.one("batch_last", instance=instance, sequence=sequence)
    seq = 1 if row is None else int(row[0]) + 1
    content = payload(seq)
    tx.run("batch_add", instance=instance, sequence=sequence, seq=seq, payload=content, now=now)
    tx.many(
        "batch_key_add",
        [{"instance": instance, "key": key, "sequence": sequence, "seq": seq} for key in keys],
    )
    return Batch(sequence, seq, content)


def frozen(tx: Tx, instance: str, keys: Sequence[str]) -> dict[str, Batch]:
    """The batches some keys are in; keys never frozen are left out."""
    found: dict[str, Batch] = {}
    batches: dict[tuple[str, int], Batch] = {}
    for key, sequence, seq in tx.all("batch_keys", instance=instance, keys=json.dumps(list(keys))):
        if (sequence, seq) not in batches:
            held = batch(tx, instance, sequence, seq)
            assert held is not None, "a frozen key names a batch that is not there"
            batches[sequence, seq] = held
        found[key] = batches[sequence, seq]
    return found


def batch(tx: Tx, instance: str, sequence: str, seq: int) -> Batch | None:
    """One batch by its number."""
    row = tx.one("batch_get", instance=instance, sequence=sequence, seq=seq)
    return None if row is None else Batch(sequence, seq, bytes(row[0]))


def last(tx: Tx, instance: str, sequence: str) -> Batch | None:
    """The newest batch of a sequence."""
    row = tx.one("batch_last", instance=instance, sequence=sequence)
    return None if row is None else batch(tx, instance, sequence, int(row[0]))
