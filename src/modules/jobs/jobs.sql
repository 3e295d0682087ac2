-- up 1: jobs
-- A job is one row from its beginning to its end. What is ready to start, what is due later, what runs
-- and what has ended are found by one partial index each, so that a row is in one of them at a time.
--
-- `turn` is run_at moved back by the priority: jobs of a queue and tenant start in its order. `seated` has
-- a seat in its group, `blocked` waits for one. `lease_id` and `attempt` together say which start it is, for ever:
-- so the number of starts only grows, and `uncounted` is how many of them were put off or handed back.
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
	uncounted bigint NOT NULL DEFAULT 0,
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
CREATE INDEX job_running ON main.job (queue, tenant_id, state) WHERE state = 'running';
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

-- What signs the jobs that are sent to a queue's address, sealed; the former one signs, too, for a while.
CREATE TABLE main.job_push (
	queue text NOT NULL PRIMARY KEY,
	secret text NOT NULL,
	former text,
	former_until bigint,
	updated_at bigint NOT NULL
) --sqlite: WITHOUT ROWID
;

-- down 1
DROP TABLE main.job_push; -- safe: going down
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

-- up 2 postgres: functions for the transactions of other programs
-- Which roles of the database may call them, as whom: a tenant's id, or 'any' (bulkhead jobs grant).
CREATE TABLE main.job_caller (
	role text NOT NULL PRIMARY KEY,
	tenant text NOT NULL CHECK (tenant = 'any' OR tenant ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')
);

-- Adds a job to the caller's own transaction. Everything beside it is as in jobs_add.c, jobs_group.c and
-- jobs_unique.c; the schema of the payload is minded when the job is taken.
CREATE FUNCTION bulkhead.enqueue(
	name text,
	payload jsonb DEFAULT '{}',
	queue text DEFAULT 'default',
	priority bigint DEFAULT 5,
	run_at timestamptz DEFAULT NULL,
	attempts bigint DEFAULT NULL,
	unique_key text DEFAULT NULL,
	group_key text DEFAULT NULL,
	tags text[] DEFAULT NULL,
	tenant uuid DEFAULT NULL
) RETURNS uuid
-- safe: new, refuses roles that are not listed, and names the tenant in each statement
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
#variable_conflict use_column
DECLARE
	v_may text;
	v_before text := coalesce(current_setting('app.tenant', TRUE), '');
	v_tenant uuid;
	v_id uuid;
	v_there uuid;
	v_now bigint := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
	v_start bigint;
	v_at bigint;
	v_state text;
	v_settings jsonb;
	v_attempts bigint;
	v_bound bigint;
	v_count bigint;
	v_oldest bigint;
	v_seats bigint;
	v_step bigint;
	v_reach bigint;
	v_next bigint;
	v_seated boolean := FALSE;
	v_blocked boolean := FALSE;
	v_random text := replace(gen_random_uuid()::text, '-', '');
BEGIN
	SELECT c.tenant INTO v_may FROM main.job_caller AS c WHERE c.role = session_user;
	IF NOT FOUND THEN
		RAISE insufficient_privilege USING MESSAGE = format('role %s may not add jobs', session_user),
			HINT = 'bulkhead jobs grant ROLE TENANT|any lists it.';
	END IF;
	v_tenant := CASE WHEN v_may = 'any' THEN enqueue.tenant ELSE v_may::uuid END;
	IF v_tenant IS NULL THEN
		RAISE invalid_parameter_value USING MESSAGE = 'tenant: is required';
	END IF;
	IF enqueue.tenant IS NOT NULL AND enqueue.tenant <> v_tenant THEN
		RAISE insufficient_privilege USING
			MESSAGE = format('role %s may not add jobs to tenant %s', session_user, enqueue.tenant);
	END IF;
	PERFORM set_config('app.tenant', v_tenant::text, TRUE);
	IF NOT EXISTS (SELECT FROM main.tenant AS t WHERE t.tenant_id = v_tenant AND t.status = 'active') THEN
		RAISE object_not_in_prerequisite_state USING
			MESSAGE = format('tenant: %s is not active', v_tenant);
	END IF;

	IF enqueue.name IS NULL OR length(enqueue.name) > 100
		OR enqueue.name !~ '^[a-z][a-z0-9_.-]*:[a-z][a-z0-9_.-]*$' THEN
		RAISE invalid_parameter_value USING
			MESSAGE = 'name: must be domain:action in small letters, at most 100';
	END IF;
	IF enqueue.queue IS NULL OR length(enqueue.queue) > 64 OR enqueue.queue !~ '^[a-z][a-z0-9_-]*$' THEN
		RAISE invalid_parameter_value USING
			MESSAGE = 'queue: must be small letters, digits and _ -, at most 64';
	END IF;
	IF enqueue.payload IS NULL OR octet_length(enqueue.payload::text) > 262144 THEN
		RAISE program_limit_exceeded USING MESSAGE = 'payload: must be JSON of at most 262144 bytes';
	END IF;
	IF coalesce(enqueue.priority, -1) NOT BETWEEN 0 AND 9 THEN
		RAISE invalid_parameter_value USING MESSAGE = 'priority: must be 0 to 9';
	END IF;
	IF enqueue.attempts NOT BETWEEN 1 AND 100 THEN
		RAISE invalid_parameter_value USING MESSAGE = 'attempts: must be 1 to 100';
	END IF;
	IF length(enqueue.unique_key) NOT BETWEEN 1 AND 200 OR enqueue.unique_key ~ '[\x01-\x1f\x7f]' THEN
		RAISE invalid_parameter_value USING
			MESSAGE = 'unique_key: must be 1 to 200 characters, none of them a control';
	END IF;
	IF length(enqueue.group_key) NOT BETWEEN 1 AND 200 OR enqueue.group_key ~ '[\x01-\x1f\x7f]' THEN
		RAISE invalid_parameter_value USING
			MESSAGE = 'group_key: must be 1 to 200 characters, none of them a control';
	END IF;
	IF cardinality(enqueue.tags) > 20 OR EXISTS (SELECT FROM unnest(enqueue.tags) AS t (tag)
		WHERE tag IS NULL OR length(tag) NOT BETWEEN 1 AND 64 OR tag ~ '[\x01-\x1f\x7f]') THEN
		RAISE invalid_parameter_value USING
			MESSAGE = 'tags: must be at most 20, of 1 to 64 characters each';
	END IF;
	IF enqueue.run_at > clock_timestamp() + interval '366 days' THEN
		RAISE invalid_parameter_value USING MESSAGE = 'run_at: must be within 366 days';
	END IF;

	v_settings := coalesce((SELECT q.settings::jsonb FROM main.job_queue AS q
		WHERE q.name = enqueue.queue), '{}');
	v_attempts := coalesce(enqueue.attempts, (v_settings ->> 'attempts')::bigint,
		CASE enqueue.queue WHEN 'reports' THEN 2 WHEN 'webhooks' THEN 5 ELSE 3 END);

	SELECT d.waiting, d.oldest_at INTO v_count, v_oldest FROM main.job_depth AS d
		WHERE d.tenant_id = v_tenant AND d.queue = enqueue.queue;
	v_bound := coalesce((v_settings ->> 'backlog')::bigint, 100000);
	IF v_bound > 0 AND v_count >= v_bound THEN
		RAISE configuration_limit_exceeded USING MESSAGE = format(
			'queue: %s has %s jobs waiting, and at most %s may', enqueue.queue, v_count, v_bound);
	END IF;
	IF coalesce(v_count, 0) <= 0 AND (SELECT count(*) FROM main.job_depth AS d
		WHERE d.tenant_id = v_tenant AND d.waiting > 0) >= 256 THEN
		RAISE configuration_limit_exceeded USING
			MESSAGE = 'queue: is one too many: jobs wait in 256 queues, and in no more may they';
	END IF;
	v_bound := coalesce((v_settings ->> 'backlogAgeMs')::bigint, 0) * 1000;
	IF v_bound > 0 AND v_oldest > 0 AND v_now - v_oldest > v_bound THEN
		RAISE configuration_limit_exceeded USING MESSAGE = format(
			'queue: %s has a job that has been ready for too long', enqueue.queue);
	END IF;

	v_id := (lpad(to_hex(v_now / 1000), 12, '0') || '7' || substr(v_random, 14, 19))::uuid;
	v_start := greatest(coalesce((extract(epoch FROM enqueue.run_at) * 1000000)::bigint, 0), v_now);
	v_at := v_start;
	v_state := CASE WHEN v_at > v_now THEN 'scheduled' ELSE 'available' END;

	IF enqueue.unique_key IS NOT NULL THEN
		INSERT INTO main.job_unique AS u (tenant_id, queue, key, job_id, until)
			VALUES (v_tenant, enqueue.queue, enqueue.unique_key, v_id, 0)
			ON CONFLICT (tenant_id, queue, key) DO UPDATE SET job_id = u.job_id
			RETURNING u.job_id INTO v_there;
		IF v_there <> v_id AND EXISTS (SELECT FROM main.job AS j WHERE j.tenant_id = v_tenant
			AND j.id = v_there AND j.state IN ('scheduled', 'available', 'running', 'retryable')) THEN
			RAISE unique_violation USING MESSAGE = format(
				'unique_key: belongs to job %s, which has not ended', v_there);
		END IF;
		IF v_there <> v_id THEN
			UPDATE main.job_unique AS u SET job_id = v_id, before_id = NULL, until = 0
				WHERE u.tenant_id = v_tenant AND u.queue = enqueue.queue
				AND u.key = enqueue.unique_key;
		END IF;
	END IF;

	IF enqueue.group_key IS NOT NULL AND v_state = 'available' THEN
		v_seats := greatest(coalesce((v_settings ->> 'groupConcurrency')::bigint, 1), 1);
		v_step := coalesce((v_settings #>> '{groupRate,perMs}')::bigint * 1000
			/ nullif((v_settings #>> '{groupRate,count}')::bigint, 0), 0);
		v_reach := greatest(coalesce((v_settings #>> '{groupRate,perMs}')::bigint * 1000, 0),
			(v_seats + 1) * v_step);
		INSERT INTO main.job_group AS g (tenant_id, queue, key, active, waiting, halted, next_at)
			VALUES (v_tenant, enqueue.queue, enqueue.group_key, 1, 0, FALSE, v_now + v_step)
			ON CONFLICT (tenant_id, queue, key) DO UPDATE SET
				active = g.active + CASE WHEN g.halted OR g.waiting > 0 OR g.active >= v_seats
					THEN 0 ELSE 1 END,
				waiting = g.waiting + CASE WHEN g.halted OR g.waiting > 0 OR g.active >= v_seats
					THEN 1 ELSE 0 END,
				next_at = CASE WHEN g.halted OR g.waiting > 0 OR g.active >= v_seats
					THEN g.next_at WHEN g.next_at BETWEEN v_now AND v_now + v_reach
					THEN g.next_at + v_step ELSE v_now + v_step END
			RETURNING g.waiting, g.next_at INTO v_count, v_next;
		v_bound := coalesce((v_settings ->> 'groupBacklog')::bigint, 10000);
		IF v_bound > 0 AND v_count > v_bound THEN
			RAISE configuration_limit_exceeded USING MESSAGE = format(
				'group_key: has %s jobs waiting, and no more may', v_bound);
		END IF;
		v_blocked := v_count > 0;
		v_seated := NOT v_blocked;
		IF v_seated AND v_next - v_step > v_now THEN
			v_at := v_next - v_step;
			v_state := 'scheduled';
		END IF;
	END IF;

	INSERT INTO main.job (tenant_id, id, queue, name, state, payload, priority, turn, run_at, attempt,
		attempts, unique_key, group_key, seated, blocked, tags, cancelling, created_at)
		VALUES (v_tenant, v_id, enqueue.queue, enqueue.name, v_state, enqueue.payload::text,
			enqueue.priority, v_start + enqueue.priority * 10000000, v_at, 0, v_attempts,
			enqueue.unique_key, enqueue.group_key, v_seated, v_blocked,
			array_to_json(enqueue.tags)::text, FALSE, v_now);
	PERFORM set_config('app.tenant', v_before, TRUE);
	RETURN v_id;
END
$function$;

-- Completes a job that a worker has, in the worker's own transaction: what it has written and that the job
-- is done are there together or not at all. As in jobs_end.c.
CREATE FUNCTION bulkhead.complete(job uuid, lease_token text, result jsonb DEFAULT NULL) RETURNS void
-- safe: new, refuses roles that are not listed, and names the tenant in each statement
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
#variable_conflict use_column
DECLARE
	v_may text;
	v_before text := coalesce(current_setting('app.tenant', TRUE), '');
	v_token bytea;
	v_tenant uuid;
	v_lease uuid;
	v_attempt bigint;
	v_now bigint := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
	v_job record;
	v_group record;
	v_settings jsonb;
	v_keep bigint;
	v_seats bigint;
	v_step bigint;
	v_reach bigint;
	v_at bigint;
	v_next uuid;
BEGIN
	SELECT c.tenant INTO v_may FROM main.job_caller AS c WHERE c.role = session_user;
	IF NOT FOUND THEN
		RAISE insufficient_privilege USING MESSAGE = format('role %s may not end jobs', session_user),
			HINT = 'bulkhead jobs grant ROLE TENANT|any lists it.';
	END IF;
	IF complete.lease_token IS NULL OR complete.lease_token !~ '^bh_ls_[A-Za-z0-9_-]{48}$' THEN
		RAISE invalid_parameter_value USING MESSAGE = 'lease_token: is none';
	END IF;
	IF octet_length(complete.result::text) > 262144 THEN
		RAISE program_limit_exceeded USING MESSAGE = 'result: must be JSON of at most 262144 bytes';
	END IF;
	v_token := decode(translate(substr(complete.lease_token, 7), '-_', '+/'), 'base64');
	v_tenant := encode(substr(v_token, 1, 16), 'hex')::uuid;
	v_lease := encode(substr(v_token, 17, 16), 'hex')::uuid;
	v_attempt := get_byte(v_token, 32) * 16777216::bigint + get_byte(v_token, 33) * 65536
		+ get_byte(v_token, 34) * 256 + get_byte(v_token, 35);
	IF v_may <> 'any' AND v_may::uuid <> v_tenant THEN
		RAISE insufficient_privilege USING
			MESSAGE = format('role %s may not end jobs of another tenant', session_user);
	END IF;
	PERFORM set_config('app.tenant', v_tenant::text, TRUE);
	IF NOT EXISTS (SELECT FROM main.tenant AS t WHERE t.tenant_id = v_tenant AND t.status = 'active') THEN
		RAISE object_not_in_prerequisite_state USING
			MESSAGE = format('lease_token: tenant %s is not active', v_tenant);
	END IF;

	UPDATE main.job AS j SET state = 'completed', timeout_at = NULL, seated = FALSE, cancelling = FALSE,
		ended_at = v_now, result = complete.result::text
		WHERE j.tenant_id = v_tenant AND j.id = complete.job AND j.state = 'running'
		AND j.lease_id = v_lease AND j.attempt = v_attempt
		RETURNING j.queue, j.group_key, j.unique_key INTO v_job;
	IF NOT FOUND THEN
		RAISE object_not_in_prerequisite_state USING
			MESSAGE = format('lease_token: job %s is somebody else''s by now, or has ended',
				complete.job);
	END IF;

	v_settings := coalesce((SELECT q.settings::jsonb FROM main.job_queue AS q
		WHERE q.name = v_job.queue), '{}');
	v_keep := (v_settings #>> '{completed,count}')::bigint;
	IF v_keep = 0 THEN
		DELETE FROM main.job AS j WHERE j.tenant_id = v_tenant AND j.id = complete.job;
		DELETE FROM main.job_line AS l WHERE l.tenant_id = v_tenant AND l.job_id = complete.job;
		DELETE FROM main.job_error AS e WHERE e.tenant_id = v_tenant AND e.job_id = complete.job;
	END IF;

	IF v_job.group_key IS NOT NULL THEN
		UPDATE main.job_group AS g SET active = greatest(g.active - 1, 0) WHERE g.tenant_id = v_tenant
			AND g.queue = v_job.queue AND g.key = v_job.group_key
			RETURNING g.active, g.waiting, g.halted, g.next_at INTO v_group;
		IF FOUND THEN
			v_seats := greatest(coalesce((v_settings ->> 'groupConcurrency')::bigint, 1), 1);
			v_step := coalesce((v_settings #>> '{groupRate,perMs}')::bigint * 1000
				/ nullif((v_settings #>> '{groupRate,count}')::bigint, 0), 0);
			v_reach := greatest(coalesce((v_settings #>> '{groupRate,perMs}')::bigint * 1000, 0),
				(v_seats + 1) * v_step);
			WHILE NOT v_group.halted AND v_group.waiting > 0 AND v_group.active < v_seats LOOP
				v_at := CASE WHEN v_group.next_at BETWEEN v_now AND v_now + v_reach
					THEN v_group.next_at ELSE v_now END;
				UPDATE main.job AS j SET blocked = FALSE, seated = TRUE,
					state = CASE WHEN v_step > 0 AND v_at > v_now THEN 'scheduled'
						ELSE 'available' END,
					run_at = CASE WHEN v_step > 0 AND v_at > v_now THEN v_at ELSE j.run_at END
					WHERE j.tenant_id = v_tenant AND j.blocked AND j.id = (SELECT b.id
						FROM main.job AS b WHERE b.tenant_id = v_tenant
						AND b.queue = v_job.queue AND b.group_key = v_job.group_key
						AND b.blocked ORDER BY b.turn, b.id LIMIT 1);
				IF NOT FOUND THEN
					v_group.waiting := 0;
				ELSE
					v_group.active := v_group.active + 1;
					v_group.waiting := v_group.waiting - 1;
					IF v_step > 0 THEN
						v_group.next_at := v_at + v_step;
					END IF;
				END IF;
			END LOOP;
			UPDATE main.job_group AS g SET active = v_group.active, waiting = v_group.waiting,
				next_at = v_group.next_at WHERE g.tenant_id = v_tenant
				AND g.queue = v_job.queue AND g.key = v_job.group_key;
		END IF;
	END IF;

	IF v_job.unique_key IS NOT NULL THEN
		DELETE FROM main.job_unique AS u WHERE u.tenant_id = v_tenant AND u.queue = v_job.queue
			AND u.key = v_job.unique_key AND u.job_id = complete.job AND u.before_id IS NULL
			AND u.until <= v_now;
		UPDATE main.job_unique AS u SET before_id = NULL WHERE u.tenant_id = v_tenant
			AND u.queue = v_job.queue AND u.key = v_job.unique_key AND u.before_id = complete.job
			RETURNING u.job_id INTO v_next;
		UPDATE main.job AS j SET run_at = j.turn - j.priority * 10000000
			WHERE j.tenant_id = v_tenant AND j.id = v_next AND j.state = 'scheduled'
			AND j.run_at = 9000000000000000000;
	END IF;
	PERFORM set_config('app.tenant', v_before, TRUE);
END
$function$;

-- down 2 postgres
DROP FUNCTION bulkhead.complete; -- safe: going down
DROP FUNCTION bulkhead.enqueue; -- safe: going down
DROP TABLE main.job_caller; -- safe: going down
