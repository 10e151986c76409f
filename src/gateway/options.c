/*
 * options.c
 *	  The settings of wacta-gateway, from flags, environment and a file.
 *
 * One table names every setting once; the flag, the environment variable, the
 * line in the file and the help text all come from it.  Secrets are not
 * settings: they are files, and the settings name them.  What is wrong is told
 * where it is found; then everybody returns false.  Called by main.c.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <libpq-fe.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"

#ifndef WACTA_VERSION
#define WACTA_VERSION "unknown"
#endif

typedef enum OptionKind
{
	KIND_TEXT,
	KIND_COUNT,
	KIND_POINTS,				/* a count that may be 0 */
	KIND_TIME,
	KIND_SIZE,
	KIND_SWITCH
} OptionKind;

typedef struct Option
{
	const char *name;			/* of the flag and in the file */
	OptionKind	kind;
	size_t		offset;			/* in Options */
	const char *value;			/* shown in the help */
	const char *standard;		/* the default */
	bool		is_fixed;		/* for as long as the program runs */
	const char *help;
} Option;

#define AT(field) offsetof(Options, field)

#define FIXED	true
#define LIVE	false

static const Option table[] = {
	{"config", KIND_TEXT, AT(config), "FILE", "", FIXED,
	"read settings from FILE, lines of `name = value`"},
	{"listen", KIND_TEXT, AT(listen), "ADDRESS", "127.0.0.1:8080", FIXED,
	"accept HTTP here: host:port, [v6]:port or unix:/path;\n"
	"port 0 takes a free one; the first line printed tells it;\n"
	"sockets that systemd passes go before this"},
	{"metrics-listen", KIND_TEXT, AT(metrics_listen), "ADDRESS", "", FIXED,
	"tell figures for Prometheus at /metrics here, to whoever\n"
	"asks; without it at the other address, to programs of this\n"
	"machine that do not come through a proxy"},
	{"db", KIND_TEXT, AT(db), "CONNINFO", "", FIXED,
	"the database, as psql takes it, for instance\n"
	"\"host=/run/postgresql dbname=crm user=wacta_gateway\"; no\n"
	"password in it: use peer authentication or passfile=..."},
	{"anon-role", KIND_TEXT, AT(anon_role), "ROLE", "wacta_anon", LIVE,
	"role of requests without a token"},
	{"jwt-secret-file", KIND_TEXT, AT(jwt_secret_file), "FILE", "", LIVE,
	"at least 32 bytes that sign tokens (HS256), or a JWK or JWK\n"
	"set in JSON (oct: HS256, RSA: RS256)"},
	{"pool", KIND_COUNT, AT(pool), "N", "8", FIXED,
	"connections to the database; webhooks, and the staff's\n"
	"pages, use at most half of them, one lead's taps one"},
	{"queue", KIND_COUNT, AT(queue), "N", "1000", FIXED,
	"requests that may wait for a connection; more get a 503"},
	{"group", KIND_COUNT, AT(group), "N", "16", FIXED,
	"customers' taps that wait at the same time share a transaction,\n"
	"at most so many, 64 at most; 1: each has its own"},
	{"queue-timeout", KIND_TIME, AT(queue_timeout), "TIME", "5s", FIXED,
	"longest wait for a connection, then 503"},
	{"request-timeout", KIND_TIME, AT(request_timeout), "TIME", "30s", FIXED,
	"longest wait for the database's answer, then 504"},
	{"statement-timeout", KIND_TIME, AT(statement_timeout), "TIME", "15s", FIXED,
	"statement_timeout of the connections"},
	{"lock-timeout", KIND_TIME, AT(lock_timeout), "TIME", "5s", FIXED,
	"lock_timeout of the connections"},
	{"client-timeout", KIND_TIME, AT(client_timeout), "TIME", "30s", LIVE,
	"a client that neither sends nor reads for so long is dropped"},
	{"receive-timeout", KIND_TIME, AT(receive_timeout), "TIME", "60s", LIVE,
	"longest time that a request may take to arrive, then 408"},
	{"stop-timeout", KIND_TIME, AT(stop_timeout), "TIME", "30s", LIVE,
	"on SIGTERM, longest wait for requests already begun"},
	{"max-connections", KIND_COUNT, AT(max_connections), "N", "15000", FIXED,
	"descriptors that clients may take; more of them wait to be\n"
	"accepted, and from half on the idle are dropped early"},
	{"max-body", KIND_SIZE, AT(max_body), "SIZE", "4MB", FIXED,
	"a webhook with a larger body gets a 413; forms and JSON may\n"
	"have 64 kB"},
	{"max-headers", KIND_SIZE, AT(max_headers), "SIZE", "16kB", FIXED,
	"a larger request head, or one of over 100 lines, is refused"},
	{"max-held", KIND_SIZE, AT(max_held), "SIZE", "64MB", LIVE,
	"memory for all requests and replies; above it a request with\n"
	"a body gets a 503, above three times as much every request"},
	{"limit-burst", KIND_POINTS, AT(limit.burst), "POINTS", "1000", LIVE,
	"an address that has spent so many gets a 429 for whatever it\n"
	"asks, good links and webhooks excepted, without being signed\n"
	"in; each refused request costs 1; an IPv6 address counts as\n"
	"its /64; 0: no limit"},
	{"limit-rate", KIND_COUNT, AT(limit.rate), "POINTS", "20", LIVE,
	"given back each second"},
	{"limit-login", KIND_POINTS, AT(limit_login), "POINTS", "20", LIVE,
	"what a sign-in costs that failed"},
	{"limit-request", KIND_POINTS, AT(limit_request), "POINTS", "0", LIVE,
	"what a good request costs if it is not signed in; 0, since\n"
	"many customers of one telephone company share an address"},
	{"trust-proxy", KIND_SWITCH, AT(trust_proxy), NULL, "off", LIVE,
	"take the client's address from the last X-Forwarded-For;\n"
	"only behind a proxy of your own that sets it"},
	{"trusted-proxies", KIND_TEXT, AT(trusted_proxies), "LIST", "", LIVE,
	"the same for connections from these addresses and networks\n"
	"alone (127.0.0.1, 10.0.0.0/8; a Unix socket is 127.0.0.1),\n"
	"and through several of them one behind the other"},
	{"hsts", KIND_SWITCH, AT(hsts), NULL, "off", LIVE,
	"tell browsers to use https only for a year; for a site that\n"
	"has nothing else"},
	{"access-log", KIND_SWITCH, AT(access_log), NULL, "on", LIVE,
	"one line of JSON a request on standard output"},
	{"check", KIND_SWITCH, AT(check), NULL, "off", FIXED,
	"try settings, token secret and database, tell what is\n"
	"wrong, and end"},
};

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

