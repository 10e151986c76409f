/*
 * reply.c
 *	  What goes back: a call's result or an error, as status, headers and body.
 *
 * By PostgREST's conventions: response.status, response.headers, errors with
 * PTxyz and PGRST, its table of SQLSTATEs.  What the server says about faults
 * of its own stays inside; what a function says to its caller goes out.  Must
 * not touch sockets.  Called by exchange.c.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "reply.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

typedef struct StatusRule
{
	const char *prefix;			/* of the SQLSTATE */
	int			status;
} StatusRule;

/*
 * The first that fits counts.  PostgREST has 500 for a lock that was not to be had
 * in time; but nothing is broken then, and later it will work.
 */
static const StatusRule status_rules[] = {
	{"08", 503}, {"09", 500}, {"0L", 403}, {"0P", 403},
	{"23503", 409}, {"23505", 409}, {"21", 500},
	{"25006", 405}, {"25", 500}, {"28", 403}, {"2D", 500},
	{"38", 500}, {"39", 500}, {"3B", 500}, {"40", 500},
	{"42883", 404}, {"42P01", 404}, {"42P17", 500},
	{"53400", 500}, {"53", 503}, {"54", 500}, {"55P03", 503}, {"55", 500},
	{"57P0", 503}, {"57", 500}, {"58", 500},
	{"F0", 500}, {"HV", 500}, {"P0001", 400}, {"P0", 500}, {"XX", 500},
};

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

static bool
is_status(long status)
{
	return status >= 200 && status <= 599;
}

int
reply_status_of(const char *sqlstate, bool authenticated)
{
	size_t		i;

	if (strcmp(sqlstate, "42501") == 0)
		return authenticated ? 403 : 401;
	if (strncmp(sqlstate, "PT", 2) == 0)
	{
		char	   *end;
		long		status = strtol(sqlstate + 2, &end, 10);

		return *end == '\0' && is_status(status) ? (int) status : 500;
	}
	for (i = 0; i < lengthof(status_rules); i++)
	{
		if (strncmp(sqlstate, status_rules[i].prefix, strlen(status_rules[i].prefix)) == 0)
			return status_rules[i].status;
	}
	return 400;
}

void
reply_add_header(Arena *arena, Reply *reply, const char *name, const char *value)
{
	ReplyHeader *header = arena_alloc(arena, sizeof(ReplyHeader));
	ReplyHeader **end = &reply->headers;

	header->name = name;
	header->value = value;
	while (*end != NULL)
		end = &(*end)->next;
	*end = header;
}

typedef struct SafetyHeader
{
	const char *name;
	const char *value;
} SafetyHeader;

static const SafetyHeader safety[] = {
	{"X-Content-Type-Options", "nosniff"},
	{"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"},
	{"X-Frame-Options", "DENY"},
	{"Referrer-Policy", "no-referrer"},
	{"Cache-Control", "no-store"},
};

const char *
reply_safety_lines(void)
{
	static char lines[512];
	size_t		i;

	for (i = 0; i < lengthof(safety) && (i > 0 || lines[0] == '\0'); i++)
		snprintf(lines + strlen(lines), sizeof(lines) - strlen(lines), "%s: %s\r\n", safety[i].name, safety[i].value);
	return lines;
}

const char *
reply_hsts_line(void)
{
	return "Strict-Transport-Security: " REPLY_HSTS "\r\n";
}

static bool
has_header(const Reply *reply, const char *name)
{
	const ReplyHeader *header;

	for (header = reply->headers; header != NULL; header = header->next)
	{
		if (text_equal_nocase(header->name, name))
			return true;
	}
	return false;
}

const char *
reply_take_header(Reply *reply, const char *name)
{
	ReplyHeader **at = &reply->headers;
	const char *value = NULL;

	while (*at != NULL)
	{
		if (text_equal_nocase((*at)->name, name))
		{
			value = (*at)->value;
			*at = (*at)->next;
		}
		else
			at = &(*at)->next;
	}
	return value;
}

/* What clients and proxies must know beside the status itself. */
static void
add_error_headers(Arena *arena, Reply *reply)
{
	size_t		i;

	if ((reply->status == 429 || reply->status == 503 || reply->status == 504) && !has_header(reply, "Retry-After"))
		reply_add_header(arena, reply, "Retry-After", "2");
	if (reply->status == 401 && !has_header(reply, "WWW-Authenticate"))
		reply_add_header(arena, reply, "WWW-Authenticate", "Bearer");
	for (i = 0; i < lengthof(safety); i++)
	{
		if (!has_header(reply, safety[i].name))
			reply_add_header(arena, reply, safety[i].name, safety[i].value);
	}
}

void
reply_error(Arena *arena, Reply *reply, int status, const char *code,
			const char *message, const char *details, const char *hint)
{
	json_t	   *error = json_pack("{s:s, s:s, s:s?, s:s?}", "code", code, "message", message,
								  "details", details, "hint", hint);
	char	   *text = error != NULL ? json_dumps(error, JSON_COMPACT) : NULL;

	reply->status = status;
	reply->is_error = true;
	reply->content_type = "application/json; charset=utf-8";
	reply->body = arena_strdup(arena, text != NULL ? text : "{}");
	reply->body_len = strlen(reply->body);
	free(text);
	json_decref(error);
	add_error_headers(arena, reply);
}

