"""What the store can say no with.

StoreError
├── StoreLocked           another process holds the state directory
├── SchemaTooNew          a newer isthmus wrote this file
├── StoreRewound          the file is older than what this machine has already seen
├── StoreFailed           the disk or the file is not to be trusted; end the process
│   ├── StoreDamaged      SQLite found damage
│   └── LeaseLost         another process has taken over
├── StoreFull             no space; nothing was written, try again when there is
├── StoreBusy             a foreign program holds the database
├── StoreClosed           the store was left already
├── ReadOnly              a read tried to write
├── ReadTooLong           a read was ended, so that it does not hold up the log's tidying
├── ConstraintBroken      a row was refused by the schema; the message names the rule
└── CrosswalkConflict     two keys claim the same record
"""

from pathlib import Path


class StoreError(Exception):
    """Base of everything the store raises on purpose."""


class StoreLocked(StoreError):
    """Another process holds the state directory. Stop that one first; exit code 75."""

    def __init__(self, lock: Path, holder: str) -> None:
        super().__init__(f"{lock} is held by {holder}; only one daemon may work on a state directory")
        self.holder = holder


class SchemaTooNew(StoreError):
    """A newer isthmus wrote this file. Install that version, or restore the backup it made before."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"the database has schema {found}, this isthmus knows {known}; install the newer one"
        )
        self.found = found
        self.known = known


class StoreRewound(StoreError):
    """The file is older than what this machine has seen: a backup was put back. Exit code 65.

    Accept it only through the restore command: lanes must ask the other side before they send.
    """


class StoreFailed(StoreError):
    """The disk or the file can no longer be trusted. End the process at once and let it start anew.

    Nothing is acknowledged after this. Going on after a failed fsync is what ruins databases.
    """


class StoreDamaged(StoreFailed):
    """SQLite found damage in the file. Keep the file, restore a backup; exit code 65."""


class LeaseLost(StoreFailed):
    """Another process has taken over this store. End this one."""


class StoreFull(StoreError):
    """No space left on the disk. The unit did nothing; later writes work again once there is space."""


class StoreBusy(StoreError):
    """A foreign program (a ``sqlite3`` shell, say) holds the database locked. Close it."""


class StoreClosed(StoreError):
    """The store was left already; whoever still writes has outlived it."""


class ReadOnly(StoreError):
    """A unit given to `read` tried to write. Our bug: it belongs into `write`."""


class ReadTooLong(StoreError):
    """A read was ended by us, since an open read keeps the write-ahead log from shrinking. Read in pages."""


class ConstraintBroken(StoreError):
    """A row was refused by the schema: a key taken, a reference to nothing, a wrong word. Likely our bug."""


class CrosswalkConflict(StoreError):
    """A key is linked to another record already, or the record to another key. A person must decide."""
