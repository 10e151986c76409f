/*
 * server.c
 *	  The HTTP side as a whole: listening, shortages, the end.
 *
 * libevent's evhttp was chosen for who keeps it patched: Debian's libevent gets
 * security updates in its stable releases, and it shares one loop with libpq's
 * sockets.  What happens to a request is exchange.c's, to one that is not yet whole
 * connection.c's.  Called by main.c.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "server.h"

#include <event2/bufferevent.h>
#include <event2/http.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "arena.h"
#include "connection.h"
#include "exchange.h"

#define LAST_CALL		100		/* milliseconds for requests already on their way */

struct Server
{
	struct event_base *base;
	struct evhttp *http;
	struct evhttp *metrics;		/* the same program on another address */
	struct evhttp_bound_socket *sockets[MAX_LISTENERS];
	bool		is_metrics[MAX_LISTENERS];
	int			nsockets;
	struct event *resume;		/* accept again after a shortage */
	struct event *last_call;
	ExchangeContext context;
};

/* The library keeps a listener's argument to itself. */
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

static void
pause_accepting(Server *server)
{
	struct timeval pause = {0, 100000};

	set_accepting(server, false);
	evtimer_add(server->resume, &pause);
}

/*
 * Out of descriptors, most likely.  The connection stays in the backlog and the
 * socket readable, so without a pause this would be all the loop did.
 */
static void
on_accept_error(struct evconnlistener *listener, void *arg)
{
	(void) listener;
	(void) arg;
	pause_accepting(the_server);
}

static void
set_patience(struct evhttp *http, long ms)
{
	struct timeval patience = {ms / 1000, (ms % 1000) * 1000};

	evhttp_set_timeout_tv(http, &patience);
}

/*
 * The lowest free descriptor tells how many are in use, and one goes to each
 * client.  When few are left accepting pauses, so that the pool never lacks one;
 * and when more than half are taken, who comes then must not be idle for long, and
 * all have to hurry with their requests.
 */
static struct bufferevent *
new_connection(struct event_base *base, void *arg)
{
	Server	   *server = arg;
	const Options *options = server->context.options;
	int			in_use = fcntl(0, F_DUPFD_CLOEXEC, 0);
	bool		is_crowded = in_use < 0 || in_use > options->max_connections / 2;

	(void) base;
	if (in_use >= 0)
		close(in_use);
	if (in_use < 0 || in_use >= options->max_connections)
		pause_accepting(server);
	connection_set_crowded(is_crowded);
	set_patience(server->http, is_crowded ? options->client_timeout / CROWDED + 1 : options->client_timeout);
	return connection_new();
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

static struct evhttp *
new_http(Server *server, void (*callback) (struct evhttp_request *, void *))
{
	const Options *options = server->context.options;
	struct evhttp *http = evhttp_new(server->base);

	evhttp_set_gencb(http, callback, &server->context);
	evhttp_set_bevcb(http, new_connection, server);
	evhttp_set_max_body_size(http, options->max_body);
	evhttp_set_max_headers_size(http, options->max_headers);
	/* A reply without a body has no type, and no other is for the library to guess. */
	evhttp_set_default_content_type(http, NULL);
	evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST |
							   EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PUT | EVHTTP_REQ_PATCH | EVHTTP_REQ_DELETE);
	return http;
}

Server *
server_start(struct event_base *base, const Options *options, JwtKeys *keys, Pool *pool)
{
	Server	   *server = must_alloc(sizeof(Server));

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
	server->http = new_http(server, exchange_start);
	server->metrics = new_http(server, exchange_start_metrics);
	return server;
}

bool
server_listen(Server *server, struct evconnlistener *listener, bool for_metrics)
{
	struct evhttp_bound_socket *socket;

	if (server->nsockets == MAX_LISTENERS)
		return false;
	socket = evhttp_bind_listener(for_metrics ? server->metrics : server->http, listener);
	if (socket == NULL)
		return false;
	evconnlistener_set_error_cb(listener, on_accept_error);
	server->sockets[server->nsockets++] = socket;
	server->is_metrics[server->nsockets - 1] = for_metrics;
	return true;
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
	while (server->nsockets-- > 0)
		evhttp_del_accept_socket(server->is_metrics[server->nsockets] ? server->metrics : server->http,
								 server->sockets[server->nsockets]);
	server->nsockets = 0;
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
	evhttp_free(server->metrics);
	event_free(server->resume);
	event_free(server->last_call);
	jwt_keys_free(server->context.keys);
	free(server);
}
