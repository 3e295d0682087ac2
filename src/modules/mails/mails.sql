-- up 1: mails to be sent
CREATE TABLE main.mail (
	tenant_id uuid NOT NULL,
	id uuid NOT NULL,
	kind text NOT NULL,
	status text NOT NULL CHECK (status IN ('waiting', 'sent', 'failed', 'dropped')),
	recipient text NOT NULL,
	box text,
	attempts bigint NOT NULL,
	next_at bigint,
	created_at bigint NOT NULL,
	expires_at bigint NOT NULL,
	PRIMARY KEY (tenant_id, id)
) --sqlite: WITHOUT ROWID
;
-- What is due: rows that are done with have no next_at.
CREATE INDEX mail_by_turn ON main.mail (next_at) WHERE next_at IS NOT NULL;
-- How many one address was sent.
CREATE INDEX mail_by_recipient ON main.mail (recipient, created_at);
CREATE INDEX mail_by_age ON main.mail (created_at);

-- down 1
DROP TABLE main.mail; -- safe: what has not been sent is lost

-- up 2: mails are sent by jobs
-- next_at is of mails from before, and goes with the next version: one that still runs beside this looks there.
CREATE INDEX CONCURRENTLY mail_waiting ON main.mail (tenant_id, expires_at) WHERE status = 'waiting';

-- down 2
DROP INDEX main.mail_waiting; -- safe: going down
