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

-- up 2: sign-in
-- imported: the hash was computed elsewhere, of what was typed.
CREATE TABLE main.auth_password (
	tenant_id uuid NOT NULL,
	user_id uuid NOT NULL,
	hash text NOT NULL,
	imported boolean NOT NULL,
	changed_at bigint NOT NULL,
	PRIMARY KEY (tenant_id, user_id)
) --sqlite: WITHOUT ROWID
;

CREATE TABLE main.auth_policy (
	tenant_id uuid NOT NULL PRIMARY KEY,
	sign_up text NOT NULL CHECK (sign_up IN ('open', 'invitation', 'closed')),
	version bigint NOT NULL,
	updated_at bigint NOT NULL
) --sqlite: WITHOUT ROWID
;

-- Links in mails: one of each user and kind. Of the secret only the SHA-256, and none once it is used.
CREATE TABLE main.auth_link (
	tenant_id uuid NOT NULL,
	user_id uuid NOT NULL,
	kind text NOT NULL CHECK (kind IN ('verify', 'reset', 'change_email', 'unlock')),
	id uuid NOT NULL,
	secret_hash text,
	email text,
	sent bigint NOT NULL,
	window_at bigint NOT NULL,
	expires_at bigint NOT NULL,
	PRIMARY KEY (tenant_id, user_id, kind)
) --sqlite: WITHOUT ROWID
;
CREATE UNIQUE INDEX auth_link_by_id ON main.auth_link (tenant_id, id);
CREATE INDEX auth_link_by_end ON main.auth_link (expires_at);

-- Rows of the installation. The key names nobody: it is an HMAC.
CREATE TABLE main.auth_attempt (
	tenant_id uuid NOT NULL,
	key text NOT NULL,
	tries bigint NOT NULL,
	locks bigint NOT NULL,
	locked_until bigint NOT NULL,
	begins_at bigint NOT NULL,
	last_at bigint NOT NULL,
	refused bigint NOT NULL,
	PRIMARY KEY (tenant_id, key)
) --sqlite: WITHOUT ROWID
;
CREATE INDEX auth_attempt_by_age ON main.auth_attempt (tenant_id, last_at);

-- Rows of the installation, for a second or two.
CREATE TABLE main.auth_errand (
	tenant_id uuid NOT NULL,
	id uuid NOT NULL,
	kind text NOT NULL CHECK (kind IN ('join', 'verify', 'reset', 'tenants', 'unlock')),
	email text NOT NULL,
	target_id uuid,
	name text NOT NULL,
	hash text NOT NULL,
	address text NOT NULL,
	request text NOT NULL,
	created_at bigint NOT NULL,
	PRIMARY KEY (tenant_id, id)
) --sqlite: WITHOUT ROWID
;

-- down 2
DROP TABLE main.auth_errand; -- safe: going down
DROP TABLE main.auth_attempt; -- safe: going down
DROP TABLE main.auth_link; -- safe: going down
DROP TABLE main.auth_policy; -- safe: going down
DROP TABLE main.auth_password; -- safe: going down
