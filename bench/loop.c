/*
 * loop.c
 *	  The bare reference: the same requests by libcurl alone, without a database.
 *
 *		loop URL BODY_FILE IN_FLIGHT REQUESTS
 *
 * Posts the file's contents again and again over one multi handle, driven by
 * curl_multi_socket_action() and epoll, with the options that a courier sets.
 * Prints requests a second and CPU time a request.  No courier can be faster
 * than this, for it has to do all of it.
 *
 * Copyright (c) 2026, the wacta authors
 */
#define _GNU_SOURCE

#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#define EVENTS_AT_ONCE	256
#define BODY_MAX		65536

typedef struct Slot
{
	CURL	   *easy;
	char		answer[4096];
	size_t		answer_len;
} Slot;

static CURLM *multi;
static int	epfd;
static double timer_due = -1;
static struct curl_slist *headers;
static char body[BODY_MAX];
static long to_start;
static long to_finish;

static void
die(const char *what)
{
	fprintf(stderr, "loop: %s\n", what);
	exit(1);
}

static double
now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static double
cpu_s(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* ---- Callbacks ---- */

static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct epoll_event event = {.data.fd = fd};

	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	epoll_ctl(epfd, what == CURL_POLL_REMOVE ? EPOLL_CTL_DEL : known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
	curl_multi_assign(multi, fd, what == CURL_POLL_REMOVE ? NULL : &epfd);
	return 0;
}

static int
set_timer(CURLM *m, long timeout_ms, void *arg)
{
	timer_due = timeout_ms < 0 ? -1 : now_s() + timeout_ms / 1e3;
	return 0;
}

static size_t
take_body(char *data, size_t size, size_t n, void *arg)
{
	Slot	   *s = arg;

	if (s->answer_len + size * n > sizeof(s->answer))
		return 0;
	memcpy(s->answer + s->answer_len, data, size * n);
	s->answer_len += size * n;
	return size * n;
}

/* ---- Transfers ---- */

static void
start(Slot *s)
{
	to_start--;
	s->answer_len = 0;
	if (curl_multi_add_handle(multi, s->easy) != CURLM_OK)
		die("curl_multi_add_handle");
}

static void
make_slot(Slot *s, const char *url)
{
	s->easy = curl_easy_init();
	curl_easy_setopt(s->easy, CURLOPT_PRIVATE, s);
	curl_easy_setopt(s->easy, CURLOPT_URL, url);
	curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(s->easy, CURLOPT_POSTFIELDSIZE, (long) strlen(body));
	curl_easy_setopt(s->easy, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(s->easy, CURLOPT_WRITEDATA, s);
	curl_easy_setopt(s->easy, CURLOPT_USERAGENT, "wacta");
	curl_easy_setopt(s->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(s->easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(s->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(s->easy, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
	curl_easy_setopt(s->easy, CURLOPT_TIMEOUT_MS, 30000L);
	start(s);
}

static void
finish(CURL *easy, CURLcode result)
{
	char	   *slot;
	long		status;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &slot);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	if (result != CURLE_OK || status != 200)
		die(curl_easy_strerror(result));
	curl_multi_remove_handle(multi, easy);
	to_finish--;
	if (to_start > 0)
		start((Slot *) slot);
}

static void
act(curl_socket_t fd, int events)
{
	int			running;

	if (curl_multi_socket_action(multi, fd, events, &running) != CURLM_OK)
		die("curl_multi_socket_action");
}

static void
collect(void)
{
	CURLMsg    *msg;
	int			left;

	while ((msg = curl_multi_info_read(multi, &left)) != NULL)
		if (msg->msg == CURLMSG_DONE)
			finish(msg->easy_handle, msg->data.result);
}

static void
run_once(void)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	double		wait = timer_due < 0 ? 1 : timer_due - now_s();
	int			n = epoll_wait(epfd, events, EVENTS_AT_ONCE, wait > 0 ? (int) (wait * 1000 + 1) : 0);
	int			i;

	for (i = 0; i < n; i++)
		act(events[i].data.fd,
			(events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
			(events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
			(events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0));
	if (timer_due >= 0 && timer_due <= now_s())
	{
		timer_due = -1;
		act(CURL_SOCKET_TIMEOUT, 0);
	}
	collect();
}

/* ---- The run ---- */

static void
read_body(const char *path)
{
	FILE	   *in = fopen(path, "r");
	size_t		len = in ? fread(body, 1, sizeof(body) - 1, in) : 0;

	if (len == 0)
		die("the body file cannot be read");
	fclose(in);
}

static void
raise_descriptor_limit(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void
set_up(long in_flight)
{
	raise_descriptor_limit();
	curl_global_init(CURL_GLOBAL_ALL);
	epfd = epoll_create1(EPOLL_CLOEXEC);
	multi = curl_multi_init();
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, in_flight);
	headers = curl_slist_append(headers, "Content-Type: application/json");
	headers = curl_slist_append(headers, "Authorization: Bearer bench-access-token-0123456789");
}

int
main(int argc, char **argv)
{
	long		in_flight = argc == 5 ? atol(argv[3]) : 0;
	long		requests = argc == 5 ? atol(argv[4]) : 0;
	Slot	   *slots;
	double		began;
	double		cpu;
	double		took;
	long		i;

	if (in_flight < 1 || requests < in_flight)
		die("usage: loop URL BODY_FILE IN_FLIGHT REQUESTS");
	read_body(argv[2]);
	set_up(in_flight);
	slots = calloc(in_flight, sizeof(Slot));
	to_start = to_finish = requests;
	cpu = cpu_s();
	began = now_s();
	for (i = 0; i < in_flight; i++)
		make_slot(&slots[i], argv[1]);
	while (to_finish > 0)
		run_once();
	took = now_s() - began;
	printf("rate=%.1f\ncpu_us=%.1f\n", requests / took, (cpu_s() - cpu) * 1e6 / requests);
	return 0;
}
