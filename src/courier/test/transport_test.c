/*
 * transport_test.c
 *	  Tests of transport.c and below without PostgreSQL.
 *
 * A child process serves one connection after another and answers each request
 * by the path it asks for.  The tests run the same loop as the courier.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "transport.h"

static int	tests = 0;
static int	failures = 0;
static int	port;
static pid_t server;

static void
ok(int good, const char *format,...)
{
	va_list		args;

	tests++;
	failures += !good;
	printf("%sok %d - ", good ? "" : "not ", tests);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

/* ---- The server ---- */

static void
say(int fd, const char *text)
{
	size_t		len = strlen(text);

	while (len > 0)
	{
		ssize_t		n = write(fd, text, len);

		if (n <= 0)
			return;
		text += n;
		len -= n;
	}
}

static void
say_body(int fd, size_t size)
{
	char		head[128];
	char	   *body = malloc(size + 1);

	memset(body, 'x', size);
	body[size] = '\0';
	snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", size);
	say(fd, head);
	say(fd, body);
	free(body);
}

/* False: the connection shall be closed. */
static int
answer(int fd, const char *request)
{
	int			i;

	if (strncmp(request, "POST /close", 11) == 0)
		return 0;
	if (strncmp(request, "POST /hang", 10) == 0)
		sleep(5);
	if (strncmp(request, "POST /size/", 11) == 0)
		say_body(fd, strtoul(request + 11, NULL, 10));
	else if (strncmp(request, "POST /headers/", 14) == 0)
	{
		say(fd, "HTTP/1.1 200 OK\r\n");
		for (i = strtoul(request + 14, NULL, 10); i > 0; i--)
			say(fd, "X-Y: z\r\n");
		say(fd, "Content-Length: 0\r\n\r\n");
	}
	else if (strncmp(request, "POST /garbage", 13) == 0)
	{
		say(fd, "\xff\xfe nothing\r\n\r\n");
		return 0;
	}
	else
		say_body(fd, 2);
	return 1;
}

/* Requests of these tests fit into one read. */
static void
serve(int listener)
{
	for (;;)
	{
		int			fd = accept(listener, NULL, NULL);
		char		request[65536];
		ssize_t		n;

		if (fork() == 0)
		{
			while ((n = read(fd, request, sizeof(request) - 1)) > 0)
			{
				request[n] = '\0';
				if (!answer(fd, request))
					break;
			}
			_exit(0);
		}
		close(fd);
	}
}

static void
start_server(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t	len = sizeof(address);
	int			listener = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *) &address, len) != 0 || listen(listener, 512) != 0 ||
		getsockname(listener, (struct sockaddr *) &address, &len) != 0)
		abort();
	port = ntohs(address.sin_port);
	signal(SIGCHLD, SIG_IGN);
	server = fork();
	if (server == 0)
		serve(listener);
	close(listener);
}

/* ---- The loop ---- */

static void
run_until_idle(void)
{
	int64_t		end = monotonic_ms() + 20000;

	while (transport_under_way() > 0 && monotonic_ms() < end && transport_trouble() == NULL)
	{
		struct pollfd pfd = {.fd = transport_fd(), .events = POLLIN};
		long		wait = transport_wait_ms();

		(void) poll(&pfd, 1, wait < 0 || wait > 1000 ? 1000 : (int) wait);
		transport_pump();
	}
}

static Channel *
channel_for(const char *path)
{
	static int64_t revision = 0;
	static char hosts[64];
	EgressPolicy policy = {hosts, true};
	char		url[200];
	char	   *headers[] = {"Authorization: Bearer secret", "Content-Type: application/json"};

	snprintf(hosts, sizeof(hosts), "example.org, 127.0.0.1:%d", port);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", port, path);
	return channel_store(1, ++revision, url, headers, 2, &policy);
}

static Transfer *
begin(Channel *channel)
{
	Transfer   *t = transport_take();

	t->channel = channel_hold(channel);
	t->body = strdup("{\"to\": \"+919876543210\"}");
	transport_send(t);
	return t;
}

/* One transfer; the caller releases it. */
static Transfer *
post(const char *path)
{
	Transfer   *t = begin(channel_for(path));

	run_until_idle();
	return t;
}

/* ---- Tests ---- */

