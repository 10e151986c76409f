/*
 * door_fuzz.c
 *	  What the gateway makes of requests, tokens, keys and settings, without the
 *	  network and the database: under the address and undefined behaviour
 *	  sanitizers.
 *
 *	door_fuzz SEED RUNS FILE...
 *
 * A file is a request (a request line, header lines, an empty line, a body), or
 * flags of the program ("flags" in its first line), or the file of a token
 * secret ("keys").  Each run bends the bytes of one, the same way for the same
 * seed.  Prints TAP; the input of a failure is printed as a C string.
 *
 * Instead of the gateway's arena one is linked that gives each piece of memory
 * exactly its size, so that a byte too far is seen.
 *
 * Built with -DLIBFUZZER it has no main(), but libFuzzer's entry: see README.md.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <event2/http.h>
#include <fcntl.h>
#include <jansson.h>
#include <sanitizer/common_interface_defs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../src/gateway/auth.h"
#include "../../src/gateway/options.h"
#include "../../src/gateway/peer.h"
#include "../../src/gateway/request.h"
#include "../../src/gateway/routes.h"
#include "../../src/gateway/share.h"
#include "../../src/gateway/text.h"
#include "bend.h"

/* Of the sanitizer; GCC comes without the header. */
extern size_t __sanitizer_get_current_allocated_bytes(void);

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))
#define ANON "stub_anon"
#define AGENT "stub_agent"
#define OWN_PEER "192.0.2.1"
#define ALLOWANCE 100000		/* bytes that may be in use for another reason */

/* --- An arena without a byte to spare */

struct Arena
{
	void	  **pieces;
	size_t		count;
};

void *
must_alloc(size_t size)
{
	void	   *memory = calloc(1, size > 0 ? size : 1);

	if (memory == NULL)
		abort();
	return memory;
}

Arena *
arena_new(void)
{
	return must_alloc(sizeof(Arena));
}

void
arena_free(Arena *arena)
{
	while (arena->count > 0)
		free(arena->pieces[--arena->count]);
	free(arena->pieces);
	free(arena);
}

void *
arena_alloc(Arena *arena, size_t size)
{
	arena->pieces = realloc(arena->pieces, (arena->count + 1) * sizeof(void *));
	if (arena->pieces == NULL)
		abort();
	return arena->pieces[arena->count++] = must_alloc(size);
}

char *
arena_strndup(Arena *arena, const char *text, size_t len)
{
	return memcpy(arena_alloc(arena, len + 1), text, len);
}

char *
arena_strdup(Arena *arena, const char *text)
{
	return arena_strndup(arena, text, strlen(text));
}

char *
arena_printf(Arena *arena, const char *format,...)
{
	va_list		args;
	char	   *made = NULL;
	char	   *text;

	va_start(args, format);
	if (vasprintf(&made, format, args) < 0)
		abort();
	va_end(args);
	text = arena_strdup(arena, made);
	free(made);
	return text;
}

/* --- What must hold */

static const char *wrong;		/* the first thing that did not, or NULL */

static void
expect(bool holds, const char *what)
{
	if (!holds && wrong == NULL)
		wrong = what;
}

/* By jansson, which has a UTF-8 check of its own. */
static bool
is_text(const char *text)
{
	json_t	   *json = json_string(text);

	json_decref(json);
	return json != NULL;
}

/* A request as the HTTP library hands it on. */
typedef struct Request
{
	HttpMethod	method;
	char	   *target;
	struct evkeyvalq headers;
	const char *body;
	size_t		body_len;
} Request;

/* Cuts the next line off, without its end; the text is NUL terminated. */
static char *
next_line(char **rest)
{
	char	   *line = *rest;
	size_t		len = strcspn(line, "\n");

	*rest = line[len] == '\n' ? line + len + 1 : line + len;
	line[len] = '\0';
	if (len > 0 && line[len - 1] == '\r')
		line[len - 1] = '\0';
	return line;
}

static HttpMethod
method_by_name(const char *name)
{
	int			method;

	for (method = METHOD_GET; method < METHOD_OTHER; method++)
	{
		if (strcmp(name, method_name((HttpMethod) method)) == 0)
			break;
	}
	return (HttpMethod) method;
}

