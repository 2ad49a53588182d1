-- What a lane decided in shadow: settled for the lane, sent by nobody, until a person lets the lane go live.
CREATE TABLE shadows (
  lane TEXT NOT NULL,
  seq INTEGER NOT NULL REFERENCES log (seq),
  decided_at TEXT NOT NULL,
  outcome TEXT NOT NULL DEFAULT 'open' CHECK (outcome IN ('open', 'adopted', 'exception', 'owed')),
  PRIMARY KEY (lane, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX shadows_open ON shadows (lane, seq) WHERE outcome = 'open';
CREATE INDEX shadows_by_event ON shadows (seq);
