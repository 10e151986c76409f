/*
 * routes.c
 *	  The table of routes and functions, and how a request target finds its row.
 *
 * All SQL that a request can cause to run stands in this file and in call.c, as
 * constants: no statement is ever built from input.  An argument that a request
 * does not have is NULL, so functions must treat NULL as their default.
 *
 * To add an endpoint: a row in functions[], a row in routes[], and the function
 * in wacta_api.  Called by exchange.c (matching) and call.c (statements).
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "routes.h"

#include <string.h>

#include "text.h"

#define MAX_SEGMENTS 8

enum
{
	FN_TRACK_PAGE,
	FN_TRACK,
	FN_TRACK_MANY,
	FN_TRACK_VISIT,
	FN_SEND,
	FN_TEMPLATE,
	FN_ANALYTICS,
	FN_CHALLENGE,
	FN_WEBHOOK_WHATSAPP,
	FN_WEBHOOK_IVR,
	FN_DASHBOARD,
	FN_PEOPLE,
	FN_PEOPLE_CSV,
	FN_RECORD_CALL,
	FN_SAVE_TEMPLATE,
	FN_SUBMIT_TEMPLATE,
	FN_WRITE_TEMPLATE,
	FN_LOGIN,
	FN_LOGOUT,
	FN_PASSWORD_PAGE,
	FN_CHANGE_PASSWORD,
	FN_HEALTH
};

static const ApiFunction functions[] = {
	/* The functions of a link begin with the same arguments: a call of one can go on as a call of another. */
	[FN_TRACK_PAGE] = {
		"track_page",
		"SELECT wacta_api.track_page(token => $1, action => $2, lead_id => $3)",
		INPUT_ARGS, OUTPUT_BYTES, SHARE_ALL, 3, {"token", "action", "lead_id"}
	},
	[FN_TRACK] = {
		"track",
		"SELECT wacta_api.track(token => $1, action => $2, lead_id => $3, confirm => $4, call_at => $5)",
		INPUT_ARGS, OUTPUT_BYTES, SHARE_LEAD, 5, {"token", "action", "lead_id", "confirm", "call_at"}
	},
	/* an array for each argument of a link, and one of headers; see group.c */
	[FN_TRACK_MANY] = {
		"track_many",
		"SELECT nth::text, status, response_headers, body"
		" FROM wacta_http.track_many($1::text[], $2::text[], $3::text[], $4::jsonb[])",
		INPUT_ARGS, OUTPUT_BYTES, SHARE_ALL, 4, {NULL}
	},
	[FN_TRACK_VISIT] = {
		"track_visit",
		"SELECT wacta_api.track_visit(token => $1, action => $2, lead_id => $3)",
		INPUT_ARGS, OUTPUT_JSON, SHARE_LEAD, 3, {"token", "action", "lead_id"}
	},
	[FN_SEND] = {
		"send_interactive_message",
		"SELECT wacta_api.send_interactive_message(lead_id => $1, template => $2, call_id => $3)",
		INPUT_ARGS, OUTPUT_JSON, SHARE_LEAD, 3, {"lead_id", "template", "call_id"}
	},
	[FN_TEMPLATE] = {
		"generate_ai_template",
		"SELECT wacta_api.generate_ai_template(project => $1, customer_name => $2, project_name => $3, template => $4,"
		" name => $5, language => $6, body => $7, footer => $8)",
		INPUT_ARGS, OUTPUT_JSON, SHARE_STAFF, 8,
		{"project", "customer_name", "project_name", "template", "name", "language", "body", "footer"}
	},
	[FN_ANALYTICS] = {
		"interactive_analytics",
		"SELECT wacta_api.interactive_analytics(days => $1)",
		INPUT_ARGS, OUTPUT_JSON, SHARE_STAFF, 1, {"days"}
	},
	[FN_CHALLENGE] = {
		"webhook_challenge",
		"SELECT wacta_api.webhook_challenge(mode => $1, challenge => $2, verify_token => $3)",
		INPUT_ARGS, OUTPUT_BYTES, SHARE_ALL, 3, {"mode", "challenge", "verify_token"}
	},
	[FN_WEBHOOK_WHATSAPP] = {
		"webhook_whatsapp",
		"SELECT wacta_api.webhook_whatsapp($1)",
		INPUT_RAW, OUTPUT_JSON, SHARE_PROVIDERS, 1, {NULL}
	},
	[FN_WEBHOOK_IVR] = {
		"webhook_ivr",
		"SELECT wacta_api.webhook_ivr($1)",
		INPUT_RAW, OUTPUT_BYTES, SHARE_PROVIDERS, 1, {NULL}
	},
	[FN_DASHBOARD] = {
		"dashboard",
		"SELECT wacta_api.dashboard(days => $1, project => $2, template => $3, lead => $4,"
		" draft => $5, for_project => $6, customer_name => $7, project_name => $8)",
		INPUT_ARGS, OUTPUT_BYTES, SHARE_STAFF, 8,
		{"days", "project", "template", "lead", "draft", "for_project", "customer_name", "project_name"}
	},
	[FN_PEOPLE] = {
		"people",
		"SELECT wacta_api.people(show => $1, q => $2, days => $3, project => $4, template => $5, after => $6)",
		INPUT_ARGS, OUTPUT_BYTES, SHARE_STAFF, 6, {"show", "q", "days", "project", "template", "after"}
	},
	[FN_PEOPLE_CSV] = {
		"people_csv",
		"SELECT wacta_api.people_csv(show => $1, q => $2, days => $3, project => $4, template => $5)",
		INPUT_ARGS, OUTPUT_BYTES, SHARE_STAFF, 5, {"show", "q", "days", "project", "template"}
	},
	[FN_RECORD_CALL] = {
		"record_call",
		"SELECT wacta_api.record_call(lead_id => $1, result => $2, note => $3)",
		INPUT_ARGS, OUTPUT_JSON, SHARE_LEAD, 3, {"lead_id", "result", "note"}
	},
	[FN_SAVE_TEMPLATE] = {
		"save_template",
		"SELECT wacta_api.save_template(draft => $1, project => $2)",
		INPUT_ARGS, OUTPUT_JSON, SHARE_STAFF, 2, {"draft", "project"}
	},
	[FN_SUBMIT_TEMPLATE] = {
		"submit_template",
		"SELECT wacta_api.submit_template(template_id => $1, channel => $2)",
		INPUT_ARGS, OUTPUT_JSON, SHARE_STAFF, 2, {"template_id", "channel"}
	},
	[FN_WRITE_TEMPLATE] = {
		"write_template",
		"SELECT wacta_api.write_template(project => $1, wishes => $2)",
		INPUT_ARGS, OUTPUT_JSON, SHARE_STAFF, 2, {"project", "wishes"}
	},
	[FN_LOGIN] = {
		"login",
		"SELECT wacta_api.login(username => $1, password => $2)",
		INPUT_ARGS, OUTPUT_BYTES, SHARE_PASSWORDS, 2, {"username", "password"}
	},
	[FN_LOGOUT] = {
		"logout",
		"SELECT wacta_api.logout()",
		INPUT_ARGS, OUTPUT_BYTES, SHARE_ALL, 0, {NULL}
	},
	[FN_PASSWORD_PAGE] = {
		"password_page",
		"SELECT wacta_api.password_page()",
		INPUT_ARGS, OUTPUT_BYTES, SHARE_STAFF, 0, {NULL}
	},
	[FN_CHANGE_PASSWORD] = {
		"change_password",
		"SELECT wacta_api.change_password(old_password => $1, new_password => $2)",
		INPUT_ARGS, OUTPUT_BYTES, SHARE_PASSWORDS, 2, {"old_password", "new_password"}
	},
	[FN_HEALTH] = {
		"health",
		"SELECT wacta_api.health()",
		INPUT_ARGS, OUTPUT_JSON, SHARE_ALL, 0, {NULL}
	},
};

