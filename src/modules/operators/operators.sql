-- up 1: set-up links and impersonations
-- Links that the server or a command has printed, of which only the SHA-256 of the secret is kept.
-- user_id: whose password it sets; NULL: it makes the first operator.
CREATE TABLE main.operator_link (
	tenant_id uuid NOT NULL,
	id uuid NOT NULL,
	user_id uuid,
	secret_hash text NOT NULL,
	expires_at bigint NOT NULL,
	PRIMARY KEY (tenant_id, id)
) --sqlite: WITHOUT ROWID
;

-- One row, once there has been an operator: no link makes another first one.
CREATE TABLE main.operator_first (
	tenant_id uuid NOT NULL PRIMARY KEY,
	user_id uuid NOT NULL,
	created_at bigint NOT NULL
) --sqlite: WITHOUT ROWID
;

-- Rows of the installation; the id is that of the session.
CREATE TABLE main.impersonation (
	tenant_id uuid NOT NULL,
	id uuid NOT NULL,
	operator_id uuid NOT NULL,
	of_tenant_id uuid NOT NULL,
	user_id uuid NOT NULL,
	reason text NOT NULL,
	created_at bigint NOT NULL,
	expires_at bigint NOT NULL,
	ended_at bigint,
	PRIMARY KEY (tenant_id, id)
) --sqlite: WITHOUT ROWID
;

-- down 1
DROP TABLE main.impersonation; -- safe: going down
DROP TABLE main.operator_first; -- safe: going down
DROP TABLE main.operator_link; -- safe: going down