/* The gateway has no language to choose by: it says what it has to in both. */
typedef struct PageText
{
	const char *english;
	const char *hindi;
} PageText;

static PageText
page_text(int status)
{
	if (status == 404 || status == 405)
		return (PageText) {"This link is not complete. Please open it again from your message.",
		"यह लिंक अधूरा है। कृपया इसे अपने संदेश से फिर खोलें।"};
	if (status == 401 || status == 403)
		return (PageText) {"You are not signed in, or you may not see this page.",
		"आपने साइन इन नहीं किया है, या आप यह पेज नहीं देख सकते।"};
	if (status == 429 || status == 503 || status == 504)
		return (PageText) {"We cannot answer right now. Please try again in a minute.",
		"हम अभी जवाब नहीं दे पा रहे हैं। कृपया एक मिनट बाद फिर कोशिश करें।"};
	return (PageText) {"Something went wrong. Please try again later.",
	"कुछ गड़बड़ हो गई। कृपया थोड़ी देर बाद फिर कोशिश करें।"};
}

void
reply_error_page(Arena *arena, Reply *reply)
{
	PageText	text = page_text(reply->status);

	/* no style: nothing may be loaded or run on this page */
	reply->content_type = "text/html; charset=utf-8";
	reply->body = arena_printf(arena,
							   "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
							   "<meta name=\"viewport\" content=\"width=device-width\">"
							   "<meta name=\"color-scheme\" content=\"light dark\">"
							   "<title>%d</title></head><body><main><h1>%s</h1>"
							   "<p lang=\"hi\">%s</p></main></body></html>\n",
							   reply->status, text.english, text.hindi);
	reply->body_len = strlen(reply->body);
}

/* These say where a message ends; they are not for a function to set. */
static bool
is_framing_header(const char *name)
{
	static const char *const names[] = {"Content-Length", "Transfer-Encoding", "Connection",
	"Keep-Alive", "Upgrade", "Trailer", "Date"};
	size_t		i;

	for (i = 0; i < lengthof(names); i++)
	{
		if (text_equal_nocase(name, names[i]))
			return true;
	}
	return false;
}

static bool
is_header_value(const char *value, size_t len)
{
	size_t		i;

	for (i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) value[i];

		if ((c < 0x20 && c != '\t') || c == 0x7F)
			return false;
	}
	return true;
}

/* Takes one header over, if it is one that a reply may have. */
static bool
take_header(Arena *arena, Reply *reply, const char *name, const json_t *value)
{
	const char *text = json_string_value(value);

	if (text == NULL || !text_is_token(name) || is_framing_header(name) ||
		!is_header_value(text, json_string_length(value)))
		return false;
	text = arena_strdup(arena, text);
	if (text_equal_nocase(name, "Content-Type"))
		reply->content_type = text;
	else
		reply_add_header(arena, reply, arena_strdup(arena, name), text);
	return true;
}

static bool
take_header_object(Arena *arena, Reply *reply, json_t *object)
{
	const char *name;
	json_t	   *value;

	if (!json_is_object(object))
		return false;
	json_object_foreach(object, name, value)
	{
		if (!take_header(arena, reply, name, value))
			return false;
	}
	return true;
}

/* response.headers: an array of objects that have a single key each. */
static bool
take_header_list(Arena *arena, Reply *reply, const char *text)
{
	json_t	   *list = json_loads(text, JSON_ALLOW_NUL, NULL);
	json_t	   *object;
	size_t		i;
	bool		good = json_is_array(list);

	json_array_foreach(list, i, object)
		good = good && json_object_size(object) == 1 && take_header_object(arena, reply, object);
	json_decref(list);
	return good;
}

/* A value of the row that reads response.status and response.headers; or NULL. */
static const char *
response_setting(const Call *call, int column)
{
	if (PQntuples(call->response) != 1 || PQgetisnull(call->response, 0, column) ||
		PQgetlength(call->response, 0, column) == 0)
		return NULL;
	return PQgetvalue(call->response, 0, column);
}

static bool
take_status(Reply *reply, const char *text)
{
	char	   *end;
	long		status = strtol(text, &end, 10);

	if (end == text || *end != '\0' || !is_status(status))
		return false;
	reply->status = (int) status;
	return true;
}

static void
take_body(Reply *reply, const Call *call)
{
	bool		is_json = call->function->output == OUTPUT_JSON;

	if (PQntuples(call->reply) > 0 && !PQgetisnull(call->reply, 0, 0))
	{
		reply->body = PQgetvalue(call->reply, 0, 0);
		reply->body_len = (size_t) PQgetlength(call->reply, 0, 0);
	}
	else
	{
		reply->body = is_json ? "null" : "";
		reply->body_len = strlen(reply->body);
	}
	if (reply->content_type == NULL && (is_json || reply->body_len > 0))
		reply->content_type = is_json ? "application/json; charset=utf-8" : "application/octet-stream";
}

