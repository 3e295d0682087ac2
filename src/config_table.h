/*
 * The settings: one row each, and nothing else says anything about them. From the rows come the
 * members of `struct config`, loading, checking, `config print` and the manual (`config doc`).
 *
 *     X(member, NAME, TYPE(bounds), DEFAULT(text), flags, section, sentence)
 *
 * The member is the name in lower case. Bounds are in the type's unit (bytes, nanoseconds, items).
 * ALWAYS(text) is the default everywhere; DEVELOPMENT_ELSE(text, text) has another one outside of
 * development. The empty default leaves the member zero. APP_ENV is the first row, since the
 * defaults of the others depend on it; rows of a section stand together.
 */
#ifndef CONFIG_TABLE_H
#define CONFIG_TABLE_H

/* C(constant, text): the values of the enumerations. */
#define APP_ENVS(C)                                                                                \
	C(APP_DEVELOPMENT, "development")                                                          \
	C(APP_STAGING, "staging")                                                                  \
	C(APP_PRODUCTION, "production")

#define CONFIG_LOG_LEVELS(C)                                                                       \
	C(CONFIG_LOG_TRACE, "trace")                                                               \
	C(CONFIG_LOG_DEBUG, "debug")                                                               \
	C(CONFIG_LOG_INFO, "info")                                                                 \
	C(CONFIG_LOG_WARN, "warn")                                                                 \
	C(CONFIG_LOG_ERROR, "error")

#define CONFIG_LOG_FORMATS(C)                                                                      \
	C(CONFIG_LOG_AUTO, "auto")                                                                 \
	C(CONFIG_LOG_JSON, "json")                                                                 \
	C(CONFIG_LOG_PRETTY, "pretty")

#define CONFIG_FORWARDED(C)                                                                        \
	C(CONFIG_X_FORWARDED_FOR, "x-forwarded-for")                                               \
	C(CONFIG_RFC7239, "forwarded")

#define CONFIG_TLS_VERSIONS(C)                                                                     \
	C(CONFIG_TLS_1_2, "1.2")                                                                   \
	C(CONFIG_TLS_1_3, "1.3")

#define CONFIG_SIGN_UPS(C)                                                                         \
	C(CONFIG_SIGN_UP_OPEN, "open")                                                             \
	C(CONFIG_SIGN_UP_INVITATION, "invitation")                                                 \
	C(CONFIG_SIGN_UP_CLOSED, "closed")

#define CONFIG_EMAIL_TARGETS(C)                                                                    \
	C(CONFIG_EMAIL_USERS, "users")                                                             \
	C(CONFIG_EMAIL_ANYONE, "anyone")

#define CONFIG_JWT_ALGORITHMS(C)                                                                   \
	C(CONFIG_JWT_RS256, "RS256")                                                               \
	C(CONFIG_JWT_ES256, "ES256")                                                               \
	C(CONFIG_JWT_EDDSA, "EdDSA")