#define FN(name) (&functions[FN_##name])

/* Literal segments come before parameters of the same place. */
static const Route routes[] = {
	{"/t/{token}", FN(TRACK_PAGE), FN(TRACK), ROUTE_LINK | ROUTE_PAGE},
	{"/track/{lead_id}", FN(TRACK_PAGE), FN(TRACK), ROUTE_LINK | ROUTE_PAGE},
	{"/send-interactive-message", NULL, FN(SEND), 0},
	{"/generate-ai-template", FN(TEMPLATE), FN(TEMPLATE), 0},
	{"/interactive-analytics", FN(ANALYTICS), NULL, 0},
	{"/webhook/whatsapp/integration/delivery", NULL, FN(WEBHOOK_WHATSAPP), ROUTE_WEBHOOK},
	{"/webhook/whatsapp/integration/messages", NULL, FN(WEBHOOK_WHATSAPP), ROUTE_WEBHOOK},
	{"/webhook/whatsapp/integration", FN(CHALLENGE), FN(WEBHOOK_WHATSAPP), ROUTE_WEBHOOK},
	{"/webhook/ivr/{source}", FN(WEBHOOK_IVR), FN(WEBHOOK_IVR), ROUTE_WEBHOOK | ROUTE_GET_WRITES},
	{"/record-call", NULL, FN(RECORD_CALL), 0},
	{"/save-template", NULL, FN(SAVE_TEMPLATE), 0},
	{"/submit-template", NULL, FN(SUBMIT_TEMPLATE), 0},
	{"/write-template", NULL, FN(WRITE_TEMPLATE), 0},
	{"/whatsapp-interactive", FN(DASHBOARD), FN(DASHBOARD), ROUTE_PAGE},
	{"/whatsapp-interactive/people", FN(PEOPLE), NULL, ROUTE_PAGE},
	{"/whatsapp-interactive/people.csv", FN(PEOPLE_CSV), NULL, ROUTE_PAGE},
	{"/login", FN(DASHBOARD), FN(LOGIN), ROUTE_PAGE | ROUTE_SESSION},
	{"/logout", NULL, FN(LOGOUT), ROUTE_PAGE | ROUTE_SESSION},
	{"/password", FN(PASSWORD_PAGE), FN(CHANGE_PASSWORD), ROUTE_PAGE},
	{"/health", FN(HEALTH), NULL, ROUTE_NO_LIMIT},
	{"/metrics", NULL, NULL, ROUTE_METRICS | ROUTE_NO_LIMIT},
};

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

