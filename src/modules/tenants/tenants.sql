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
CREATE INDEX tenant_by_status ON main.tenant (status, tenant_id);

-- Slugs are one of their kind in the installation. The table belongs to no tenant, so that none can find
-- out those of others.
CREATE TABLE main.tenant_slug (
	slug text NOT NULL PRIMARY KEY,
	id uuid NOT NULL
) --sqlite: WITHOUT ROWID
;

-- The tenant of the installation itself (tenant_system).
INSERT INTO main.tenant (tenant_id, slug, name, tier, status, settings, limits, version, created_at, updated_at)
VALUES (
	--sqlite: X'00000000000080008000000000000001',
	--postgres: '00000000-0000-8000-8000-000000000001',
	'system', 'System', 'enterprise', 'active', '{}', '{}', 1,
	--sqlite: unixepoch() * 1000000, unixepoch() * 1000000
	--postgres: extract(epoch FROM now())::bigint * 1000000, extract(epoch FROM now())::bigint * 1000000
);
INSERT INTO main.tenant_slug (slug, id) SELECT slug, tenant_id FROM main.tenant;

-- down 1
DROP TABLE main.tenant_slug; -- safe: going down
DROP TABLE main.tenant; -- safe: going down