/* clang-format off */
#define CONFIG_TABLE(X)                                                                            \
	X(app_env, APP_ENV, ENUM(app_env), ALWAYS("development"), 0, "Server",                     \
		"What this instance is for. Production hides the inside of errors, requires "      \
		"secrets and keeps metrics off the public port.")                                  \
	X(host, HOST, HOST, DEVELOPMENT_ELSE("127.0.0.1", "0.0.0.0"), 0, "Server",                 \
		"Address to listen on. In development only this machine can reach it.")            \
	X(port, PORT, PORT, ALWAYS("8080"), 0, "Server",                                           \
		"Public port; it speaks TLS when TLS_CERT_FILE is set. 0 lets the system choose.") \
	X(ops_listen, OPS_LISTEN, LISTEN, ALWAYS("127.0.0.1:9090"), 0, "Server",                   \
		"Where detailed health and metrics are served outside of development. Keep it "    \
		"away from the public.")                                                           \
	X(data_dir, DATA_DIR, PATH, ALWAYS("./data"), 0, "Server",                                 \
		"Folder for everything that is stored on this machine.")                           \
	X(workers, WORKERS, INTEGER(0, 256), ALWAYS("0"), 0, "Server",                             \
		"Worker threads. 0 is one for each core.")                                         \
	X(hello_enabled, HELLO_ENABLED, BOOL, DEVELOPMENT_ELSE("true", "false"), 0, "Server",      \
		"Serves GET /hello, an endpoint to try and to measure with.")                      \
	X(modules, MODULES, LIST(64), ALWAYS(""), 0, "Server",                                     \
		"Shared objects with further modules, loaded in this order. Their code may do "    \
		"whatever the server may.")                                                        \
	X(trusted_proxies, TRUSTED_PROXIES, CIDRS(64), ALWAYS(""), 0, "Server",                    \
		"Networks of the proxies in front. Only from these are forwarding headers "        \
		"believed; anybody else could invent an address.")                                 \
	X(shutdown_delay, SHUTDOWN_DELAY, DURATION(0, 5 * MINUTE),                                 \
		DEVELOPMENT_ELSE("0s", "5s"), 0, "Server",                                         \
		"On SIGTERM, how long readiness fails before the listener closes, so that load "   \
		"balancers look away first and no connection is refused.")                         \
	X(shutdown_timeout, SHUTDOWN_TIMEOUT, DURATION(SECOND, 10 * MINUTE), ALWAYS("25s"), 0,     \
		"Server",                                                                          \
		"How long running requests may take to end after the listener has closed; what "   \
		"is left is cancelled. Keep it below the platform's own kill timeout.")            \
                                                                                                   \
	X(database_url, DATABASE_URL, URL("postgres", "postgresql"), ALWAYS(""),                   \
		CONFIG_SECRET, "Database",                                                         \
		"PostgreSQL, by a login that owns nothing; migrations give it its rights. "        \
		"Empty keeps everything in a SQLite file in DATA_DIR.")                            \
	X(database_owner_url, DATABASE_OWNER_URL, URL("postgres", "postgresql"), ALWAYS(""),       \
		CONFIG_SECRET, "Database",                                                         \
		"The same database by the login that owns the tables, not through a "              \
		"pooler. Used to migrate and for nothing else, so that nothing that "              \
		"serves can change or see more than a tenant.")                                    \
	X(database_direct_url, DATABASE_DIRECT_URL, URL("postgres", "postgresql"),                 \
		ALWAYS(""), CONFIG_SECRET, "Database",                                             \
		"DATABASE_URL past a pooler, for what cannot go through one. Setting it "          \
		"says that DATABASE_URL is a pooler.")                                             \
	X(database_pool_max, DATABASE_POOL_MAX, INTEGER(1, 1000), ALWAYS("10"), 0,                 \
		"Database",                                                                        \
		"Connections to PostgreSQL of this process. All instances together stay "          \
		"below its max_connections.")                                                      \
	X(database_pool_wait, DATABASE_POOL_WAIT, DURATION(MILLISECOND, MINUTE),                   \
		ALWAYS("2s"), 0, "Database",                                                       \
		"How long a request waits for a connection before it is answered 503.")            \
	X(database_connect_timeout, DATABASE_CONNECT_TIMEOUT, DURATION(100 * MILLISECOND,          \
		MINUTE), ALWAYS("5s"), 0, "Database",                                              \
		"Within this time a new connection must stand.")                                   \
	X(database_connection_age, DATABASE_CONNECTION_AGE, DURATION(MINUTE, 24 * HOUR),           \
		ALWAYS("30m"), 0, "Database",                                                      \
		"Age after which a connection is replaced, so that load follows a "                \
		"failover and memory of the server is given back.")                                \
	X(database_prepare, DATABASE_PREPARE, BOOL, ALWAYS("true"), 0, "Database",                 \
		"Prepares statements once for each connection. Switch it off for a pooler "        \
		"that cannot keep them.")                                                          \
	X(sqlite_cache, SQLITE_CACHE, SIZE(1 * MEGABYTE, 64 * 1024 * MEGABYTE),                    \
		ALWAYS("16mb"), 0, "Database",                                                     \
		"Pages of the SQLite file kept in memory by the writer; each reader has a "        \
		"quarter of it.")                                                                  \
	X(sqlite_read_threads, SQLITE_READ_THREADS, INTEGER(1, 64), ALWAYS("2"), 0,                \
		"Database",                                                                        \
		"Threads for reads of the SQLite file that take long, so that they do not "        \
		"hold up a worker.")                                                               \
	X(sqlite_write_queue, SQLITE_WRITE_QUEUE, INTEGER(16, 1000000), ALWAYS("4096"), 0,         \
		"Database",                                                                        \
		"Transactions that may wait for the writer of the SQLite file; beyond it "         \
		"they are answered 503.")                                                          \
	X(migrate_on_start, MIGRATE_ON_START, BOOL, ALWAYS("true"), 0, "Database",                 \
		"Brings the database up to date before serving. Switch it off where "              \
		"bulkhead migrate up is a step of the deployment.")                                \
                                                                                                   \
	X(roles, ROLES, LIST(4), ALWAYS("api,worker,relay,scheduler"), 0, "Jobs",                  \
		"What this instance does. api serves all routes, the others only probes and "      \
		"metrics; worker runs jobs and sends mails; scheduler starts what is due and "      \
		"takes jobs from workers that are gone; relay does nothing yet. Every "            \
		"installation needs each of them somewhere.")                                      \
	X(jobs_threads, JOBS_THREADS, INTEGER(1, 64), ALWAYS("1"), 0, "Jobs",                      \
		"Threads on which handlers of jobs run, 2,048 at once on each. More than one "     \
		"where handlers compute much.")                                                    \
	X(jobs_push_private, JOBS_PUSH_PRIVATE, BOOL, DEVELOPMENT_ELSE("true", "false"), 0, "Jobs", \
		"Lets queues send their jobs to addresses inside of private networks and on this " \
		"machine. Off, whoever may set a queue's address cannot reach what only we can.")  \
	X(jobs_push_ca_file, JOBS_PUSH_CA_FILE, PATH, ALWAYS(""), 0, "Jobs",                       \
		"Authorities (PEM) that certificates of such addresses are checked against, "      \
		"instead of the system's.")                                                        \
	X(jobs_shutdown_timeout, JOBS_SHUTDOWN_TIMEOUT, DURATION(0, 10 * MINUTE), ALWAYS("10s"),   \
		0, "Jobs",                                                                         \
		"On SIGTERM, how long handlers of jobs may take to finish; what is left is "       \
		"cancelled and handed back, and that attempt does not count.")                     \
                                                                                                   \
	X(memory_limit, MEMORY_LIMIT, SIZE(64 * MEGABYTE, 1024 * 1024 * MEGABYTE), ALWAYS("0"),    \
		CONFIG_OR_ZERO, "Memory",                                                          \
		"Most memory for requests and buffers; beyond it new work is answered 503 "        \
		"instead of the process being killed. 0 is half of the machine's memory.")         \
	X(request_memory_limit, REQUEST_MEMORY_LIMIT, SIZE(64 * KILOBYTE, 1024 * MEGABYTE),        \
		ALWAYS("16mb"), 0, "Memory",                                                       \
		"Most memory one request may use, so that a single one cannot use up all.")        \
                                                                                                   \
	X(backup_interval, BACKUP_INTERVAL, DURATION(MINUTE, 365 * 24 * HOUR),                     \
		DEVELOPMENT_ELSE("0s", "24h"), CONFIG_OR_ZERO, "Backup",                           \
		"How often the server copies the SQLite file to DATA_DIR/backups while it goes "   \
		"on; the first time when the last backup is older. 0 switches it off. Keys are "   \
		"not in a backup.")                                                                \
	X(backup_keep, BACKUP_KEEP, INTEGER(1, 1000), ALWAYS("7"), 0, "Backup",                    \
		"Newest backups that are kept; older ones are removed so that the disk does not "  \
		"fill.")                                                                           \
	X(backup_keep_days, BACKUP_KEEP_DAYS, INTEGER(0, 3650), ALWAYS("30"), 0, "Backup",         \
		"Backups older than so many days are removed even when there are few, but never "  \
		"the newest. 0 is any age.")                                                       \
                                                                                                   \
	X(log_level, LOG_LEVEL, ENUM(config_log_level), ALWAYS("info"), 0, "Log",                  \
		"The least important lines that are written.")                                     \
	X(log_format, LOG_FORMAT, ENUM(config_log_format), ALWAYS("auto"), 0, "Log",               \
		"json is one object a line, pretty is for people; auto is pretty on a terminal "   \
		"and json elsewhere.")                                                             \
	X(log_file, LOG_FILE, PATH, ALWAYS(""), 0, "Log",                                          \
		"Log files instead of standard output: /var/log/bulkhead.log writes "              \
		"/var/log/bulkhead-DATE.NUMBER.log, a new one each day (UTC) and at the size.")    \
	X(log_file_max_size, LOG_FILE_MAX_SIZE, SIZE(1 * MEGABYTE, 10 * 1024 * MEGABYTE),          \
		ALWAYS("100mb"), 0, "Log",                                                         \
		"A log file of this size is put aside and a new one begun.")                       \
	X(log_file_keep, LOG_FILE_KEEP, INTEGER(1, 1000), ALWAYS("14"), 0, "Log",                  \
		"Old log files that are kept; older ones are removed so that the disk does not "   \
		"fill.")                                                                           \
	X(log_file_max_age, LOG_FILE_MAX_AGE, DURATION(HOUR, 3650 * 24 * HOUR), ALWAYS("30d"), 0,  \
		"Log",                                                                             \
		"Old log files are removed at this age even when there are few.")                  \
                                                                                                   \
	X(tls_cert_file, TLS_CERT_FILE, PATH, ALWAYS(""), 0, "TLS",                                \
		"Certificate chain (PEM), the server's own first. Setting it switches TLS on.")    \
	X(tls_key_file, TLS_KEY_FILE, PATH, ALWAYS(""), 0, "TLS",                                  \
		"Private key (PEM) of the certificate.")                                           \
	X(tls_min_version, TLS_MIN_VERSION, ENUM(config_tls_version), ALWAYS("1.2"), 0, "TLS",     \
		"The oldest version that is spoken.")                                              \
	X(tls_handshake_timeout, TLS_HANDSHAKE_TIMEOUT, DURATION(100 * MILLISECOND, MINUTE),       \
		ALWAYS("5s"), 0, "TLS",                                                            \
		"Time for a handshake; protects from clients that connect and say nothing.")       \
                                                                                                   \
	X(cors_origins, CORS_ORIGINS, LIST(64), ALWAYS(""), 0, "Access",                           \
		"Origins of web pages that may call the API from a browser, like "                 \
		"https://app.example.com. Empty lets no other origin in; * is any, without "       \
		"cookies.")                                                                        \
	X(forwarded_header, FORWARDED_HEADER, ENUM(config_forwarded), ALWAYS("x-forwarded-for"),   \
		0, "Access",                                                                       \
		"Which header trusted proxies write. The other one is ignored, since a proxy "     \
		"passes it on as the client sent it.")                                             \
	X(rate_limit_enabled, RATE_LIMIT_ENABLED, BOOL, ALWAYS("true"), 0, "Access",               \
		"Counts requests and refuses what is too much with 429.")                          \
	X(rate_limit_address, RATE_LIMIT_ADDRESS, INTEGER(1, 4000000000), ALWAYS("120000"), 0,     \
		"Access",                                                                          \
		"Requests a minute from one address, whoever asks; protects what comes before "    \
		"identity is known.")                                                              \
	X(rate_limit_global, RATE_LIMIT_GLOBAL, INTEGER(1, 4000000000), ALWAYS("1000"), 0,         \
		"Access",                                                                          \
		"Requests a minute from one address without credentials.")                         \
	X(rate_limit_auth, RATE_LIMIT_AUTH, INTEGER(1, 1000000), ALWAYS("10"), 0, "Access",        \
		"Tries a minute from one address to sign in, to register or to reset a password.") \
	X(rate_limit_auth_block, RATE_LIMIT_AUTH_BLOCK, DURATION(0, 24 * HOUR), ALWAYS("15m"), 0,  \
		"Access",                                                                          \
		"How long an address that tried too often is refused.")                            \
	X(rate_limit_api, RATE_LIMIT_API, INTEGER(1, 4000000000), ALWAYS("600"), 0, "Access",      \
		"Requests a minute of one user or publishable key.")                               \
	X(rate_limit_server, RATE_LIMIT_SERVER, INTEGER(1, 4000000000), ALWAYS("60000"), 0,        \
		"Access",                                                                          \
		"Requests a minute of one secret key.")                                            \
	X(rate_limit_tenant, RATE_LIMIT_TENANT, INTEGER(1, 4000000000), ALWAYS("120000"), 0,       \
		"Access",                                                                          \
		"Requests a minute of all callers of one tenant together. This, and those of a "   \
		"caller, are of the tier free; others have more (doc/http.md).")                   \
                                                                                                   \
	X(master_key, MASTER_KEY, STRING(32, 256),                                         \
		ALWAYS(""), CONFIG_SECRET, "Identity",                                     \
		"The key of the installation, under which all others are kept: "           \
		"32 bytes as 64 hexadecimal digits or base64 (openssl rand -hex "          \
		"32). Every instance has the same, and without it neither the "            \
		"database nor a backup is of use. In development one is made and "         \
		"kept in DATA_DIR/master.key.")                                            \
	X(master_key_previous, MASTER_KEY_PREVIOUS, STRING(32, 256),                       \
		ALWAYS(""), CONFIG_SECRET, "Identity",                                     \
		"The MASTER_KEY before, while it is being changed: what is still under "   \
		"it opens, until bulkhead keys reseal has sealed all of it under the new " \
		"one (doc/keys.md).")                                                      \
	X(public_url, PUBLIC_URL, URL("http", "https"), ALWAYS(""), 0, "Identity",         \
		"Where clients reach this API, like https://api.example.com: the "         \
		"issuer of its tokens. In development it is this port on "                 \
		"localhost.")                                                              \
	X(app_url, APP_URL, URL("http", "https"), ALWAYS(""), 0, "Identity",               \
		"Where people reach the product; links in mails lead there. "              \
		"Empty is PUBLIC_URL.")                                                    \
	X(product_name, PRODUCT_NAME, STRING(1, 100),                                      \
		ALWAYS("Bulkhead"), 0, "Identity",                                         \
		"The name that mails and pages call the product by.")                      \
	X(sign_up, SIGN_UP, ENUM(config_sign_up),                                          \
		DEVELOPMENT_ELSE("open", "closed"), 0, "Identity",                         \
		"Who may register: anybody, who was invited, or nobody. A tenant "         \
		"may say otherwise for itself.")                                           \
	X(sign_up_tenants, SIGN_UP_TENANTS, BOOL,                                          \
		DEVELOPMENT_ELSE("true", "false"), 0, "Identity",                          \
		"Whether who registers may make a tenant, of which they are the "          \
		"owner.")                                                                  \
	X(auth_verify_first, AUTH_VERIFY_FIRST, BOOL,                                      \
		DEVELOPMENT_ELSE("false", "true"), 0, "Identity",                          \
		"Whether an account can be signed in to only after its address "           \
		"was verified.")                                                           \
	X(jwt_access_expiry, JWT_ACCESS_EXPIRY, DURATION(10 * SECOND, 24 * HOUR),               \
		ALWAYS("15m"), 0, "Identity",                                              \
		"Lifetime of an access token. Revoking a session ends its tokens "         \
		"at once, but not for others who verify them by the published "            \
		"keys.")                                                                   \
	X(jwt_refresh_expiry, JWT_REFRESH_EXPIRY,                                          \
		DURATION(10 * MINUTE, 365 * 24 * HOUR),                                    \
		ALWAYS("7d"), 0, "Identity",                                               \
		"A session ends when it was not refreshed for so long.")                   \
	X(session_expiry, SESSION_EXPIRY, DURATION(10 * MINUTE, 400 * 24 * HOUR),         \
		ALWAYS("30d"), 0, "Identity",                                              \
		"A session ends at this age in any case.")                                 \
	X(jwt_algorithm, JWT_ALGORITHM, ENUM(config_jwt_algorithm),                        \
		ALWAYS("RS256"), 0, "Identity",                                            \
		"Of new signing keys. RS256 is what every client knows; ES256 "            \
		"and EdDSA sign faster and are shorter.")                                  \
	X(jwt_key_rotation, JWT_KEY_ROTATION, DURATION(24 * HOUR, 3650 * 24 * HOUR),       \
		ALWAYS("90d"), CONFIG_OR_ZERO, "Identity",                                 \
		"How often a new signing key takes over; the old one is "                  \
		"published until its tokens have ended. 0 is by command only.")            \
	X(jwt_key_overlap, JWT_KEY_OVERLAP, DURATION(SECOND, 24 * HOUR),                   \
		ALWAYS("11m"), 0, "Identity",                                              \
		"A new signing key is published so long before it signs. Clients "         \
		"keep the published keys for up to 10 minutes.")                           \
	X(password_memory, PASSWORD_MEMORY, SIZE(7 * MEGABYTE, 256 * MEGABYTE),            \
		ALWAYS("19mb"), 0, "Identity",                                             \
		"Memory of one Argon2id hash. With two passes 19 MB is what "              \
		"OWASP asks for at least; more makes stolen hashes dearer to "             \
		"guess, and sign-in too.")                                                 \
	X(password_passes, PASSWORD_PASSES, INTEGER(1, 64),                                \
		ALWAYS("2"), 0, "Identity",                                                \
		"Passes of Argon2id over its memory. Fewer than 2 want 46 MB.")            \
	X(password_pool_memory, PASSWORD_POOL_MEMORY,                                      \
		SIZE(16 * MEGABYTE, 64 * 1024 * MEGABYTE),                                 \
		ALWAYS("256mb"), 0, "Identity",                                            \
		"Memory of all hashes under way; who comes when it is used up "            \
		"waits a moment and is then answered 503.")                                \
	X(password_min_length, PASSWORD_MIN_LENGTH, INTEGER(8, 64),                        \
		ALWAYS("8"), 0, "Identity",                                                \
		"Characters that a new password has at least. There are no other "         \
		"rules but that it must not be a known one.")                              \
	X(password_breached_file, PASSWORD_BREACHED_FILE, PATH,                            \
		ALWAYS(""), 0, "Identity",                                                 \
		"Passwords that are refused besides the most common ones: SHA-1 "          \
		"in hexadecimal digits, a line each, in order, as Have I Been "            \
		"Pwned gives them out.")                                                   \
	X(login_tries, LOGIN_TRIES, INTEGER(3, 1000), ALWAYS("10"), 0, "Identity",         \
		"Wrong passwords in a row before an account is locked for a "              \
		"while.")                                                                  \
	X(login_delay, LOGIN_DELAY, DURATION(0, MINUTE), ALWAYS("1s"), 0, "Identity",      \
		"How long the fourth wrong password in a row makes the next try "          \
		"wait; doubles with each further one. 0 is not at all.")                   \
	X(login_lock, LOGIN_LOCK, DURATION(MINUTE, 24 * HOUR),                             \
		ALWAYS("15m"), 0, "Identity",                                              \
		"How long an account is locked; a link by mail unlocks it "                \
		"sooner.")                                                                 \
	X(audit_retention, AUDIT_RETENTION, DURATION(24 * HOUR, 36500 * 24 * HOUR),        \
		ALWAYS("90d"), 0, "Identity",                                              \
		"Age at which entries of the audit log are removed; what is left "         \
		"can still be verified.")                                                  \
                                                                                                   \
	X(smtp_url, SMTP_URL, URL("smtp", "smtps"), ALWAYS(""), CONFIG_SECRET, "Mail",     \
		"The mail server, like "                                                   \
		"smtp://user:password@mail.example.com:587, with "                         \
		"percent-encoding where a character needs it. Empty in "                   \
		"development writes mails to DATA_DIR/mails; elsewhere none can "          \
		"be sent.")                                                                \
	X(mail_from, MAIL_FROM, STRING(3, 460), ALWAYS(""), 0, "Mail",                     \
		"Who mails come from: an address, or Name <address>. Required "            \
		"with SMTP_URL.")                                                          \
	X(email_send_to, EMAIL_SEND_TO, ENUM(config_email_target), ALWAYS("users"), 0, "Mail", \
		"Whom jobs email:send may mail: active users of the tenant who have "      \
		"proved their address, or anyone. The latter lets whoever may add jobs "   \
		"mail any address in the name of MAIL_FROM.")                              \
                                                                                                   \
	X(http_max_connections, HTTP_MAX_CONNECTIONS, INTEGER(16, 4000000), ALWAYS("0"),           \
		CONFIG_OR_ZERO, "HTTP",                                                            \
		"Connections open at once, so that a flood cannot use up memory and files. 0 "     \
		"derives it from the limit on open files (RLIMIT_NOFILE).")                        \
	X(http_max_connections_per_address, HTTP_MAX_CONNECTIONS_PER_ADDRESS,                      \
		INTEGER(1, 1000000), ALWAYS("256"), 0, "HTTP",                                     \
		"Connections open at once from one address, so that one client cannot take "       \
		"all.")                                                                            \
	X(http_head_timeout, HTTP_HEAD_TIMEOUT, DURATION(100 * MILLISECOND, 5 * MINUTE),           \
		ALWAYS("10s"), 0, "HTTP",                                                          \
		"Time from the first byte of a request to the end of its head; protects from "     \
		"clients that send it byte by byte (slowloris).")                                  \
	X(http_max_line, HTTP_MAX_LINE, SIZE(256, 1 * MEGABYTE), ALWAYS("8kb"), 0, "HTTP",         \
		"Longest request line or header line; bounds memory for each connection.")         \
	X(http_max_head, HTTP_MAX_HEAD, SIZE(1 * KILOBYTE, 1 * MEGABYTE), ALWAYS("32kb"), 0,       \
		"HTTP",                                                                            \
		"Largest head of a request, all lines together.")                                  \
	X(http_max_fields, HTTP_MAX_FIELDS, INTEGER(8, 100), ALWAYS("100"), 0, "HTTP",            \
		"Most header fields of a request; protects from heads that are dear to look "      \
		"through.")                                                                        \
	X(http_max_body, HTTP_MAX_BODY, SIZE(1 * KILOBYTE, 1024 * MEGABYTE), ALWAYS("1mb"), 0,     \
		"HTTP",                                                                            \
		"Largest body of a request, unless its route says otherwise.")                     \
	X(http_body_grace, HTTP_BODY_GRACE, DURATION(100 * MILLISECOND, 10 * MINUTE),              \
		ALWAYS("10s"), 0, "HTTP",                                                          \
		"Time before HTTP_BODY_MIN_RATE is asked of a body.")                              \
	X(http_body_min_rate, HTTP_BODY_MIN_RATE, SIZE(16, 1024 * MEGABYTE), ALWAYS("1kb"), 0,     \
		"HTTP",                                                                            \
		"Slowest rate of a body, for each second; protects from clients that hold a "      \
		"request open by trickling.")                                                      \
	X(http_handler_timeout, HTTP_HANDLER_TIMEOUT, DURATION(100 * MILLISECOND, HOUR),           \
		ALWAYS("30s"), 0, "HTTP",                                                          \
		"Time for working on a request, unless its route says otherwise; then it is "      \
		"cancelled and answered 504.")                                                     \
	X(http_write_stall_timeout, HTTP_WRITE_STALL_TIMEOUT,                                      \
		DURATION(100 * MILLISECOND, 10 * MINUTE), ALWAYS("10s"), 0, "HTTP",                \
		"How long a client may take nothing of its response before it is cut off.")        \
	X(http_idle_timeout, HTTP_IDLE_TIMEOUT, DURATION(100 * MILLISECOND, HOUR), ALWAYS("60s"),  \
		0, "HTTP",                                                                         \
		"How long a connection may rest between two requests. Keep it above the idle "     \
		"timeout of a load balancer in front.")                                            \
	X(http_max_requests_per_connection, HTTP_MAX_REQUESTS_PER_CONNECTION,                      \
		INTEGER(1, 100000000), ALWAYS("10000"), 0, "HTTP",                                 \
		"Requests after which a connection is closed, so that load spreads anew.")         \
	X(http_max_connection_age, HTTP_MAX_CONNECTION_AGE, DURATION(SECOND, 30 * 24 * HOUR),      \
		ALWAYS("1h"), 0, "HTTP",                                                           \
		"Age after which a connection is closed at its next pause.")                       \
	X(http_max_pipelined, HTTP_MAX_PIPELINED, SIZE(1 * KILOBYTE, 1 * MEGABYTE),                \
		ALWAYS("16kb"), 0, "HTTP",                                                         \
		"Bytes read ahead of the request being answered; beyond it reading pauses.")       \
	X(http_max_response_queue, HTTP_MAX_RESPONSE_QUEUE, SIZE(16 * KILOBYTE, 1024 * MEGABYTE),  \
		ALWAYS("256kb"), 0, "HTTP",                                                        \
		"Bytes of a response that wait for a slow client; beyond it the handler waits.")   \
	X(http_compression_min, HTTP_COMPRESSION_MIN, SIZE(0, 1024 * MEGABYTE), ALWAYS("1kb"), 0,  \
		"HTTP",                                                                            \
		"Smallest response that is compressed; smaller ones gain nothing.")
/* clang-format on */

#endif
