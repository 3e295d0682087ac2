-- up 1: sessions and signing keys
-- A session is a family of refresh tokens, of which only the SHA-256 of the newest one's secret is kept.
-- bundle_id: the sessions of one browser or device, of whatever tenants.
CREATE TABLE main.session (
	tenant_id uuid NOT NULL,
	id uuid NOT NULL,
	bundle_id uuid NOT NULL,
	user_id uuid NOT NULL,
	impersonator_id uuid,
	user_agent text NOT NULL,
	address text NOT NULL,
	generation bigint NOT NULL,
	token_hash text NOT NULL,
	created_at bigint NOT NULL,
	used_at bigint NOT NULL,
	rotated_at bigint NOT NULL,
	expires_at bigint NOT NULL,
	ends_at bigint NOT NULL,
	revoked_at bigint,
	PRIMARY KEY (tenant_id, id)
) --sqlite: WITHOUT ROWID
;
CREATE INDEX session_by_user ON main.session (tenant_id, user_id);
CREATE INDEX session_by_bundle ON main.session (bundle_id);
CREATE INDEX session_by_end ON main.session (ends_at);
CREATE INDEX session_by_revocation ON main.session (revoked_at) WHERE revoked_at IS NOT NULL;

-- Rows of the installation. The private half is sealed under a key derived from MASTER_KEY.
-- token_us: the longest lifetime of a token that the key may have signed.
CREATE TABLE main.signing_key (
	tenant_id uuid NOT NULL,
	id text NOT NULL,
	algorithm text NOT NULL CHECK (algorithm IN ('RS256', 'ES256', 'EdDSA')),
	sealed text NOT NULL,
	made_at bigint NOT NULL,
	signs_at bigint NOT NULL,
	token_us bigint NOT NULL,
	PRIMARY KEY (tenant_id, id)
) --sqlite: WITHOUT ROWID
;

-- down 1
DROP TABLE main.signing_key; -- safe: going down
DROP TABLE main.session; -- safe: going down