static const char *const introduction =
"wacta-gateway: the HTTP front door of the wacta extension.\n"
"\n"
"It answers the customer's links, the webhooks, the JSON API and the staff's\n"
"pages by calling one function of schema wacta_api for each request, in one\n"
"transaction, as the role that the request's token names.\n"
"\n"
"Usage: wacta-gateway [SETTING]...\n"
"\n"
"Each setting is a flag (--pool 16 or --pool=16; --trust-proxy, --no-access-log),\n"
"an environment variable (WACTA_GATEWAY_POOL=16) or a line of the file that\n"
"--config names (pool = 16).  Flags win over the environment, that over the file.\n"
"TIME takes ms, s or min (plain: s), SIZE takes kB or MB (plain: bytes).\n"
"\n";

static const char *const conclusion =
"\n"
"  --help                        this text\n"
"  --version                     the version\n"
"\n"
"Signals: TERM or INT ends it after the requests it has begun; HUP reads the\n"
"file and the token secret again (settings marked * take a restart).  Put nginx\n"
"or another proxy in front for TLS.\n"
"\n"
"To begin with:\n"
"  wacta-gateway --db 'dbname=crm user=wacta_gateway' --jwt-secret-file /etc/wacta/jwt\n"
"  curl -i http://127.0.0.1:8080/health/\n";

/* Tells what is wrong, and is false. */
static bool
refuse(const char *source, const char *name, const char *reason)
{
	fprintf(stderr, "wacta-gateway: %s \"%s\": %s\n", source, name, reason);
	return false;
}

static void
print_help(void)
{
	size_t		i;

	fputs(introduction, stdout);
	for (i = 0; i < lengthof(table); i++)
	{
		const char *help = table[i].help;
		char		flag[64];

		snprintf(flag, sizeof(flag), "--%s%s%s", table[i].name,
				 table[i].value != NULL ? " " : "", table[i].value != NULL ? table[i].value : "");
		printf("  %-29s ", flag);
		for (; *help != '\0'; help++)
		{
			putchar(*help);
			if (*help == '\n')
				printf("%32s", "");
		}
		if (table[i].standard[0] != '\0')
			printf(" (%s)", table[i].standard);
		if (table[i].is_fixed)
			putchar('*');
		putchar('\n');
	}
	fputs(conclusion, stdout);
}

