-- up 1: jobs
-- A job is one row from its beginning to its end. What is ready to start, what is due later, what runs
-- and what has ended are found by one partial index each, so that a row is in one of them at a time.
--
-- `turn` is run_at moved back by the priority: jobs of a queue and tenant start in its order. `seated` has
-- a seat in its group, `blocked` waits for one. `lease_id` and `attempt` together say which start it is.
-- What may be long stands at the end, so that the rest is read without it. Conditions of checks and indexes are
-- comparisons: of a list of three or more SQLite makes a table, each time that it looks at a row.
CREATE TABLE main.job (
	tenant_id uuid NOT NULL,
	id uuid NOT NULL,
	queue text NOT NULL,
	name text NOT NULL,
	state text NOT NULL CHECK (state = 'available' OR state = 'running' OR state = 'completed' OR
		state = 'scheduled' OR state = 'retryable' OR state = 'discarded' OR state = 'cancelled'),
	priority bigint NOT NULL,
	turn bigint NOT NULL,
	run_at bigint NOT NULL,
	attempt bigint NOT NULL,
	attempts bigint NOT NULL,
	backoff text,
	timeout_us bigint,
	timeout_at bigint,
	unique_key text,
	group_key text,
	seated boolean NOT NULL,
	blocked boolean NOT NULL,
	tags text,
	trace text,
	lease_id uuid,
	worker text,
	cancelling boolean NOT NULL,
	progress bigint,
	progress_note text,
	created_at bigint NOT NULL,
	started_at bigint,
	ended_at bigint,
	payload text NOT NULL,
	result text,
	PRIMARY KEY (tenant_id, id)
) --sqlite: WITHOUT ROWID
;
CREATE INDEX job_ready ON main.job (queue, tenant_id, turn, id) WHERE state = 'available' AND NOT blocked;
CREATE INDEX job_later ON main.job (run_at, queue, tenant_id, state) WHERE state IN ('scheduled', 'retryable');
CREATE INDEX job_running ON main.job (queue, tenant_id) WHERE state = 'running';
CREATE INDEX job_ended ON main.job (tenant_id, queue, state, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX job_blocked ON main.job (tenant_id, queue, group_key, turn, id) WHERE blocked;

-- To find by people: what is out of the ordinary, and the jobs of a unique key.
CREATE INDEX job_aside ON main.job (tenant_id, state, id)
	WHERE state <> 'available' AND state <> 'running' AND state <> 'completed';
CREATE INDEX job_by_key ON main.job (tenant_id, unique_key, id) WHERE unique_key IS NOT NULL;

-- Why an attempt came to nothing.
CREATE TABLE main.job_error (
	tenant_id uuid NOT NULL,
	job_id uuid NOT NULL,
	attempt bigint NOT NULL,
	kind text NOT NULL,
	message text NOT NULL,
	worker text,
	trace text,
	at bigint NOT NULL,
	PRIMARY KEY (tenant_id, job_id, attempt)
) --sqlite: WITHOUT ROWID
;

-- Lines that a job has written about itself.
CREATE TABLE main.job_line (
	tenant_id uuid NOT NULL,
	job_id uuid NOT NULL,
	id uuid NOT NULL,
	level text NOT NULL,
	line text NOT NULL,
	at bigint NOT NULL,
	PRIMARY KEY (tenant_id, job_id, id)
) --sqlite: WITHOUT ROWID
;

-- Who has taken jobs: an instance of the program, the session of a worker, or a single lease of one
-- without a session. Whose `beats` stand still for `lease_us` by the clock of whoever watches is lost.
CREATE TABLE main.job_lease (
	tenant_id uuid NOT NULL,
	id uuid NOT NULL,
	kind text NOT NULL CHECK (kind IN ('program', 'session', 'call')),
	worker text NOT NULL,
	queue text,
	lease_us bigint NOT NULL,
	beats bigint NOT NULL,
	began_at bigint NOT NULL,
	seen_at bigint NOT NULL,
	PRIMARY KEY (tenant_id, id)
) --sqlite: WITHOUT ROWID
;
CREATE INDEX job_lease_worker ON main.job_lease (tenant_id, worker);

-- Groups that have a job: `active` seats are taken, `waiting` jobs want one.
CREATE TABLE main.job_group (
	tenant_id uuid NOT NULL,
	queue text NOT NULL,
	key text NOT NULL,
	active bigint NOT NULL,
	waiting bigint NOT NULL,
	halted boolean NOT NULL,
	next_at bigint NOT NULL,
	PRIMARY KEY (tenant_id, queue, key)
) --sqlite: WITHOUT ROWID
;
CREATE INDEX job_group_halted ON main.job_group (tenant_id, queue, key) WHERE halted;

-- Which job a unique key stands for; until `until` even when that has ended. `before_id` is one that runs,
-- and has to end before that job may start.
CREATE TABLE main.job_unique (
	tenant_id uuid NOT NULL,
	queue text NOT NULL,
	key text NOT NULL,
	job_id uuid NOT NULL,
	before_id uuid,
	until bigint NOT NULL,
	PRIMARY KEY (tenant_id, queue, key)
) --sqlite: WITHOUT ROWID
;
CREATE INDEX job_unique_until ON main.job_unique (until);

-- When the next job may start by the rate of a queue (tenant_system: of all tenants together).
CREATE TABLE main.job_rate (
	tenant_id uuid NOT NULL,
	queue text NOT NULL,
	next_at bigint NOT NULL,
	PRIMARY KEY (tenant_id, queue)
) --sqlite: WITHOUT ROWID
;

-- How many jobs there are, as counted a moment ago. `waiting` is what an enqueue compares with the bound:
-- ready, blocked, scheduled and retryable ones together; `oldest_at` is since when the ready one waits whose
-- turn is next, `running_at` when the oldest of those that run began.
CREATE TABLE main.job_depth (
	tenant_id uuid NOT NULL,
	queue text NOT NULL,
	waiting bigint NOT NULL,
	oldest_at bigint,
	counted_at bigint NOT NULL,
	ready bigint NOT NULL DEFAULT 0,
	blocked bigint NOT NULL DEFAULT 0,
	scheduled bigint NOT NULL DEFAULT 0,
	retryable bigint NOT NULL DEFAULT 0,
	running bigint NOT NULL DEFAULT 0,
	running_at bigint,
	completed bigint NOT NULL DEFAULT 0,
	discarded bigint NOT NULL DEFAULT 0,
	cancelled bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (tenant_id, queue)
) --sqlite: WITHOUT ROWID
;

-- What came of the jobs of a queue in one minute (since 1970): the sum of what all instances saw. Times are
-- sums, in microseconds: from due to started, and from started to ended.
CREATE TABLE main.job_tally (
	tenant_id uuid NOT NULL,
	queue text NOT NULL,
	minute bigint NOT NULL,
	started bigint NOT NULL,
	completed bigint NOT NULL,
	failed bigint NOT NULL,
	discarded bigint NOT NULL,
	waited_us bigint NOT NULL,
	ran_us bigint NOT NULL,
	PRIMARY KEY (tenant_id, queue, minute)
) --sqlite: WITHOUT ROWID
;
CREATE INDEX job_tally_minute ON main.job_tally (minute);

-- Work that one instance does for all: when it was begun last.
CREATE TABLE main.job_round (
	name text NOT NULL PRIMARY KEY,
	begun_at bigint NOT NULL
) --sqlite: WITHOUT ROWID
;

-- Queues a tenant has paused for itself.
CREATE TABLE main.job_pause (
	tenant_id uuid NOT NULL,
	queue text NOT NULL,
	at bigint NOT NULL,
	PRIMARY KEY (tenant_id, queue)
) --sqlite: WITHOUT ROWID
;

-- Schemas of payloads, by tenant and name of the job (tenant_system: for all).
CREATE TABLE main.job_schema (
	tenant_id uuid NOT NULL,
	name text NOT NULL,
	schema text NOT NULL,
	version bigint NOT NULL,
	updated_at bigint NOT NULL,
	PRIMARY KEY (tenant_id, name)
) --sqlite: WITHOUT ROWID
;

-- Settings of queues where they are not the defaults; of the installation, not of a tenant.
CREATE TABLE main.job_queue (
	name text NOT NULL PRIMARY KEY,
	settings text NOT NULL,
	paused boolean NOT NULL,
	version bigint NOT NULL,
	updated_at bigint NOT NULL
) --sqlite: WITHOUT ROWID
;

-- down 1
DROP TABLE main.job_queue; -- safe: going down
DROP TABLE main.job_schema; -- safe: going down
DROP TABLE main.job_pause; -- safe: going down
DROP TABLE main.job_round; -- safe: going down
DROP TABLE main.job_tally; -- safe: going down
DROP TABLE main.job_depth; -- safe: going down
DROP TABLE main.job_rate; -- safe: going down
DROP TABLE main.job_unique; -- safe: going down
DROP TABLE main.job_group; -- safe: going down
DROP TABLE main.job_lease; -- safe: going down
DROP TABLE main.job_line; -- safe: going down
DROP TABLE main.job_error; -- safe: going down
DROP TABLE main.job; -- safe: going down