/* The head of the text becomes lines, cut in place; the body keeps every byte. */
static void
read_request(char *text, size_t len, Request *request)
{
	char	   *rest = text;
	char	   *line = next_line(&rest);
	size_t		method_len = strcspn(line, " ");

	request->target = line[method_len] == ' ' ? line + method_len + 1 : line + method_len;
	line[method_len] = '\0';
	request->method = method_by_name(line);
	request->target[strcspn(request->target, " ")] = '\0';
	TAILQ_INIT(&request->headers);
	while (*rest != '\0' && *(line = next_line(&rest)) != '\0')
	{
		char	   *colon = strchr(line, ':');

		if (colon == NULL)
			continue;
		*colon++ = '\0';
		evhttp_add_header(&request->headers, line, colon + strspn(colon, " \t"));
	}
	request->body = rest;
	request->body_len = (size_t) (text + len - rest);
}

static void
check_arguments(Arena *arena, const Request *request, const RouteMatch *match, const ApiFunction *function)
{
	const char *args[MAX_ARGS] = {NULL};
	int			i;

	(void) request_arguments(arena, function, match, request_header(&request->headers, "Content-Type"),
							 request->body, request->body_len, args);
	for (i = 0; i < MAX_ARGS; i++)
		expect(args[i] == NULL || (i < function->nargs && is_text(args[i])), "an argument is not text");
	(void) share_of(function, args, 8, 100);
}

/* What only the gateway may say is said by the gateway. */
static void
check_headers(Arena *arena, const Request *request, const RouteMatch *match)
{
	bool		is_webhook = (match->route->flags & ROUTE_WEBHOOK) != 0;
	json_t	   *seen = json_loads(request_headers_json(arena, &request->headers, match, OWN_PEER,
													   request_id(arena, &request->headers), false),
								  JSON_REJECT_DUPLICATES, NULL);
	const char *name;
	json_t	   *value;

	expect(json_is_object(seen), "the headers are no JSON object");
	expect(strcmp(json_string_value(json_object_get(seen, "x-wacta-peer")), OWN_PEER) == 0, "a client chose its address");
	expect(json_object_get(seen, "cookie") == NULL, "a cookie is passed on");
	json_object_foreach(seen, name, value)
	{
		const char *at;

		for (at = name; *at != '\0'; at++)
			expect(!isupper((unsigned char) *at), "a header's name has a capital letter");
		expect(strncmp(name, "x-wacta-", 8) != 0 || strcmp(name, "x-wacta-peer") == 0 || strcmp(name, "x-wacta-key") == 0 ||
			   (strcmp(name, "x-wacta-source") == 0 && is_webhook), "a header of ours came from the client");
		expect(strcmp(name, "authorization") != 0 || is_webhook || text_bearer_token(json_string_value(value)) == NULL ||
			   strchr(json_string_value(value), ',') != NULL, "a token is passed on");
	}
	json_decref(seen);
	seen = json_loads(request_cookies_json(arena, &request->headers), JSON_REJECT_DUPLICATES, NULL);
	expect(json_is_object(seen), "the cookies are no JSON object");
	json_decref(seen);
}

/*
 * Rights come from what was signed, to the letter.  The corpus has the tokens
 * that hold; they say who, and nothing else.
 */
static void
check_identity(Arena *arena, const JwtKeys *keys, const Request *request, const Route *route)
{
	Identity	identity;
	AuthVerdict verdict = auth_identify(arena, keys, ANON, &request->headers, route->flags,
										request->method == METHOD_POST, &identity);

	if (verdict != AUTH_GOOD)
		return;
	expect(identity.role != NULL && is_text(identity.claims), "an identity is not text");
	if ((route->flags & ROUTE_WEBHOOK) != 0)
		expect(!identity.authenticated, "a webhook has a role");
	if (!identity.authenticated)
		expect(strcmp(identity.role, ANON) == 0, "a stranger has a role");
	else
		expect(strcmp(identity.claims, "{\"role\":\"" AGENT "\"}") == 0, "what nobody signed is believed");
}

static void
check_peer(Arena *arena, const ProxyList *proxies, const Request *request)
{
	int			trust;

	for (trust = 0; trust < 2; trust++)
	{
		Peer		peer;
		struct in6_addr address;

		peer_find(arena, &request->headers, "127.0.0.1", proxies, trust != 0, &peer);
		expect(inet_pton(AF_INET, peer.text, &address) == 1 || inet_pton(AF_INET6, peer.text, &address) == 1,
			   "a client's address is none");
	}
}

