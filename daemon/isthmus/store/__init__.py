"""The one file everything meets in: what happened, how far each lane is, what waits, what was proved.

Import from the submodules: `isthmus.store.open` to get a store, `isthmus.store.face` for its type, and the
module of a table (`log`, `lanes`, `deliveries` ...) for the functions a unit of work calls. Only `_bridge`
speaks to SQLite.
"""
