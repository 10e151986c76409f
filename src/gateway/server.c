/*
 * server.c
 *	  The HTTP side as a whole: listening, shortages, the end.
 *
 * libevent's evhttp was chosen for who keeps it patched: Debian's libevent gets
 * security updates in its stable releases, and it shares one loop with libpq's
 * sockets.  What happens to a request is exchange.c's.  Called by main.c.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "server.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "arena.h"
#include "exchange.h"
#include "memory.h"

#define MAX_LISTENERS	8
#define LAST_CALL		100		/* milliseconds for requests already on their way */
#define READ_AHEAD		65536	/* what the library reads beyond a request, and more */

struct Server
{
	struct event_base *base;
	struct evhttp *http;
	struct evhttp_bound_socket *sockets[MAX_LISTENERS];
	int			nsockets;
	struct event *resume;		/* accept again after a shortage */
	struct event *last_call;
	bool		short_of_memory;	/* the shortage in progress is in the log */
	ExchangeContext context;
};

/* The library keeps a listener's argument to itself, and a connection's. */
static Server *the_server;

static void
set_accepting(Server *server, bool on)
{
	int			i;

	for (i = 0; i < server->nsockets; i++)
	{
		struct evconnlistener *listener = evhttp_bound_socket_get_listener(server->sockets[i]);

		if (on)
			evconnlistener_enable(listener);
		else
			evconnlistener_disable(listener);
	}
}

static void
on_resume(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	set_accepting(arg, true);
}

/*
 * Out of descriptors, most likely.  The connection stays in the backlog and the
 * socket readable, so without a pause this would be all the loop did.
 */
static void
on_accept_error(struct evconnlistener *listener, void *arg)
{
	struct timeval pause = {0, 100000};

	(void) listener;
	(void) arg;
	set_accepting(the_server, false);
	evtimer_add(the_server->resume, &pause);
}

/* The library answers only what is whole; it hears of a broken connection. */
static void
cut_off(struct bufferevent *connection, const char *answer)
{
	struct evbuffer *input = bufferevent_get_input(connection);

	send(bufferevent_getfd(connection), answer, strlen(answer), MSG_DONTWAIT | MSG_NOSIGNAL);
	/* At once, or the next to send would be cut off for nothing. */
	evbuffer_drain(input, evbuffer_get_length(input));
	bufferevent_trigger_event(connection, BEV_EVENT_READING | BEV_EVENT_ERROR, BEV_TRIG_DEFER_CALLBACKS);
}

static const char too_large[] = "HTTP/1.1 413 Request Entity Too Large\r\n"
"Content-Length: 0\r\nConnection: close\r\n\r\n";
static const char too_slow[] = "HTTP/1.1 408 Request Timeout\r\n"
"Content-Length: 0\r\nConnection: close\r\n\r\n";
static const char no_memory[] = "HTTP/1.1 503 Service Unavailable\r\n"
"Retry-After: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/*
 * How long the oldest byte that waits in this connection has been there: some
 * send just enough to stay.  The library keeps no time for a whole request.
 */
static long
pending_ms(struct bufferevent *connection, bool is_first)
{
	static struct timespec *since;	/* by descriptor */
	static int	size;
	int			fd = bufferevent_getfd(connection);
	struct timespec now;

	if (fd < 0)
		return 0;
	if (fd >= size)
	{
		size = 2 * fd + 64;
		since = realloc(since, (size_t) size * sizeof(*since));
		if (since == NULL)
			abort();
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (is_first)
		since[fd] = now;
	return (now.tv_sec - since[fd].tv_sec) * 1000 + (now.tv_nsec - since[fd].tv_nsec) / 1000000;
}

/*
 * A request is in memory before it is an exchange's, and the library sets no
 * end to a line within a chunked body.  So who has sent more than a request may
 * have is cut off; and so are, when memory is short and exchanges refuse bodies
 * already, those who go on sending, last of all small requests.
 */
static void
on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *connection)
{
	const Options *options = the_server->context.options;
	size_t		pending = evbuffer_get_length(input);
	size_t		limit = (size_t) options->max_held;

	if (info->n_added == 0)
		return;
	if (pending_ms(connection, pending == info->n_added) > options->receive_timeout)
	{
		cut_off(connection, too_slow);
		return;
	}
	if (pending > (size_t) options->max_body + (size_t) options->max_headers + READ_AHEAD)
		cut_off(connection, too_large);
	else if (memory_held() > (pending > (size_t) options->max_headers ? 2 : 3) * limit)
	{
		if (!the_server->short_of_memory)
			fprintf(stderr, "wacta-gateway: %zu bytes held, requests are cut off\n", memory_held());
		the_server->short_of_memory = true;
		cut_off(connection, no_memory);
	}
	else if (memory_held() <= limit)
		the_server->short_of_memory = false;
}

