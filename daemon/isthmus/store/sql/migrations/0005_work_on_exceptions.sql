-- Who works on an exception, what people noted, and what waits for a second person.
ALTER TABLE dead_letters ADD COLUMN assigned_to TEXT NOT NULL DEFAULT '';

CREATE TABLE exception_notes (
  note INTEGER PRIMARY KEY,
  exception INTEGER NOT NULL REFERENCES dead_letters (id),
  at TEXT NOT NULL,
  by TEXT NOT NULL,
  text TEXT NOT NULL
) STRICT;
CREATE INDEX exception_notes_by_exception ON exception_notes (exception);
CREATE TRIGGER exception_notes_are_not_rewritten BEFORE UPDATE ON exception_notes
BEGIN SELECT RAISE(ABORT, 'a note is kept as it was written'); END;
CREATE TRIGGER exception_notes_are_not_deleted BEFORE DELETE ON exception_notes
BEGIN SELECT RAISE(ABORT, 'a note is kept for good'); END;

CREATE TABLE proposals (
  exception INTEGER PRIMARY KEY REFERENCES dead_letters (id),
  act TEXT NOT NULL CHECK (act IN ('skip', 'resolve', 'edit')),
  detail TEXT NOT NULL,
  at TEXT NOT NULL,
  by TEXT NOT NULL,
  reason TEXT NOT NULL
) STRICT;

-- What a lane sends in place of a fact; the fact itself stays in the log as it was told.
CREATE TABLE edits (
  lane TEXT NOT NULL,
  seq INTEGER NOT NULL REFERENCES log (seq),
  payload TEXT NOT NULL,
  at TEXT NOT NULL,
  by TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (lane, seq)
) STRICT, WITHOUT ROWID;