static void
reply_from_result(Arena *arena, Reply *reply, const Call *call)
{
	const char *status = response_setting(call, 0);
	const char *headers = response_setting(call, 1);
	Reply		refusal = {0};

	reply->status = 200;
	if (status != NULL && !take_status(reply, status))
		reply_error(arena, &refusal, 500, "PGRST112",
					"response.status must be a status code", NULL, NULL);
	else if (headers != NULL && !take_header_list(arena, reply, headers))
		reply_error(arena, &refusal, 500, "PGRST111",
					"response.headers must be an array of objects with one header each", NULL, NULL);
	else
		take_body(reply, call);
	/* Nothing of what was read so far may stay with a refusal. */
	if (refusal.is_error)
		*reply = refusal;
}

/*
 * RAISE SQLSTATE 'PGRST': the message is the body and the detail holds status
 * and headers, both as JSON.
 */
static bool
reply_from_raise(Arena *arena, Reply *reply, const char *message, const char *detail)
{
	json_t	   *body = json_loads(message, 0, NULL);
	json_t	   *rest = detail != NULL ? json_loads(detail, 0, NULL) : NULL;
	json_t	   *headers = json_object_get(rest, "headers");
	json_int_t	status = json_integer_value(json_object_get(rest, "status"));
	const char *code = json_string_value(json_object_get(body, "code"));
	const char *text = json_string_value(json_object_get(body, "message"));
	Reply		made = {0};
	bool		good = code != NULL && text != NULL && is_status((long) status) &&
	(headers == NULL || take_header_object(arena, &made, headers));

	if (good)
	{
		const char *content_type = made.content_type;

		reply_error(arena, &made, (int) status, code, text,
					json_string_value(json_object_get(body, "details")),
					json_string_value(json_object_get(body, "hint")));
		if (content_type != NULL)
			made.content_type = content_type;
		*reply = made;
	}
	json_decref(body);
	json_decref(rest);
	return good;
}

/*
 * A fault of the server (5xx) is described in its own log.  Its words may hold
 * names and values that are none of the client's business, so it gets the code
 * only; PTxyz is a function's own words.
 */
static void
reply_from_error(Arena *arena, Reply *reply, const Call *call, bool authenticated)
{
	const char *sqlstate = call_error_field(call, PG_DIAG_SQLSTATE);
	const char *message = call_error_field(call, PG_DIAG_MESSAGE_PRIMARY);
	const char *details = call_error_field(call, PG_DIAG_MESSAGE_DETAIL);
	const char *hint = call_error_field(call, PG_DIAG_MESSAGE_HINT);
	int			status = reply_status_of(sqlstate, authenticated);

	message = message != NULL ? message : "";
	if (strcmp(sqlstate, "PGRST") == 0)
	{
		if (!reply_from_raise(arena, reply, message, details))
			reply_error(arena, reply, 500, "PGRST121",
						"could not read the JSON of a raised PGRST error", NULL, NULL);
		return;
	}
	if (status >= 500 && strncmp(sqlstate, "PT", 2) != 0)
	{
		fprintf(stderr, "wacta-gateway: %s failed with SQLSTATE %s, see the server's log\n",
				call->function->name, sqlstate);
		reply_error(arena, reply, status, sqlstate,
					status == 503 ? "the database cannot answer now" : "internal error", NULL, NULL);
		return;
	}
	reply_error(arena, reply, status, sqlstate, message, details, hint);
}

static void
reply_from_bad_role(Arena *arena, Reply *reply, const Call *call, bool authenticated)
{
	if (authenticated)
	{
		reply_error(arena, reply, 403, "42501", "the role of this token cannot be used", NULL, NULL);
		return;
	}
	fprintf(stderr, "wacta-gateway: could not take the role \"%s\": does it exist, and is it granted to the login?\n",
			call->role);
	reply_error(arena, reply, 500, "42501", "internal error", NULL, NULL);
}

void
reply_from_call(Arena *arena, Reply *reply, const Call *call, bool authenticated)
{
	switch (call->outcome)
	{
		case CALL_COMMITTED:
			reply_from_result(arena, reply, call);
			break;
		case CALL_ERROR:
			reply_from_error(arena, reply, call, authenticated);
			break;
		case CALL_BAD_ROLE:
			reply_from_bad_role(arena, reply, call, authenticated);
			break;
		case CALL_LOST:
			reply_error(arena, reply, 503, "08006", "the connection to the database was lost", NULL, NULL);
			break;
		case CALL_NO_CONNECTION:
			reply_error(arena, reply, 503, "PGRST003", "no connection to the database was free in time", NULL, NULL);
			break;
		case CALL_CROWDED:
			reply_error(arena, reply, call->share.status, "53400", "too many at once", NULL, NULL);
			break;
		case CALL_TIMED_OUT:
			reply_error(arena, reply, 504, "57014", "the database did not answer in time", NULL, NULL);
			break;
	}
}
