-- name: shadow_add
-- A fact that a lane would have sent; the first word stays. Bound by position: lane, seq, decided_at.
INSERT INTO shadows (lane, seq, decided_at) VALUES (?, ?, ?) ON CONFLICT (lane, seq) DO NOTHING;

-- name: shadows_since
-- What a lane has decided in shadow beyond its position.
SELECT seq FROM shadows WHERE lane = :lane AND seq > :seq;

-- name: shadows_open_count
-- How many facts of a lane wait for going live.
SELECT count(*) FROM shadows WHERE lane = :lane AND outcome = 'open';

-- name: shadows_open_page
-- The next facts of a lane that wait for going live.
SELECT seq FROM shadows WHERE lane = :lane AND outcome = 'open' AND seq > :after ORDER BY seq LIMIT :limit;

-- name: shadows_of_event
-- The lanes that decided an event in shadow, and what became of that.
SELECT lane, outcome, decided_at FROM shadows WHERE seq = :seq ORDER BY lane;

-- name: shadow_end
-- The lane goes live: what became of one fact; only one that is still open.
UPDATE shadows SET outcome = :outcome WHERE lane = :lane AND seq = :seq AND outcome = 'open';
