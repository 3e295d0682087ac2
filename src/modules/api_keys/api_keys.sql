-- up 1: keys of programs
CREATE TABLE main.api_key (
	tenant_id uuid NOT NULL,
	id uuid NOT NULL,
	kind text NOT NULL CHECK (kind IN ('secret', 'publishable')),
	name text NOT NULL,
	prefix text NOT NULL,
	ending text NOT NULL,
	scopes text NOT NULL,
	allowed_addresses text NOT NULL,
	requests_per_minute bigint,
	owner_id uuid NOT NULL,
	created_with uuid,
	expires_at bigint,
	revoked_at bigint,
	last_used_at bigint,
	last_used_address text,
	secret_hash text NOT NULL,
	previous_hash text,
	previous_until bigint,
	ends_at bigint,
	version bigint NOT NULL,
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL,
	PRIMARY KEY (tenant_id, id)
) --sqlite: WITHOUT ROWID
;
CREATE INDEX api_key_by_owner ON main.api_key (tenant_id, owner_id);
CREATE INDEX api_key_by_end ON main.api_key (ends_at) WHERE ends_at IS NOT NULL;

-- down 1
DROP TABLE main.api_key; -- safe: going down
