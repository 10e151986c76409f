/*
 * transfer.c
 *	  One HTTP request and its answer: set up, received, judged.
 *
 * The callbacks run inside libcurl.  They copy bytes into capped buffers and
 * return; on trouble they say so by their result and leave a mark in the
 * Transfer.  Free of PostgreSQL: see transport.c.
 *
 * A request must not be sent twice behind our back.  libcurl repeats one by
 * itself, POST included, when a connection that was kept alive dies before the
 * first byte of an answer, or when an HTTP/2 stream is refused
 * (Curl_retry_request() of 7.88.1, up to five times).  The server may have acted
 * on the first copy.  Each such repetition passes CURLOPT_PREREQFUNCTION again,
 * which is called when the connection stands and before the first byte of the
 * request: the second call of a transfer refuses.  The first call is, besides,
 * the line between "certainly not sent" and "nobody knows", and the last moment
 * at which a request can be held back.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if LIBCURL_VERSION_NUM < 0x075500
#error "wacta needs libcurl 7.85 or later"
#endif

#define ANSWER_FIRST_SIZE	2048
#define RETRY_AFTER_MAX		(7 * 24 * 3600)

/*
 * A kept connection is used again only within this time, in seconds.  It is
 * below the idle limit of common servers (5 s and more), so that the server
 * hardly ever closes a connection just as a request leaves on it.
 */
#define IDLE_CONNECTION_MAX	4L

static TransferGate gate = NULL;
static TransferBegun on_begun = NULL;

int64_t
monotonic_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t
wall_clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* NULL: every request may begin; nobody is told. */
void
transfer_set_hooks(TransferGate new_gate, TransferBegun new_begun)
{
	gate = new_gate;
	on_begun = new_begun;
}

/* Marks a transfer that has not begun and must not: true. */
bool
transfer_hold_back(Transfer *t)
{
	if (t->begun == 0)
		t->held_back = gate != NULL && !gate(t);
	return t->held_back;
}

/* ---- Callbacks ---- */

/*
 * What is long overdue does not begin either: this process was stopped, and
 * others may have given up what it had claimed, and decided anew.
 */
static int
about_to_send(void *arg, char *peer_ip, char *local_ip, int peer_port, int local_port)
{
	Transfer   *t = arg;

	if (transfer_hold_back(t) || (t->begun == 0 && monotonic_ms() > t->overdue) || t->begun++ > 0)
		return CURL_PREREQFUNC_ABORT;
	t->begun_at = wall_clock_us();
	if (on_begun != NULL)
		on_begun(t);
	return CURL_PREREQFUNC_OK;
}

/* Returning less than len makes libcurl end the transfer. */
static size_t
refuse_answer(Transfer *t)
{
	t->too_large = true;
	return 0;
}

static size_t
take_header(char *data, size_t size, size_t n, void *arg)
{
	Transfer   *t = arg;

	if (++t->header_lines > ANSWER_HEADERS_MAX)
		return refuse_answer(t);
	return size * n;
}

static size_t
take_body(char *data, size_t size, size_t n, void *arg)
{
	Transfer   *t = arg;
	size_t		len = size * n;
	size_t		need = t->answer_len + len;

	if (need > ANSWER_MAX)
		return refuse_answer(t);
	if (need > t->answer_size)
	{
		size_t		new_size = t->answer_size ? t->answer_size : ANSWER_FIRST_SIZE;
		char	   *bigger;

		while (new_size < need)
			new_size *= 2;
		bigger = realloc(t->answer, new_size);
		if (bigger == NULL)
			return 0;
		t->answer = bigger;
		t->answer_size = new_size;
	}
	memcpy(t->answer + t->answer_len, data, len);
	t->answer_len = need;
	return len;
}

/* ---- Setting up ---- */

/* Sets an option unless an earlier one failed. */
#define SET(option, value) \
	(rc = (rc != CURLE_OK) ? rc : curl_easy_setopt(easy, option, value))

/* Options that hold for every request of this handle. */
static CURLcode
set_fixed_options(CURL *easy, Transfer *t)
{
	CURLcode	rc = CURLE_OK;

	SET(CURLOPT_PRIVATE, t);
	SET(CURLOPT_ERRORBUFFER, t->curl_error);
	SET(CURLOPT_PREREQFUNCTION, about_to_send);
	SET(CURLOPT_PREREQDATA, t);
	SET(CURLOPT_HEADERFUNCTION, take_header);
	SET(CURLOPT_HEADERDATA, t);
	SET(CURLOPT_WRITEFUNCTION, take_body);
	SET(CURLOPT_WRITEDATA, t);
	SET(CURLOPT_POST, 1L);
	SET(CURLOPT_USERAGENT, "wacta");
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2TLS);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(CURLOPT_NOPROXY, "");
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_MAXAGE_CONN, IDLE_CONNECTION_MAX);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* Do not wait for a resolver thread when its transfer is over. */
	SET(CURLOPT_QUICK_EXIT, 1L);
#endif
	return rc;
}

/*
 * Options from the server's settings.  The limit on the whole transfer bounds a
 * trickling answer too; a limit on the speed would end one that is only late.
 * An empty CURLOPT_PROXY means none, also if the environment names one.
 */