/* As the library would make it, but watched. */
static struct bufferevent *
new_connection(struct event_base *base, void *arg)
{
	struct bufferevent *connection = bufferevent_socket_new(base, -1, 0);

	(void) arg;
	if (connection != NULL)
		evbuffer_add_cb(bufferevent_get_input(connection), on_input, connection);
	return connection;
}

static void
on_last_call(evutil_socket_t fd, short what, void *arg)
{
	Server	   *server = arg;

	(void) fd;
	(void) what;
	if (server->context.active == 0)
		event_base_loopbreak(server->base);
}

static void
begin_last_call(Server *server)
{
	struct timeval wait = {0, LAST_CALL * 1000};

	evtimer_add(server->last_call, &wait);
}

static void
on_all_done(void *owner)
{
	Server	   *server = owner;

	if (server->context.stopping)
		begin_last_call(server);
}

Server *
server_start(struct event_base *base, const Options *options, JwtKeys *keys, Pool *pool)
{
	Server	   *server = must_alloc(sizeof(Server));
	struct timeval timeout = {options->client_timeout / 1000, (options->client_timeout % 1000) * 1000};

	the_server = server;
	server->base = base;
	server->context = (ExchangeContext)
	{
		.options = options,
			.keys = keys,
			.pool = pool,
			.all_done = on_all_done,
			.owner = server,
	};
	server->resume = evtimer_new(base, on_resume, server);
	server->last_call = evtimer_new(base, on_last_call, server);
	server->http = evhttp_new(base);
	evhttp_set_gencb(server->http, exchange_start, &server->context);
	evhttp_set_bevcb(server->http, new_connection, NULL);
	evhttp_set_max_body_size(server->http, options->max_body);
	evhttp_set_max_headers_size(server->http, options->max_headers);
	evhttp_set_timeout_tv(server->http, &timeout);
	/* A reply without a body has no type, and no other is for the library to guess. */
	evhttp_set_default_content_type(server->http, NULL);
	/* Read on after a body that is too large, so that the client sees the 413. */
	evhttp_set_flags(server->http, EVHTTP_SERVER_LINGERING_CLOSE);
	evhttp_set_allowed_methods(server->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST |
							   EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PUT | EVHTTP_REQ_PATCH | EVHTTP_REQ_DELETE);
	return server;
}

void
server_listen(Server *server, struct evconnlistener *listener)
{
	struct evhttp_bound_socket *socket = evhttp_bind_listener(server->http, listener);

	evconnlistener_set_error_cb(listener, on_accept_error);
	if (socket != NULL && server->nsockets < MAX_LISTENERS)
		server->sockets[server->nsockets++] = socket;
}

void
server_set_keys(Server *server, JwtKeys *keys)
{
	jwt_keys_free(server->context.keys);
	server->context.keys = keys;
}

void
server_stop(Server *server)
{
	if (server->context.stopping)
		return;
	server->context.stopping = true;
	evtimer_del(server->resume);
	while (server->nsockets > 0)
		evhttp_del_accept_socket(server->http, server->sockets[--server->nsockets]);
	begin_last_call(server);
}

int
server_active(const Server *server)
{
	return server->context.active;
}

void
server_free(Server *server)
{
	evhttp_free(server->http);
	event_free(server->resume);
	event_free(server->last_call);
	jwt_keys_free(server->context.keys);
	free(server);
}
