-- up 1: roles and who has them
CREATE TABLE main.role (
	tenant_id uuid NOT NULL,
	name text NOT NULL,
	id uuid NOT NULL,
	description text NOT NULL,
	rights text NOT NULL,
	version bigint NOT NULL,
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL,
	PRIMARY KEY (tenant_id, name)
) --sqlite: WITHOUT ROWID
;

-- Users as far as rights go. Its version is that of the user's roles.
CREATE TABLE main.role_user (
	tenant_id uuid NOT NULL,
	user_id uuid NOT NULL,
	active boolean NOT NULL,
	version bigint NOT NULL,
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL,
	PRIMARY KEY (tenant_id, user_id)
) --sqlite: WITHOUT ROWID
;

-- The role is one of main.role or a built-in one.
CREATE TABLE main.role_member (
	tenant_id uuid NOT NULL,
	user_id uuid NOT NULL,
	role text NOT NULL,
	created_at bigint NOT NULL,
	PRIMARY KEY (tenant_id, user_id, role),
	FOREIGN KEY (tenant_id, user_id) REFERENCES main.role_user (tenant_id, user_id)
) --sqlite: WITHOUT ROWID
;
CREATE INDEX role_member_by_role ON main.role_member (tenant_id, role, user_id);

-- down 1
DROP TABLE main.role_member; -- safe: going down
DROP TABLE main.role_user; -- safe: going down
DROP TABLE main.role; -- safe: going down