static CURLcode
set_configured_options(CURL *easy, const TransferConfig *config)
{
	CURLcode	rc = CURLE_OK;

	SET(CURLOPT_PROTOCOLS_STR, config->allow_http ? "http,https" : "https");
	SET(CURLOPT_CONNECTTIMEOUT_MS, config->connect_timeout);
	SET(CURLOPT_TIMEOUT_MS, config->request_timeout);
	SET(CURLOPT_PROXY, config->proxy);
	if (config->ca_file[0] != '\0')
		SET(CURLOPT_CAINFO, config->ca_file);
	return rc;
}

static CURLcode
set_request_options(CURL *easy, Transfer *t)
{
	CURLcode	rc = CURLE_OK;

	SET(CURLOPT_URL, t->channel->url);
	SET(CURLOPT_HTTPHEADER, t->channel->headers);
	SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) strlen(t->body));
	SET(CURLOPT_POSTFIELDS, t->body);

	/*
	 * Rather share an HTTP/2 connection that is being made than make another.
	 * With TLS the handshake tells whether the server has it; without, the wait
	 * would be for the first answer.
	 */
	SET(CURLOPT_PIPEWAIT, t->channel->tls ? 1L : 0L);
	return rc;
}

/* Makes the handle ready for t's body and channel; false: t has the error. */
bool
transfer_prepare(Transfer *t, const TransferConfig *config)
{
	CURLcode	rc = CURLE_OK;

	if (t->easy != NULL && t->config_version != config->version)
	{
		curl_easy_cleanup(t->easy);
		t->easy = NULL;
	}
	if (t->easy == NULL)
	{
		t->easy = curl_easy_init();
		rc = t->easy == NULL ? CURLE_OUT_OF_MEMORY : set_fixed_options(t->easy, t);
		if (rc == CURLE_OK)
			rc = set_configured_options(t->easy, config);
		t->config_version = config->version;
	}
	if (rc == CURLE_OK)
		rc = set_request_options(t->easy, t);
	if (rc == CURLE_OK)
		return true;

	curl_easy_cleanup(t->easy);
	t->easy = NULL;
	transfer_fail(t, OUTCOME_NOT_SENT, curl_easy_strerror(rc));
	return false;
}

/* ---- Judging ---- */

/* Keeps printable ASCII, whatever a library or a server put into the text. */
static void
set_error(Transfer *t, const char *error)
{
	char	   *c;

	snprintf(t->error, sizeof(t->error), "%s", error);
	for (c = t->error; *c != '\0'; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

void
transfer_fail(Transfer *t, TransferOutcome outcome, const char *error)
{
	t->phase = TRANSFER_FINISHED;
	t->outcome = outcome;
	t->elapsed_ms = (int) (monotonic_ms() - t->started);
	set_error(t, error);
}

static void
read_status(Transfer *t)
{
	long		status = 0;
	curl_off_t	wait = 0;

	(void) curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	(void) curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &wait);
	t->http_status = (int) status;
	if (wait > 0)				/* seconds, or a date, which libcurl has subtracted from */
		t->retry_after = wait > RETRY_AFTER_MAX ? RETRY_AFTER_MAX : (int) wait;
}

/* Says what the result means.  The handle must have left the multi handle. */
void
transfer_finish(Transfer *t, CURLcode result)
{
	const char *error = t->curl_error[0] ? t->curl_error : curl_easy_strerror(result);

	if (t->begun > 0)
		read_status(t);
	if (result == CURLE_OK && t->http_status >= 200)
	{
		transfer_fail(t, OUTCOME_ANSWERED, "");
		return;
	}
	t->answer_len = 0;			/* a piece of an answer proves nothing */
	if (t->held_back)
	{
		t->retry_after = 0;		/* the next claim decides anew, at once */
		transfer_fail(t, OUTCOME_NOT_SENT, "held back: the claim was out of date when its turn came");
	}
	else if (t->begun == 0 && result == CURLE_SSL_CONNECT_ERROR)
	{
		/* what OpenSSL says alone ("wrong version number") does not tell that it is about TLS */
		char		why[sizeof(t->error)];

		snprintf(why, sizeof(why), "the TLS handshake failed: %.*s",
				 (int) sizeof(why) - 32, error);
		transfer_fail(t, OUTCOME_NOT_SENT, why);
	}
	else if (t->begun == 0)
		transfer_fail(t, OUTCOME_NOT_SENT, error);
	else if (t->begun > 1)
		transfer_fail(t, OUTCOME_UNKNOWN, "the kept connection ended before an answer; not sent again");
	else if (t->too_large)
		transfer_fail(t, OUTCOME_UNKNOWN, "the answer is too large");
	else
		transfer_fail(t, OUTCOME_UNKNOWN, error);
}

/* Makes the slot free for the next; keeps the handle and a small buffer. */
void
transfer_reset(Transfer *t)
{
	CURL	   *easy = t->easy;
	uint32_t	config_version = t->config_version;
	char	   *answer = t->answer;
	size_t		answer_size = t->answer_size;

	channel_release(t->channel);
	free(t->body);
	if (answer_size > ANSWER_FIRST_SIZE)
	{
		free(answer);
		answer = NULL;
		answer_size = 0;
	}
	memset(t, 0, sizeof(*t));
	t->easy = easy;
	t->config_version = config_version;
	t->answer = answer;
	t->answer_size = answer_size;
}
