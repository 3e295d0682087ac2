/*
 * Configuration: typed, loaded once, checked as a whole, then read-only.
 *
 * Values come from the environment, from `.env` in the working directory, or from a file that
 * NAME_FILE names; the rules are in doc/config.md, the settings in config_table.h. Nothing else in
 * the source reads the environment (a test looks).
 *
 * The loader works on any table of entries, so that tests bring their own; `config_load` is the one
 * for `struct config`. Everything here is for the start of the program: one thread, ordinary
 * blocking reads of small files.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/str.h"
#include "config_table.h"

#include <stdbool.h>
#include <stdint.h>

/* --- types of values --------------------------------------------------------- */

#define CONFIG_CONSTANT(constant, text) constant,
enum app_env { APP_ENVS(CONFIG_CONSTANT) APP_ENV_COUNT };
enum config_log_level { CONFIG_LOG_LEVELS(CONFIG_CONSTANT) };
enum config_log_format { CONFIG_LOG_FORMATS(CONFIG_CONSTANT) };
enum config_tls_version { CONFIG_TLS_VERSIONS(CONFIG_CONSTANT) };
enum config_forwarded { CONFIG_FORWARDED(CONFIG_CONSTANT) };
enum config_sign_up { CONFIG_SIGN_UPS(CONFIG_CONSTANT) };
enum config_email_target { CONFIG_EMAIL_TARGETS(CONFIG_CONSTANT) };
enum config_jwt_algorithm { CONFIG_JWT_ALGORITHMS(CONFIG_CONSTANT) };
#undef CONFIG_CONSTANT

/* Where to listen: "127.0.0.1:9090", "[::1]:9090", ":9090". */
struct config_listen {
	struct str host; /* without brackets; empty: all addresses */
	uint16_t port;   /* 0: the system chooses */
};

/* An absolute URL in its parts, as written (percent-encoding is not undone). */
struct config_url {
	struct str text; /* all of it, userinfo included: secret; empty: not set */
	struct str scheme;
	struct str user, password; /* secret; empty when missing */
	struct str host;           /* without brackets */
	uint16_t port;             /* 0: not given */
	struct str path;           /* from its "/" on, or empty */
	struct str query;          /* secret; without "?" */
};

struct config_list {
	const struct str *at;
	size_t count;
};

/* A network. IPv4 is written as IPv6 (::ffff:a.b.c.d), its prefix 96 longer, so that one
 * comparison serves both. No bit behind the prefix is set. */
struct config_cidr {
	uint8_t address[16];
	uint8_t bits; /* 0 to 128 */
};

struct config_cidrs {
	const struct config_cidr *at;
	size_t count;
};

enum config_type {
	CONFIG_STRING,   /* struct str; bounds: bytes. UTF-8 without control characters */
	CONFIG_PATH,     /* struct str with a NUL behind it; the same, without a NUL byte */
	CONFIG_HOST,     /* struct str: address or host name */
	CONFIG_ENUM,     /* an enum; choices: its texts in order */
	CONFIG_BOOL,     /* bool */
	CONFIG_INTEGER,  /* size_t; bounds: value */
	CONFIG_PERCENT,  /* unsigned, 0 to 100; bounds: value */
	CONFIG_DURATION, /* uint64_t; bounds: nanoseconds */
	CONFIG_SIZE,     /* size_t; bounds: bytes */
	CONFIG_PORT,     /* uint16_t; bounds: value */
	CONFIG_LISTEN,   /* struct config_listen */
	CONFIG_URL,      /* struct config_url; choices: allowed schemes */
	CONFIG_LIST,     /* struct config_list; bounds: number of items */
	CONFIG_CIDRS,    /* struct config_cidrs; bounds: number of networks */
	CONFIG_TYPES,
};

enum config_flag {
	CONFIG_SECRET = 1,                 /* never shown; files that hold it must be private */
	CONFIG_REQUIRED_IN_PRODUCTION = 2, /* an empty value is a problem there */
	CONFIG_OR_ZERO = 4,                /* 0 is allowed beside the bounds */
};