static const Option *
find_option(const char *name)
{
	size_t		i;

	for (i = 0; i < lengthof(table); i++)
	{
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	}
	return NULL;
}

/* What a unit multiplies by, 0 if the kind has no such unit. */
static long
unit_factor(OptionKind kind, const char *unit)
{
	if (kind == KIND_TIME)
	{
		if (strcmp(unit, "ms") == 0)
			return 1;
		if (strcmp(unit, "min") == 0)
			return 60 * 1000;
		return strcmp(unit, "s") == 0 || *unit == '\0' ? 1000 : 0;
	}
	if (kind == KIND_SIZE && strcmp(unit, "kB") == 0)
		return 1024;
	if (kind == KIND_SIZE && strcmp(unit, "MB") == 0)
		return 1024 * 1024;
	return *unit == '\0' ? 1 : 0;
}

static bool
parse_number(OptionKind kind, const char *text, long *number)
{
	char	   *end;
	long		factor;

	errno = 0;
	*number = strtol(text, &end, 10);
	if (end == text || errno != 0)
		return false;
	while (isspace((unsigned char) *end))
		end++;
	factor = unit_factor(kind, end);
	if (factor == 0 || *number < (kind == KIND_POINTS ? 0 : 1) || *number > INT_MAX / factor)
		return false;
	*number *= factor;
	return true;
}

static bool
parse_switch(const char *text, bool *on)
{
	*on = strcmp(text, "on") == 0 || strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
	return *on || strcmp(text, "off") == 0 || strcmp(text, "false") == 0 || strcmp(text, "0") == 0;
}

static bool
set_option(Options *options, const Option *option, const char *text, const char *source)
{
	void	   *field = (char *) options + option->offset;

	switch (option->kind)
	{
		case KIND_TEXT:
			*(const char **) field = text;
			return true;
		case KIND_SWITCH:
			return parse_switch(text, field) || refuse(source, option->name, "must be on or off");
		case KIND_POINTS:
			return parse_number(option->kind, text, field) || refuse(source, option->name, "must be a number, 0 or more");
		default:
			return parse_number(option->kind, text, field) ||
				refuse(source, option->name, "must be a positive number, with a unit that the help names");
	}
}

static bool
set_named(Options *options, const char *name, const char *text, const char *source)
{
	const Option *option = find_option(name);

	if (option == NULL)
		return refuse(source, name, "there is no such setting");
	return set_option(options, option, text, source);
}

/* Cuts white space from both ends, in place. */
static char *
trim(char *text)
{
	char	   *end;

	while (isspace((unsigned char) *text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char) end[-1]))
		*--end = '\0';
	return text;
}

static bool
read_line(Options *options, Arena *values, char *line)
{
	char	   *name = trim(line);
	char	   *value = strchr(name, '=');

	if (*name == '\0' || *name == '#')
		return true;
	if (value == NULL)
		return refuse("configuration file", name, "a line must read name = value");
	*value++ = '\0';
	return set_named(options, trim(name), arena_strdup(values, trim(value)), "configuration file, setting");
}

/* Options point to the values from now on, so those stay, also of a former reading. */
static bool
read_file(Options *options, const char *path)
{
	static Arena *values;
	FILE	   *file = fopen(path, "r");
	char	   *line = NULL;
	size_t		size = 0;
	bool		good = true;

	if (file == NULL)
		return refuse("configuration file", path, strerror(errno));
	if (values == NULL)
		values = arena_new();
	while (good && getline(&line, &size, file) >= 0)
		good = read_line(options, values, line);
	free(line);
	fclose(file);
	return good;
}

static bool
read_environment(Options *options)
{
	size_t		i;
	bool		good = true;

	for (i = 0; i < lengthof(table) && good; i++)
	{
		char		name[64] = "WACTA_GATEWAY_";
		size_t		len = strlen(name);
		const char *from = table[i].name;
		const char *value;

		for (; *from != '\0' && len < sizeof(name) - 1; from++)
			name[len++] = *from == '-' ? '_' : (char) toupper((unsigned char) *from);
		name[len] = '\0';
		value = getenv(name);
		if (value != NULL)
			good = set_option(options, &table[i], value, "environment, setting");
	}
	return good;
}

/* "--no-NAME" for a switch. */
static const Option *
find_negated(const char *name)
{
	const Option *option = strncmp(name, "no-", 3) == 0 ? find_option(name + 3) : NULL;

	return option != NULL && option->kind == KIND_SWITCH ? option : NULL;
}

