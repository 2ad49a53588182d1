-- Digests of what is kept for good, row by row, each page of them covered by an act of the audit chain.
-- `book` is "(log)", or the lane whose receipts they are; the page covers `after` < seq <= `upto`, or, where the two
-- are equal, receipts that came when their place was sealed already.
CREATE TABLE seals (
  act INTEGER PRIMARY KEY REFERENCES audit (seq),
  book TEXT NOT NULL,
  after INTEGER NOT NULL,
  upto INTEGER NOT NULL,
  seqs BLOB NOT NULL,
  digests BLOB NOT NULL
) STRICT;
CREATE INDEX seals_by_book ON seals (book, upto);
CREATE TRIGGER seals_are_not_rewritten BEFORE UPDATE ON seals
BEGIN SELECT RAISE(ABORT, 'a seal is kept as it was made'); END;
CREATE TRIGGER seals_are_not_deleted BEFORE DELETE ON seals
BEGIN SELECT RAISE(ABORT, 'a seal is kept for good'); END;

-- Receipts that came late: of a dead letter that was sent after all.
CREATE TABLE late_receipts (
  lane TEXT NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (lane, seq)
) STRICT, WITHOUT ROWID;
