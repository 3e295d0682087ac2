-- up 1: notes
CREATE TABLE main.note (
	tenant_id uuid NOT NULL,
	id uuid NOT NULL,
	title text NOT NULL,
	body text NOT NULL,
	tag text,
	pinned boolean NOT NULL,
	version bigint NOT NULL,
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL,
	PRIMARY KEY (tenant_id, id)
) --sqlite: WITHOUT ROWID
;
CREATE INDEX note_by_tag ON main.note (tenant_id, tag, id);
CREATE INDEX note_pinned ON main.note (tenant_id) WHERE pinned;

-- down 1
DROP TABLE main.note; -- safe: going down