static void
test_egress(void)
{
	static const struct
	{
		const char *url;
		const char *hosts;
		int			http;
		int			allowed;
	}			cases[] = {
		{"https://graph.facebook.com/v24.0/1/messages", "graph.facebook.com", 0, 1},
		{"https://GRAPH.facebook.com/", "a, Graph.Facebook.COM", 0, 1},
		{"https://graph.facebook.com:443/", "graph.facebook.com", 0, 1},
		{"https://graph.facebook.com:8443/", "graph.facebook.com", 0, 0},
		{"https://graph.facebook.com:8443/", "graph.facebook.com:8443", 0, 1},
		{"https://graph.facebook.com/", "graph.facebook.com:8443", 0, 0},
		{"https://graph.facebook.com./", "graph.facebook.com", 0, 0},
		{"https://graph.facebook.com.evil.example/", "graph.facebook.com", 0, 0},
		{"https://evil.example/graph.facebook.com", "graph.facebook.com", 0, 0},
		{"https://graph.facebook.com@evil.example/", "graph.facebook.com", 0, 0},
		{"https://u:p@graph.facebook.com/", "graph.facebook.com", 0, 0},
		{"https://evil.example#@graph.facebook.com/", "graph.facebook.com", 0, 0},
		{"https://evil.example?@graph.facebook.com/", "graph.facebook.com", 0, 0},
		{"https://evil.example\\@graph.facebook.com/", "graph.facebook.com", 0, 0},
		{"https://127.0.0.1:8080/", "127.0.0.1", 0, 0},
		{"https://127.0.0.1:8080/", "127.0.0.1:8080", 0, 1},
		{"https://2130706433:8080/", "127.0.0.2:8080", 0, 0},
		{"https://[::1]:8080/", "[::1]:8080", 0, 1},
		{"https://[::1]:8080/", "::1:8080", 0, 0},
		{"http://graph.facebook.com/", "graph.facebook.com", 0, 0},
		{"http://graph.facebook.com/", "graph.facebook.com", 1, 1},
		{"http://graph.facebook.com:443/", "graph.facebook.com", 1, 0},
		{"ftp://graph.facebook.com/", "graph.facebook.com", 1, 0},
		{"file:///etc/passwd", "graph.facebook.com", 1, 0},
		{"graph.facebook.com/x", "graph.facebook.com", 1, 0},
		{"https:///x", "graph.facebook.com", 1, 0},
		{"", "graph.facebook.com", 1, 0},
		{"https://graph.facebook.com/", "", 0, 0},
		{"https://graph.facebook.com/", "\"graph.facebook.com\"", 0, 1},
	};
	size_t		i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		EgressPolicy policy = {cases[i].hosts, cases[i].http};
		char		why[192] = "";
		bool		tls;

		ok(egress_allows(&policy, cases[i].url, &tls, why, sizeof(why)) == cases[i].allowed,
		   "\"%s\" with list \"%s\" is %s", cases[i].url, cases[i].hosts,
		   cases[i].allowed ? "allowed" : "refused");
	}
}

static void
test_channels(void)
{
	EgressPolicy policy = {"example.org", false};
	char	   *headers[] = {"A: b", "C: d\r\nEvil: yes"};
	Channel    *first = channel_store(7, 3, "https://example.org/", headers, 1, &policy);
	Channel    *held = channel_hold(first);

	ok(channel_find(7, 3) == first && channel_find(7, 2) == first, "a channel is found");
	ok(channel_find(7, 4) == NULL && channel_find(8, 1) == NULL, "not a newer one, nor another");
	ok(channel_store(7, 4, "https://example.org/", headers, 2, &policy)->refusal[0] != '\0',
	   "a header with a line break is refused");
	ok(strcmp(held->url, "https://example.org/") == 0, "a replaced one lives while it is used");
	channel_release(held);
	channel_forget_all();
	ok(channel_find(7, 1) == NULL, "all are forgotten");
}

/* Judges one ending; status 0 means that it does not matter. */
static void
expect(const char *path, TransferOutcome outcome, int status, const char *error)
{
	Transfer   *t = post(path);

	ok(t->phase == TRANSFER_FINISHED && t->outcome == outcome &&
	   (status == 0 || t->http_status == status) && strstr(t->error, error) != NULL,
	   "%s: outcome %d status %d \"%s\"", path, t->outcome, t->http_status, t->error);
	transport_release(t);
}