/*
 * Takes one flag and, if it stands apart, its value; returns how many words, 0
 * when it is refused.
 */
static int
read_flag(Options *options, int left, char **words)
{
	bool		is_flag = strncmp(words[0], "--", 2) == 0;
	const char *flag = is_flag ? words[0] + 2 : "";
	size_t		len = strcspn(flag, "=");
	char		name[64] = "";
	const Option *option;

	if (!is_flag)
		return refuse("argument", words[0], "settings begin with --");
	if (len < sizeof(name))
		memcpy(name, flag, len);
	option = find_option(name);
	if (option == NULL && flag[len] == '\0' && find_negated(name) != NULL)
		return set_option(options, find_negated(name), "off", "flag");
	if (option == NULL)
		return refuse("flag", words[0], "there is no such setting");
	if (flag[len] == '=' || option->kind == KIND_SWITCH)
		return set_option(options, option, flag[len] == '=' ? flag + len + 1 : "on", "flag");
	if (left < 2)
		return refuse("flag", words[0], "needs a value");
	return set_option(options, option, words[1], "flag") ? 2 : 0;
}

static bool
read_flags(Options *options, int argc, char **argv)
{
	int			at = 1;
	int			step = 1;

	while (at < argc && step > 0)
	{
		step = read_flag(options, argc - at, argv + at);
		at += step;
	}
	return step > 0;
}

/* A password on a command line or in a configuration file is no secret. */
static bool
check_conninfo(const char *conninfo)
{
	PQconninfoOption *parsed = PQconninfoParse(conninfo, NULL);
	PQconninfoOption *option;
	bool		good = true;

	if (parsed == NULL)
		return refuse("setting", "db", "is not a connection string");
	for (option = parsed; option->keyword != NULL; option++)
	{
		if (strcmp(option->keyword, "password") == 0 && option->val != NULL)
			good = refuse("setting", "db", "must hold no password: name a file with passfile=...");
	}
	PQconninfoFree(parsed);
	return good;
}

static bool
read_all(Options *options, int argc, char **argv)
{
	bool		good = true;
	size_t		i;

	memset(options, 0, sizeof(*options));
	for (i = 0; i < lengthof(table); i++)
		set_option(options, &table[i], table[i].standard, "default of");
	/* The file's name may come by the other two ways, so these are read twice. */
	good = read_environment(options) && read_flags(options, argc, argv);
	if (good && options->config[0] != '\0')
		good = read_file(options, options->config) && read_environment(options) && read_flags(options, argc, argv);
	if (!good || !check_conninfo(options->db))
		return false;
	options->proxies = proxies_parse(options->trusted_proxies);
	return options->proxies != NULL ||
		refuse("setting", "trusted-proxies", "must be a list of addresses or networks");
}

void
options_read(Options *options, int argc, char **argv)
{
	int			i;

	for (i = 1; i < argc; i++)
	{
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
		{
			print_help();
			exit(0);
		}
		if (strcmp(argv[i], "--version") == 0)
		{
			puts("wacta-gateway " WACTA_VERSION);
			exit(0);
		}
	}
	if (read_all(options, argc, argv))
		return;
	fputs("Try \"wacta-gateway --help\".\n", stderr);
	exit(2);
}

static bool
is_same(const Options *a, const Options *b, const Option *option)
{
	const void *one = (const char *) a + option->offset;
	const void *other = (const char *) b + option->offset;

	if (option->kind == KIND_TEXT)
		return strcmp(*(const char *const *) one, *(const char *const *) other) == 0;
	if (option->kind == KIND_SWITCH)
		return *(const bool *) one == *(const bool *) other;
	return *(const long *) one == *(const long *) other;
}

static size_t
size_of(const Option *option)
{
	if (option->kind == KIND_TEXT)
		return sizeof(const char *);
	return option->kind == KIND_SWITCH ? sizeof(bool) : sizeof(long);
}

void
options_reload(Options *options, int argc, char **argv)
{
	Options		fresh;
	size_t		i;

	if (!read_all(&fresh, argc, argv))
	{
		fputs("wacta-gateway: all settings stay as they were\n", stderr);
		return;
	}
	for (i = 0; i < lengthof(table); i++)
	{
		if (!table[i].is_fixed || is_same(options, &fresh, &table[i]))
			continue;
		fprintf(stderr, "wacta-gateway: setting \"%s\" changes at the next start\n", table[i].name);
		memcpy((char *) &fresh + table[i].offset, (char *) options + table[i].offset, size_of(&table[i]));
	}
	free(options->proxies);
	*options = fresh;
}
