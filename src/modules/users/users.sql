-- up 1: users and invitations
CREATE TABLE main.users (
	tenant_id uuid NOT NULL,
	id uuid NOT NULL,
	email text NOT NULL,
	email_key text NOT NULL,
	name text NOT NULL,
	name_key text NOT NULL,
	status text NOT NULL CHECK (status IN ('active', 'suspended')),
	email_verified_at bigint,
	version bigint NOT NULL,
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL,
	PRIMARY KEY (tenant_id, id)
) --sqlite: WITHOUT ROWID
;
CREATE UNIQUE INDEX users_by_email ON main.users (tenant_id, email_key);
-- For who signs in and does not say where.
CREATE INDEX users_of_email ON main.users (email_key, tenant_id);

-- Those that are open: used and withdrawn ones go.
CREATE TABLE main.invitation (
	tenant_id uuid NOT NULL,
	id uuid NOT NULL,
	email text NOT NULL,
	email_key text NOT NULL,
	role text NOT NULL,
	secret_hash text NOT NULL,
	invited_by uuid,
	created_at bigint NOT NULL,
	expires_at bigint NOT NULL,
	PRIMARY KEY (tenant_id, id)
) --sqlite: WITHOUT ROWID
;
CREATE UNIQUE INDEX invitation_by_email ON main.invitation (tenant_id, email_key);
CREATE INDEX invitation_by_expiry ON main.invitation (expires_at);

-- down 1
DROP TABLE main.invitation; -- safe: going down
DROP TABLE main.users; -- safe: going down