/* One row of a table. */
struct config_entry {
	struct str name;
	enum config_type type;
	unsigned flags;
	size_t offset;                       /* of the member */
	uint64_t min, max;                   /* see the types; inclusive */
	const char *const *choices;          /* NULL-terminated; see the types */
	const char *defaults[APP_ENV_COUNT]; /* one for each `enum app_env`, as text */
	const char *section;
	const char *text; /* what it does and what it protects from, for people */
};

struct config_report;

/* A set of settings. The first entry is APP_ENV, of `enum app_env`. */
struct config_table {
	const struct config_entry *entries;
	size_t count;
	size_t size; /* of the struct with the members */
	/* Rules across entries, or NULL; notes what is wrong with config_problem. */
	void (*check)(const void *values, struct config_report *report);
};

/*
 * What the columns of a row stand for: the C type of the member, and the entry's initializers. A
 * table of one's own is written with the same macros (see config_test.c).
 */
#define CONFIG_C_STRING(min, max)   struct str
#define CONFIG_C_PATH               struct str
#define CONFIG_C_HOST               struct str
#define CONFIG_C_ENUM(tag)          enum tag
#define CONFIG_C_BOOL               bool
#define CONFIG_C_INTEGER(min, max)  size_t
#define CONFIG_C_PERCENT            unsigned
#define CONFIG_C_DURATION(min, max) uint64_t
#define CONFIG_C_SIZE(min, max)     size_t
#define CONFIG_C_PORT               uint16_t
#define CONFIG_C_LISTEN             struct config_listen
#define CONFIG_C_URL(...)           struct config_url
#define CONFIG_C_LIST(max)          struct config_list
#define CONFIG_C_CIDRS(max)         struct config_cidrs

#define CONFIG_OF_STRING(lo, hi)   .type = CONFIG_STRING, .min = (lo), .max = (hi)
#define CONFIG_OF_PATH             .type = CONFIG_PATH, .min = 1, .max = 4095
#define CONFIG_OF_HOST             .type = CONFIG_HOST, .min = 1, .max = 253
#define CONFIG_OF_ENUM(tag)        .type = CONFIG_ENUM, .choices = tag##_texts
#define CONFIG_OF_BOOL             .type = CONFIG_BOOL
#define CONFIG_OF_INTEGER(lo, hi)  .type = CONFIG_INTEGER, .min = (lo), .max = (hi)
#define CONFIG_OF_PERCENT          .type = CONFIG_PERCENT, .min = 0, .max = 100
#define CONFIG_OF_DURATION(lo, hi) .type = CONFIG_DURATION, .min = (lo), .max = (hi)
#define CONFIG_OF_SIZE(lo, hi)     .type = CONFIG_SIZE, .min = (lo), .max = (hi)
#define CONFIG_OF_PORT             .type = CONFIG_PORT, .min = 0, .max = UINT16_MAX
#define CONFIG_OF_LISTEN           .type = CONFIG_LISTEN, .min = 1, .max = 261
#define CONFIG_OF_LIST(most)       .type = CONFIG_LIST, .min = 1, .max = (most)
#define CONFIG_OF_CIDRS(most)      .type = CONFIG_CIDRS, .min = 1, .max = (most)
#define CONFIG_OF_URL(...)                                                                         \
	.type = CONFIG_URL, .min = 1, .max = 2048, .choices = (const char *const[])                \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

#define CONFIG_DEFAULT_ALWAYS(text)                                                                \
	{                                                                                          \
		text, text, text                                                                   \
	}
#define CONFIG_DEFAULT_DEVELOPMENT_ELSE(here, elsewhere)                                           \
	{                                                                                          \
		here, elsewhere, elsewhere                                                         \
	}

#define CONFIG_MEMBER(member, NAME, type, ...) CONFIG_C_##type member;

