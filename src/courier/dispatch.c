/*
 * dispatch.c
 *	  From the outbox to the transport: gives a claimed message its channel.
 *
 * Called by the courier's loop after the claim has been committed.  A message
 * that cannot be sent is settled as such and never raises an error.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "dispatch.h"

#include "guc.h"
#include "transport.h"
#include "turns.h"
#include "utils/memutils.h"
#include "worker.h"

/*
 * Fetches a channel in a transaction of its own, so that what is wrong with it
 * concerns its messages alone.  On failure *why says what is.
 */
static Channel *
load_channel(int32 channel_id, const char **why)
{
	EgressPolicy policy = {wacta_allowed_hosts, wacta_allow_http};
	OutboxChannel row = {0};
	Channel    *channel = NULL;
	MemoryContext caller = CurrentMemoryContext;
	volatile bool found = false;
	int			i;

	*why = "the channel does not exist";
	PG_TRY();
	{
		worker_begin("wacta: reading a channel");
		found = outbox_channel(channel_id, &row);
		worker_commit();
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(caller);
		edata = CopyErrorData();
		FlushErrorState();
		worker_abort();
		*why = edata->message;
		found = false;
	}
	PG_END_TRY();

	if (found)
	{
		channel = channel_store(channel_id, row.revision, row.url,
								row.headers, row.n_headers, &policy);
		*why = "out of memory";
	}
	for (i = 0; i < row.n_headers; i++)
		explicit_bzero(row.headers[i], strlen(row.headers[i]));
	return channel;
}

/*
 * Sends one claimed message, or has it settled why it cannot be sent.  There is
 * a free slot, because no more is claimed than the transport has room for.
 */
void
dispatch(const OutboxMessage *message, uint64 claimed_at)
{
	Transfer   *t = transport_take();
	Channel    *channel;
	const char *why = "";

	Assert(t != NULL);
	t->lead_id = message->lead_id;
	t->message_id = message->message_id;
	t->channel_id = message->channel_id;
	t->template_id = message->template_id;
	t->attempt = message->attempt;
	t->claimed_at = claimed_at;
	turn_claimed(t->channel_id);

	channel = channel_find(message->channel_id, message->channel_revision);
	if (channel == NULL)
		channel = load_channel(message->channel_id, &why);
	if (channel == NULL)
	{
		transport_refuse(t, why);
		return;
	}
	if (channel->refusal[0] != '\0')
	{
		transport_refuse(t, channel->refusal);
		return;
	}
	t->channel = channel_hold(channel);
	t->body = strdup(message->body);
	if (t->body == NULL)
		transport_refuse(t, "out of memory");
	else
		transport_send(t);
}

/* It has been settled, or given up: its slot is free for another one. */
void
let_go(Transfer *t)
{
	if (t->begun == 0)
		turn_given_back(t->channel_id);
	transport_release(t);
}
