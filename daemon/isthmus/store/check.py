"""Whether the file is sound, as `db check` asks: SQLite's own look, and that nothing refers to nothing."""

from isthmus.store.face import Tx


def problems(tx: Tx, *, full: bool = False) -> list[str]:
    """What is wrong, in SQLite's words; empty when nothing is. Reads the whole file.

    Args:
        full: Compare every index with its table as well; several times slower.
    """
    told = [str(row[0]) for row in tx.all("check_full" if full else "check_quick")]
    found = [] if told == ["ok"] else told
    for table, row, parent, _ in tx.all("check_references"):
        found.append(f"{table}: row {row} refers to a missing row of {parent}")
    return found