static void
test_endings(void)
{
	Transfer   *t;

	expect("/", OUTCOME_ANSWERED, 200, "");
	expect("/size/65536", OUTCOME_ANSWERED, 200, "");
	expect("/size/65537", OUTCOME_UNKNOWN, 200, "too large");
	expect("/headers/97", OUTCOME_ANSWERED, 200, "");
	expect("/headers/98", OUTCOME_UNKNOWN, 200, "too large");
	expect("/garbage", OUTCOME_UNKNOWN, 0, "");
	expect("/hang", OUTCOME_UNKNOWN, 0, "timed out");
	expect("/", OUTCOME_ANSWERED, 200, "");
	expect("/close", OUTCOME_UNKNOWN, 0, "kept connection ended");
	expect("/close", OUTCOME_UNKNOWN, 0, "");

	t = post("/size/40000");
	ok(t->answer_len == 40000 && t->answer[0] == 'x' && t->answer[39999] == 'x', "an answer is whole");
	ok(t->retry_after == -1, "without Retry-After there is none");
	transport_release(t);
}

static void
test_many(void)
{
	Channel    *channel = channel_for("/size/3000");
	int			good = 0;
	int			n;
	int			i;
	Transfer  **finished;

	for (i = 0; i < 200; i++)
		begin(channel);
	ok(transport_under_way() == 200, "200 are under way");
	run_until_idle();
	finished = transport_finished(&n);
	for (i = 0; i < n; i++)
		good += finished[i]->outcome == OUTCOME_ANSWERED && finished[i]->answer_len == 3000;
	ok(good == 200, "%d of 200 are answered", good);
	while (n > 0)
	{
		transport_release(finished[0]);
		(void) transport_finished(&n);
	}
	ok(n == 0, "and released");
}

static void
test_refusals(void)
{
	Transfer   *t = transport_take();
	int			n;

	ok(transport_room() == 499, "a slot in use is no room");
	transport_refuse(t, "no\nway \xff");
	(void) transport_finished(&n);
	ok(n == 1 && t->outcome == OUTCOME_NOT_SENT && strcmp(t->error, "no?way ?") == 0,
	   "a refusal is finished at once, in printable ASCII");
	transport_release(t);
}

/* ---- The gate ---- */

static int	asked = 0;
static int	told = 0;
static bool gate_answer = true;

static bool
test_gate(const Transfer *t)
{
	asked++;
	return gate_answer && t->begun_at == 0;
}

static void
test_begun(const Transfer *t)
{
	told += t->begun == 1 && t->begun_at > 0;
}

/* Held back twice; then it may begin. */
static void
test_holding_back(void)
{
	Channel    *channel = channel_for("/");
	Transfer   *t;
	int			i;

	transfer_set_hooks(test_gate, test_begun);
	gate_answer = false;
	for (i = 0; i < 2; i++)
	{
		t = begin(channel);
		ok(asked == i, "nothing begins before the pump");
		run_until_idle();
		ok(asked == i + 1 && t->outcome == OUTCOME_NOT_SENT && t->begun_at == 0 && t->retry_after == 0 &&
		   strstr(t->error, "held back") != NULL, "held back: outcome %d \"%s\"", t->outcome, t->error);
		transport_release(t);
	}
	gate_answer = true;
	t = post("/");
	ok(told == 1 && t->outcome == OUTCOME_ANSWERED && llabs(t->begun_at / 1000000 - time(NULL)) <= 2,
	   "with an open gate it begins, and says when");
	transport_release(t);
	transfer_set_hooks(NULL, NULL);
}

/* As if this process had been stopped for long. */
static void
test_begins_too_late(void)
{
	Transfer   *t = begin(channel_for("/"));

	t->overdue = monotonic_ms() - 1;
	run_until_idle();
	ok(t->outcome == OUTCOME_NOT_SENT && t->begun == 0, "what is overdue does not begin");
	transport_release(t);
}

int
main(void)
{
	TransferConfig config = {
		.version = 1, .connect_timeout = 1000, .request_timeout = 1500,
		.allow_http = true, .ca_file = "", .proxy = ""
	};
	const char *error;

	setvbuf(stdout, NULL, _IONBF, 0);
	/* Not to be used: the settings alone count. */
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	start_server();
	if (!transport_open(500, &error))
	{
		printf("Bail out! %s\n", error);
		return 1;
	}
	transport_configure(&config, 500);
	test_egress();
	test_channels();
	test_endings();
	test_many();
	test_refusals();
	test_holding_back();
	test_begins_too_late();
	config.version = 2;
	transport_configure(&config, 10);
	ok(transport_room() == 10, "the capacity is changed");
	expect("/", OUTCOME_ANSWERED, 200, "");
	kill(server, SIGKILL);
	printf("1..%d\n", tests);
	return failures != 0;
}