static void
check_match(Arena *arena, const Request *request, const RouteMatch *match, const JwtKeys *keys)
{
	HttpMethod	method;
	int			i;

	for (i = 0; i < match->nparams; i++)
		expect(match->params[i].value[0] != '\0' && is_text(match->params[i].value), "a parameter is empty or no text");
	expect(match->key == NULL || (match->route->flags & ROUTE_WEBHOOK) != 0, "a key that no webhook has");
	expect(strlen(request_query_without(arena, match->query, "key")) <= strlen(match->query), "a query grew");
	(void) request_query_value(arena, match->query, "key");
	for (method = METHOD_GET; method <= METHOD_OTHER; method++)
	{
		const ApiFunction *function = routes_function(match->route, method);

		if (function != NULL && function->input == INPUT_ARGS)
			check_arguments(arena, request, match, function);
	}
	check_headers(arena, request, match);
	check_identity(arena, keys, request, match->route);
}

static void
try_request(char *text, size_t len, const JwtKeys *keys, const ProxyList *proxies)
{
	Arena	   *arena = arena_new();
	Request		request = {0};
	RouteMatch	match = {0};

	read_request(text, len, &request);
	(void) request_head_is_sound(request.method, &request.headers);
	check_peer(arena, proxies, &request);
	if (routes_match(arena, request.target, &match))
		check_match(arena, &request, &match, keys);
	else
		expect(match.route == NULL, "a route that does not match is told");
	evhttp_clear_headers(&request.headers);
	arena_free(arena);
}

/* --- Settings and keys */

/* Each line is a word of the command line. */
static void
try_flags(char *text)
{
	static const Options fresh;
	Options		options = fresh;
	char	   *words[64] = {"wacta-gateway"};
	int			count = 1;

	while (*text != '\0' && count < (int) lengthof(words) - 1)
		words[count++] = next_line(&text);
	/* A file of some name could be anything. */
	for (int i = 1; i < count; i++)
	{
		if (strncmp(words[i], "--config", 8) == 0)
			return;
	}
	options.proxies = proxies_parse("");
	options.config = options.listen = options.metrics_listen = options.db = options.anon_role = options.jwt_secret_file =
		options.trusted_proxies = "";
	options_reload(&options, count, words);
	free(options.proxies);
}

static void
try_keys(const char *text, size_t len)
{
	static int	fd = -1;
	char		path[64];
	char		error[256];
	JwtKeys    *keys;
	json_t	   *claims = NULL;

	if (fd < 0)
		fd = memfd_create("keys", MFD_CLOEXEC);
	if (fd < 0 || fchmod(fd, 0600) != 0 || ftruncate(fd, 0) != 0 || pwrite(fd, text, len, 0) != (ssize_t) len)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	keys = jwt_keys_load(path, error, sizeof(error));
	if (keys == NULL)
		return;
	expect(jwt_verify(keys, "eyJhbGciOiJub25lIn0.eyJyb2xlIjoic3R1Yl9hZ2VudCJ9.", time(NULL), &claims) == JWT_REFUSED && claims == NULL,
		   "a token without a signature is good");
	jwt_keys_free(keys);
}

/* --- Runs */

static JwtKeys *
fixed_keys(void)
{
	static const char secret[] = "a secret of tests, thirty-two characters long";
	char		path[64];
	char		error[256];
	int			fd = memfd_create("secret", MFD_CLOEXEC);
	JwtKeys    *keys;

	if (fd < 0 || fchmod(fd, 0600) != 0 || write(fd, secret, sizeof(secret) - 1) != sizeof(secret) - 1)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	keys = jwt_keys_load(path, error, sizeof(error));
	if (keys == NULL)
		abort();
	return keys;
}

/* What is wrong with the gateway, as this input shows, or NULL. */
static const char *
try_input(const unsigned char *data, size_t len)
{
	static JwtKeys *keys;
	static ProxyList *proxies;
	char	   *text = malloc(len + 1);
	char	   *rest = text;

	if (keys == NULL)
	{
		keys = fixed_keys();
		proxies = proxies_parse("127.0.0.1, 10.0.0.0/8, 2001:db8::/32");
	}
	memcpy(text, data, len);
	text[len] = '\0';
	wrong = NULL;
	if (strncmp(text, "flags\n", 6) == 0)
		try_flags(text + 6);
	else if (strncmp(text, "keys\n", 5) == 0)
		try_keys(text + 5, len - 5);
	else
		try_request(rest, len, keys, proxies);
	free(text);
	return wrong;
}