_Static_assert(lengthof(routes) <= MAX_ROUTES, "too many routes");

/* A session keeps one bit for each. */
_Static_assert(lengthof(functions) <= MAX_FUNCTIONS && MAX_FUNCTIONS <= 32, "too many functions");

typedef struct Segment
{
	const char *raw;
	size_t		len;
	char	   *text;
} Segment;

int
routes_index(const Route *route)
{
	return (int) (route - routes);
}

const char *
routes_pattern(int index)
{
	return routes[index].pattern;
}

int
routes_function_index(const ApiFunction *function)
{
	return (int) (function - functions);
}

/*
 * Splits a path at its slashes; those at its end do not count.  Returns the
 * number of segments, -1 if there are more than any route has.
 */
static int
split_path(Arena *arena, const char *path, size_t len, Segment *segments)
{
	size_t		at = 0;
	int			count = 0;

	while (len > 0 && path[len - 1] == '/')
		len--;
	while (at < len)
	{
		size_t		start = ++at;	/* past the slash */

		while (at < len && path[at] != '/')
			at++;
		if (count == MAX_SEGMENTS)
			return -1;
		segments[count].raw = path + start;
		segments[count].len = at - start;
		segments[count].text = text_decode(arena, path + start, at - start, false);
		count++;
	}
	return count;
}

/*
 * A parameter never holds a delimiter of its own: with one in it the link was
 * encoded as a whole, and the second look takes it apart.
 */
static bool
usable_parameter(const Segment *segment)
{
	return segment->len > 0 && !text_has_encoded_delimiter(segment->raw, segment->len);
}

/*
 * A key may hold any character.  But a question mark begins a query, and a slash
 * at the end is the path's own, when the link was encoded as a whole.
 */
static bool
usable_key(const Segment *segment)
{
	size_t		len = strlen(segment->text);

	return len > 0 && strchr(segment->text, '?') == NULL && segment->text[len - 1] != '/';
}

