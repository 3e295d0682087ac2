-- up 1: answers to requests with an Idempotency-Key
CREATE TABLE main.idempotency (
	tenant_id uuid NOT NULL,
	key_hash text NOT NULL,
	fingerprint text NOT NULL,
	status bigint NOT NULL,
	version bigint,
	data text,
	created_us bigint NOT NULL,
	PRIMARY KEY (tenant_id, key_hash)
) --sqlite: WITHOUT ROWID
;
CREATE INDEX idempotency_by_age ON main.idempotency (created_us);

-- down 1
DROP TABLE main.idempotency; -- safe: a request that is repeated now is done again

-- up 2: answers are sealed
-- Rows made before have none, and last for a day; status, version and data are of no use after it.
ALTER TABLE main.idempotency ADD COLUMN sealed text;

-- down 2
ALTER TABLE main.idempotency DROP COLUMN sealed; -- safe: its rows are refused, not done again
