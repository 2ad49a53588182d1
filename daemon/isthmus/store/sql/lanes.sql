-- name: position_get
-- The last seq a lane has dealt with.
SELECT seq FROM positions WHERE lane = :lane;

-- name: position_advance
-- A position only moves forward; an older one is ignored.
INSERT INTO positions (lane, seq) VALUES (:lane, :seq)
ON CONFLICT (lane) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > positions.seq;

-- name: positions_all
-- Every lane's position; a handful of rows.
SELECT lane, seq FROM positions ORDER BY lane;

-- name: lane_get
-- The state of a lane. Its stage is said in the configuration alone; the column is not used.
SELECT lane, state, reason, changed_by, changed_at FROM lanes WHERE lane = :lane;

-- name: lanes_all
-- The state of every lane; a handful of rows.
SELECT lane, state, reason, changed_by, changed_at FROM lanes ORDER BY lane;

-- name: lane_set_state
-- Run, pause or park a lane, and say why and who.
INSERT INTO lanes (lane, state, reason, changed_by, changed_at)
VALUES (:lane, :state, :reason, :by, :now)
ON CONFLICT (lane) DO UPDATE SET state = excluded.state, reason = excluded.reason,
  changed_by = excluded.changed_by, changed_at = excluded.changed_at;
