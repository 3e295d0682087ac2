-- up 1: tenants
CREATE TABLE main.tenant (
	tenant_id uuid NOT NULL PRIMARY KEY,
	slug text NOT NULL,
	name text NOT NULL,
	tier text NOT NULL CHECK (tier IN ('free', 'starter', 'professional', 'enterprise')),
	status text NOT NULL CHECK (status IN ('active', 'suspended', 'deleting')),
	settings text NOT NULL,
	limits text NOT NULL,
	version bigint NOT NULL,
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL
) --sqlite: WITHOUT ROWID
;
CREATE UNIQUE INDEX tenant_by_slug ON main.tenant (slug); -- safe: a slug is one of its kind in the installation
CREATE INDEX tenant_by_status ON main.tenant (status, tenant_id);

-- The tenant of the installation itself (tenant_system).
INSERT INTO main.tenant (tenant_id, slug, name, tier, status, settings, limits, version, created_at, updated_at)
VALUES (
	--sqlite: X'00000000000080008000000000000001',
	--postgres: '00000000-0000-8000-8000-000000000001',
	'system', 'System', 'enterprise', 'active', '{}', '{}', 1,
	--sqlite: unixepoch() * 1000000, unixepoch() * 1000000
	--postgres: extract(epoch FROM now())::bigint * 1000000, extract(epoch FROM now())::bigint * 1000000
);

-- down 1
DROP TABLE main.tenant; -- safe: going down