#ifdef LIBFUZZER
extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *silence;

	if (silence == NULL)
		stderr = silence = fopen("/dev/null", "w");	/* the sanitizers have a way of their own */
	if (try_input(data, size) == NULL)
		return 0;
	dprintf(2, "wrong: %s\n", wrong);
	abort();
}

#else

static const char *const pieces[] = {
	"/", "//", "%2F", "%3F", "%3D", "%26", "%00", "%ff", "%", "%2", "%252F", "?", "&", "=", "&&", "+", ".", "..", "#", "amp;", ";", ":", ",", " ", "\t",
	"/t/", "/track/", "/webhook/ivr/", "/webhook/whatsapp/integration/", "/login", "token=", "action=", "lead_id=", "confirm=yes", "key=", "hub.challenge=",
	"\r\n", "\n", "\r\nCookie: wacta_session=", "\r\nAuthorization: Bearer ", "\r\nX-Wacta-Peer: 1.2.3.4", "\r\nX-Wacta-Source: x", "\r\nX-Forwarded-For: ", "\r\nContent-Length: 1",
	"\r\nTransfer-Encoding: chunked", "\r\nOrigin: null", "\r\nHost: x", "\r\nContent-Type: application/json\r\n\r\n{\"token\":", "\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n",
	"\"", "\\", "\\u0000", "\\ud800", "{", "}", "[", "]", "null", "true", "1e999", "eyJhbGciOiJub25lIn0.", "eyJhbGciOiJSUzI1NiJ9.", "role", "::1", "[::1]:80", "10.0.0.1", "::ffff:10.0.0.1",
	"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc2", "\x01", "\x7f", "--", "--no-", "--pool=", "99999999999999999999", "kB", "ms", "-1", "\"kty\":\"RSA\"", "\"k\":"
};

static bool
check(const Bytes *in)
{
	const char *what = try_input(in->data, in->len);

	if (what != NULL)
	{
		printf("# %s:\n", what);
		print_input(in);
	}
	return what == NULL;
}

static Bytes work;

static void
on_death(void)
{
	printf("not ok - a sanitizer ends this\n");
	print_input(&work);
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	Bytes	   *files = calloc((size_t) argc, sizeof(Bytes));
	uint32_t	count = (uint32_t) (argc - 3);
	int			bad = 0;
	long		runs;
	long		run;
	size_t		in_use = 0;
	bool		leaks;
	clock_t		began = clock();

	if (argc < 4)
	{
		fprintf(stderr, "usage: door_fuzz SEED RUNS FILE...\n");
		return 2;
	}
	work.data = malloc(MAX_SIZE);
	__sanitizer_set_death_callback(on_death);
	bend_seed(strtoull(argv[1], NULL, 10));
	runs = strtol(argv[2], NULL, 10);
	for (uint32_t i = 0; i < count; i++)
		read_file(argv[i + 3], &files[i]);
	stderr = fopen("/dev/null", "w");	/* refused settings; the sanitizers have a way of their own */
	for (run = 0; run < runs && bad < 5; run++)
	{
		const Bytes *file = &files[run < count ? (uint32_t) run : random_below(count)];
		uint32_t	bends = run < count ? 0 : 1 + random_below(8);

		/* What libraries allocate once they have by now. */
		if (run == 2 * (long) count)
			in_use = __sanitizer_get_current_allocated_bytes();
		work.len = file->len;
		memcpy(work.data, file->data, file->len);
		while (bends-- > 0)
			bend(&work, pieces, lengthof(pieces));
		bad += !check(&work);
	}
	leaks = in_use > 0 && __sanitizer_get_current_allocated_bytes() > in_use + ALLOWANCE;
	printf("%s - %ld bent requests, tokens, keys and settings\n", bad == 0 ? "ok" : "not ok", run);
	printf("%s - the memory for them is given back\n", leaks ? "not ok" : "ok");
	printf("# SEED=%s, %.0f a second\n", argv[1], (double) run / ((double) (clock() - began + 1) / CLOCKS_PER_SEC));
	return bad > 0 || leaks;
}
#endif
