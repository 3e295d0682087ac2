-- The store's own tables: what a transaction brings with it.

-- up 1: events and notices
-- Events to be published once they are committed. On PostgreSQL transactions commit in another order
-- than they take positions, so a relay goes by xact.
CREATE TABLE main.outbox (
	tenant_id uuid NOT NULL,
	position --sqlite: INTEGER PRIMARY KEY AUTOINCREMENT,
		--postgres: bigint GENERATED ALWAYS AS IDENTITY,
	id uuid NOT NULL,
	type text NOT NULL,
	subject text,
	data text,
	trace text,
	created_us bigint NOT NULL,
	--postgres: xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
	--postgres: PRIMARY KEY (tenant_id, position),
	UNIQUE (tenant_id, id)
);
--postgres: CREATE INDEX outbox_order ON main.outbox (xact, position);

-- What instances keep in memory and must forget. `origin` is the instance that has told itself.
CREATE TABLE main.notice (
	tenant_id uuid NOT NULL,
	position --sqlite: INTEGER PRIMARY KEY AUTOINCREMENT,
		--postgres: bigint GENERATED ALWAYS AS IDENTITY,
	topic text NOT NULL,
	key text NOT NULL,
	origin bigint NOT NULL,
	created_us bigint NOT NULL
	--sqlite: , UNIQUE (tenant_id, position)
	--postgres: , xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
	--postgres: PRIMARY KEY (tenant_id, position)
);
--postgres: CREATE INDEX notice_order ON main.notice (xact, position);

-- down 1
DROP TABLE main.notice; -- safe: going down
DROP TABLE main.outbox; -- safe: going down
