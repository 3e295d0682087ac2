-- up 1: audit
-- What happened. An entry is inserted by the transaction that does it; `sequence` and `chain` are given
-- afterwards, in the order in which the entries are chained. Everything else but the clear values of
-- personal data (`address`, `personal` and their salts) never changes, and is under `seal`.
CREATE TABLE main.audit (
	tenant_id uuid NOT NULL,
	id uuid NOT NULL,
	sequence bigint CHECK (sequence > 0),
	chain text,
	kind text NOT NULL,
	user_id uuid,
	key_id uuid,
	session_id uuid,
	impersonator_id uuid,
	address text,
	address_salt text,
	address_digest text,
	action text
		--postgres: COLLATE "C"
		NOT NULL,
	target_type text,
	target_id text,
	state_before text,
	state_after text,
	person_id uuid,
	personal text,
	personal_salt text,
	personal_count bigint NOT NULL,
	security boolean NOT NULL,
	request_id text,
	trace_id text,
	created_at bigint NOT NULL,
	seal text NOT NULL,
	PRIMARY KEY (tenant_id, id)
) --sqlite: WITHOUT ROWID
;
CREATE UNIQUE INDEX audit_by_sequence ON main.audit (tenant_id, sequence) WHERE sequence IS NOT NULL;
-- These two have all columns that are asked for: else SQLite prefers the primary key, which has all entries.
CREATE INDEX audit_unchained ON main.audit (tenant_id, sequence, id, seal) WHERE sequence IS NULL;
CREATE INDEX audit_erased ON main.audit (tenant_id, target_id, action, id) WHERE action = 'audit.erased';
CREATE INDEX audit_by_action ON main.audit (tenant_id, action, id);
CREATE INDEX audit_by_user ON main.audit (tenant_id, user_id, id) WHERE user_id IS NOT NULL;
CREATE INDEX audit_by_key ON main.audit (tenant_id, key_id, id) WHERE key_id IS NOT NULL;
CREATE INDEX audit_by_target ON main.audit (tenant_id, target_id, id) WHERE target_id IS NOT NULL;
CREATE INDEX audit_by_person ON main.audit (tenant_id, person_id, id) WHERE person_id IS NOT NULL;
CREATE INDEX audit_of_security ON main.audit (tenant_id, id) WHERE security;

-- Where the chain of a tenant ends (head), and where it begins when older entries were deleted (start).
CREATE TABLE main.audit_mark (
	tenant_id uuid NOT NULL,
	kind text NOT NULL CHECK (kind IN ('head', 'start')),
	sequence bigint NOT NULL,
	chain text NOT NULL,
	broken_at bigint NOT NULL,
	marked_at bigint NOT NULL,
	seal text NOT NULL,
	told_sequence bigint NOT NULL,
	told_at bigint NOT NULL,
	PRIMARY KEY (tenant_id, kind)
) --sqlite: WITHOUT ROWID
;
CREATE INDEX audit_mark_untold ON main.audit_mark (told_at) WHERE told_sequence < sequence;

-- Users whose personal data is to be erased. Done twice, the second time when every transaction that
-- was under way has ended.
CREATE TABLE main.audit_erasure (
	tenant_id uuid NOT NULL,
	user_id uuid NOT NULL,
	rounds bigint NOT NULL,
	erased bigint NOT NULL,
	due_at bigint NOT NULL,
	seal text NOT NULL,
	PRIMARY KEY (tenant_id, user_id)
) --sqlite: WITHOUT ROWID
;
CREATE INDEX audit_erasure_due ON main.audit_erasure (due_at);

-- down 1
DROP TABLE main.audit_erasure; -- safe: going down
DROP TABLE main.audit_mark; -- safe: going down
DROP TABLE main.audit; -- safe: going down

-- up 2: a change of MASTER_KEY
-- Rows of the installation: keys of the log under a former MASTER_KEY, sealed under the one in force.
CREATE TABLE main.audit_former_key (
	tenant_id uuid NOT NULL,
	key_id text NOT NULL,
	sealed text NOT NULL,
	retired_at bigint NOT NULL,
	PRIMARY KEY (tenant_id, key_id)
) --sqlite: WITHOUT ROWID
;

-- Up to where seals under a former key are good in the log of a tenant, and what the chain was there;
-- itself under the key in force.
CREATE TABLE main.audit_era (
	tenant_id uuid NOT NULL,
	key_id text NOT NULL,
	sequence bigint NOT NULL,
	chain text NOT NULL,
	seal text NOT NULL,
	PRIMARY KEY (tenant_id, key_id)
) --sqlite: WITHOUT ROWID
;
CREATE INDEX audit_era_by_key ON main.audit_era (key_id);

-- down 2
DROP TABLE main.audit_era; -- safe: going down
DROP TABLE main.audit_former_key; -- safe: going down

-- up 3: fewer places in indexes, and all columns that are asked for
-- What an entry of somebody tells of themselves is found by its user: most entries are not in audit_by_other.
CREATE INDEX CONCURRENTLY audit_by_other ON main.audit (tenant_id, person_id, id, user_id)
	WHERE person_id IS NOT NULL AND person_id IS DISTINCT FROM user_id;
CREATE INDEX CONCURRENTLY audit_security ON main.audit (tenant_id, security, id) WHERE security = true;
DROP INDEX CONCURRENTLY main.audit_by_person;
DROP INDEX CONCURRENTLY main.audit_of_security;

-- down 3
CREATE INDEX CONCURRENTLY audit_by_person ON main.audit (tenant_id, person_id, id) WHERE person_id IS NOT NULL;
CREATE INDEX CONCURRENTLY audit_of_security ON main.audit (tenant_id, id) WHERE security;
DROP INDEX CONCURRENTLY main.audit_by_other;
DROP INDEX CONCURRENTLY main.audit_security;