/* One entry for a member of `struct tag`. */
#define CONFIG_ENTRY(tag, member, NAME, type, preset, entry_flags, entry_section, sentence)        \
	{                                                                                          \
		.name = S_INIT(#NAME), .offset = offsetof(struct tag, member),                     \
		.flags = (entry_flags), .section = (entry_section), .text = (sentence),            \
		.defaults = CONFIG_DEFAULT_##preset, CONFIG_OF_##type                              \
	}

extern const char *const app_env_texts[];

/* --- the configuration of the server ------------------------------------------ */

/* Durations are nanoseconds, sizes bytes. What a member means stands in config_table.h. */
struct config {
	CONFIG_TABLE(CONFIG_MEMBER)
};

extern const struct config_table config_table;

/* --- loading ------------------------------------------------------------------ */

/* Where values are looked for. */
struct config_source {
	const char *const
		*variables; /* NAME=value, NULL at the end; the caller's, used while loading */
	int directory;      /* a folder's descriptor or AT_FDCWD: .env, relative NAME_FILE */
};

/* The source of this process: its environment and its working directory. */
struct config_source config_process(void);

/* One finding. */
struct config_note {
	struct config_note *next;
	bool warning; /* else a problem: the program must not start */
	struct str name;
	struct str message; /* never contains a secret; the origin of the value stands last */
};

enum { CONFIG_NOTES_MAX = 200 }; /* further ones are counted only */

/* What loading found, in the order of the sources and then of the table. */
struct config_report {
	struct arena arena; /* owner of the texts */
	struct config_note *first, **last;
	size_t problems, warnings;
	size_t unlisted; /* of both, those beyond CONFIG_NOTES_MAX */
	int failed;      /* 0, or a negative error code: a note was lost for want of memory */
};

/* Notes a problem or a warning about the setting `name`, for the check function of a table. */
void config_problem(struct config_report *report, struct str name, const char *format, ...)
	PRINTF_LIKE(3, 4);
void config_warning(struct config_report *report, struct str name, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* True when the setting has no problem yet, so that a rule about it makes sense. */
bool config_sound(const struct config_report *report, struct str name);

/*
 * Loads and checks everything. The report is initialised, filled, and the caller's to give back
 * (config_report_done) whatever is returned. On success `*ret` is memory that the kernel protects
 * from writing, to be given back with config_free.
 *
 * Errors: ERR_INVALID when there are problems, all of them in the report; ERR_NO_MEMORY, ERR_IO,
 * ERR_TOO_LARGE (the values take more than a megabyte).
 */
int config_load(const struct config_source *source, struct config_report *report,
	const struct config **ret);

/* The same for any table; `*ret` is the struct its members are in. */
int config_load_table(const struct config_table *table, const struct config_source *source,
	struct config_report *report, const void **ret);

/* Gives back what config_load or config_load_table returned. NULL is allowed. */
void config_free(const void *values);

void config_report_done(struct config_report *report);

/* --- showing ------------------------------------------------------------------ */

/* A line for each finding, "problem: PORT must be ..."; problems first. */
void config_report_write(const struct config_report *report, struct buf *out);

/* {"valid":false,"problems":[{"name":...,"message":...}],"warnings":[...],"unlisted":0} */
void config_report_write_json(const struct config_report *report, struct buf *out);

/*
 * What is in force: `NAME=value  # origin` for each setting of `loaded` (from config_load or
 * config_load_table), secrets and the userinfo and query of URLs as ********. The text is a `.env`
 * that gives the same values, secrets excepted (the loader refuses the asterisks).
 */
void config_print(const void *loaded, struct buf *out);

/* {"NAME":{"value":...,"origin":"..."},...}: numbers, booleans and lists as such; durations and
 * sizes as text with their unit; null for an empty text. */
void config_print_json(const void *loaded, struct buf *out);

/* The manual of a table in Markdown: a section for each section, a row for each setting. */
void config_doc(const struct config_table *table, struct buf *out);

#endif
