/*
 * turns.c
 *	  What this courier has of the turns of each sender.
 *
 * A claimed message has taken a turn of its sender.  The turn ends when its
 * request begins, or when it is known that it never will.  Shared memory is told
 * in reports (src/pace.c), which say all that there is, so that one which was
 * missed does no harm.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "turns.h"

#include "pace.h"
#include "utils/memutils.h"

#define FIRST_SIZE	16

static PaceCount *counts = NULL;	/* n_counts of the senders that there is something of */
static int	n_counts = 0;
static int	size = 0;
static bool changed = false;

static PaceCount *
find(int32 channel_id)
{
	int			i;

	for (i = 0; i < n_counts; i++)
		if (counts[i].channel_id == channel_id)
			return &counts[i];
	return NULL;
}

static PaceCount *
add(int32 channel_id)
{
	if (counts == NULL)
		counts = MemoryContextAlloc(TopMemoryContext, (size = FIRST_SIZE) * sizeof(PaceCount));
	if (n_counts == size)
		counts = repalloc(counts, (size *= 2) * sizeof(PaceCount));
	counts[n_counts] = (PaceCount) {.channel_id = channel_id};
	return &counts[n_counts++];
}

void
turn_claimed(int32 channel_id)
{
	PaceCount  *count = find(channel_id);

	if (count == NULL)
		count = add(channel_id);
	count->claimed++;
	changed = true;
}

/* Called inside libcurl: there is an entry, for the message was claimed. */
void
turn_begun(int32 channel_id)
{
	PaceCount  *count = find(channel_id);

	count->claimed--;
	count->started++;
	changed = true;
}

void
turn_given_back(int32 channel_id)
{
	find(channel_id)->claimed--;
	changed = true;
}

/* After a claim, whatever came of it: it may have taken more turns than messages. */
void
report_turns(void)
{
	int			kept = 0;
	int			i;

	pace_report(counts, n_counts);
	for (i = 0; i < n_counts; i++)
	{
		counts[i].started = 0;
		if (counts[i].claimed > 0)
			counts[kept++] = counts[i];
	}
	n_counts = kept;
	changed = false;
}

void
report_new_turns(void)
{
	if (changed)
		report_turns();
}