/* Compares the segments with one pattern and notes the parameters. */
static bool
match_pattern(Arena *arena, const Route *route, const Segment *segments, int count, RouteMatch *match)
{
	const char *at = route->pattern;
	int			i = 0;

	memset(match, 0, sizeof(*match));
	while (*at != '\0')
	{
		size_t		len = strcspn(++at, "/");

		if (i == count)
			return false;
		if (at[0] == '{')
		{
			if (match->nparams == MAX_PARAMS || !usable_parameter(&segments[i]))
				return false;
			match->params[match->nparams].name = arena_strndup(arena, at + 1, len - 2);
			match->params[match->nparams++].value = segments[i].text;
		}
		else if (strlen(segments[i].text) != len || memcmp(segments[i].text, at, len) != 0)
			return false;
		at += len;
		i++;
	}
	if (i < count && (route->flags & ROUTE_WEBHOOK) != 0 && usable_key(&segments[i]))
		match->key = segments[i++].text;
	if (i < count)
		return false;
	match->route = route;
	return true;
}

static bool
match_path(Arena *arena, const char *path, size_t len, RouteMatch *match)
{
	Segment		segments[MAX_SEGMENTS];
	int			count;
	size_t		i;

	if (len == 0 || path[0] != '/')
		return false;
	count = split_path(arena, path, len, segments);
	for (i = 0; i < lengthof(routes) && count > 0; i++)
	{
		if (match_pattern(arena, &routes[i], segments, count, match))
			return true;
	}
	return false;
}

/*
 * Some clients encode a whole link when they show or forward it, so that
 * "/track/7%3Ftoken%3Dx" comes back.  What has no route as it stands is looked
 * at again with its delimiters decoded.
 */
bool
routes_match(Arena *arena, const char *target, RouteMatch *match)
{
	size_t		len = strcspn(target, "?#");
	const char *query = "";
	char	   *decoded;
	size_t		decoded_len;

	if (target[len] == '?')
		query = arena_strndup(arena, target + len + 1, strcspn(target + len + 1, "#"));
	if (match_path(arena, target, len, match))
	{
		match->query = query;
		return true;
	}
	if (!text_has_encoded_delimiter(target, len))
		return false;
	decoded = text_decode_delimiters(arena, target, len);
	decoded_len = strcspn(decoded, "?");
	if (!match_path(arena, decoded, decoded_len, match))
		return false;
	match->query = query;
	if (decoded[decoded_len] == '?')
		match->query = arena_printf(arena, "%s%s%s", query, query[0] != '\0' ? "&" : "",
									decoded + decoded_len + 1);
	return true;
}

const ApiFunction *
routes_function(const Route *route, HttpMethod method)
{
	switch (method)
	{
		case METHOD_GET:
			return route->get;
		case METHOD_HEAD:
			/* A HEAD must have no effect, and this GET would have one. */
			return (route->flags & ROUTE_GET_WRITES) != 0 ? NULL : route->get;
		case METHOD_POST:
			return route->post;
		default:
			return NULL;
	}
}

const ApiFunction *
routes_visit_function(const Route *route)
{
	return (route->flags & ROUTE_LINK) != 0 ? FN(TRACK_VISIT) : NULL;
}

const char *
routes_allow(const Route *route)
{
	if ((route->flags & ROUTE_METRICS) != 0)
		return "OPTIONS, GET, HEAD";
	if (route->get == NULL)
		return "OPTIONS, POST";
	if ((route->flags & ROUTE_GET_WRITES) != 0)
		return "OPTIONS, GET, POST";
	return route->post != NULL ? "OPTIONS, GET, HEAD, POST" : "OPTIONS, GET, HEAD";
}

const ApiFunction *
routes_tap_function(void)
{
	return FN(TRACK);
}

const ApiFunction *
routes_taps_function(void)
{
	return FN(TRACK_MANY);
}

const char *
method_name(HttpMethod method)
{
	static const char *const names[] = {"GET", "HEAD", "POST", "OPTIONS", "OTHER"};

	return names[method];
}
