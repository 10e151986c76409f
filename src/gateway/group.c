/*
 * group.c
 *	  Taps of several customers, made in one transaction.
 *
 * Most of what a tap costs is not its rows but what each statement, each
 * transaction and each wait for the disk costs, however many rows it is for.  So
 * customers who come while others are being served are served together.  The
 * function that does so takes the taps of whose outcome there is no doubt, and
 * waits for no lead: whoever it leaves out, and all of a group whose transaction
 * failed, are run one by one, as if there were no groups.  Nobody's tap depends
 * on anybody else's.
 *
 * Must not know of connections or queues.  Called by pool.c.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "group.h"

#include <stdlib.h>
#include <string.h>

#include "arena.h"

enum
{
	COLUMN_NTH, COLUMN_STATUS, COLUMN_HEADERS, COLUMN_BODY
};

typedef struct Group
{
	Call		call;			/* must be first */
	CallList	members;
	Arena	   *arena;
	void		(*alone) (Call *member);
} Group;

/* confirm and call_at are second thoughts, about a tap that was made. */
bool
group_takes(const Call *call)
{
	return call->function == routes_tap_function() && !call->alone &&
		call->args[TAP_CONFIRM] == NULL && call->args[TAP_CALL_AT] == NULL;
}

bool
group_admits(const Call *group, const Call *call)
{
	return strcmp(group->role, call->role) == 0 && strcmp(group->claims, call->claims) == 0;
}

/* ---- What is asked: an array for each argument, an element for each member ---- */

static size_t
quoted_length(const char *value)
{
	size_t		length = 3;		/* quotes and comma */

	if (value == NULL)
		return strlen("NULL,");
	for (; *value != '\0'; value++)
		length += *value == '"' || *value == '\\' ? 2 : 1;
	return length;
}

static char *
append_quoted(char *at, const char *value)
{
	if (value == NULL)
		return stpcpy(at, "NULL");
	*at++ = '"';
	for (; *value != '\0'; value++)
	{
		if (*value == '"' || *value == '\\')
			*at++ = '\\';
		*at++ = *value;
	}
	*at++ = '"';
	return at;
}

static const char *
value_of(const Call *member, int column)
{
	return column < TAP_LINK_ARGS ? member->args[column] : member->headers;
}

/* PostgreSQL's array literal. */
static const char *
array_of(const Group *group, int column)
{
	const Call *member;
	size_t		size = sizeof("{}");
	char	   *array;
	char	   *at;

	TAILQ_FOREACH(member, &group->members, link)
		size += quoted_length(value_of(member, column));
	at = array = arena_alloc(group->arena, size);
	TAILQ_FOREACH(member, &group->members, link)
	{
		*at = at == array ? '{' : ',';
		at = append_quoted(at + 1, value_of(member, column));
	}
	*at = '}';
	return array;
}

void
group_close(Call *call)
{
	Group	   *group = (Group *) call;
	int			column;

	for (column = 0; column < call->function->nargs; column++)
		call->args[column] = array_of(group, column);
}

/* ---- What comes back ---- */

/* A result of one row, or NULL: out of memory. */
static PGresult *
make_row(const PGresult *from, int row, int first_column, int ncolumns)
{
	PGresAttDesc columns[2] = {{.name = "", .format = 1}, {.name = "", .format = 1}};
	PGresult   *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	bool		good = result != NULL && PQsetResultAttrs(result, ncolumns, columns);
	int			i;

	for (i = 0; i < ncolumns && good; i++)
		good = PQsetvalue(result, 0, i, PQgetvalue(from, row, first_column + i), PQgetlength(from, row, first_column + i));
	if (good)
		return result;
	PQclear(result);
	return NULL;
}

static void
give_answer(Call *member, const PGresult *answers, int row)
{
	member->response = make_row(answers, row, COLUMN_STATUS, 2);
	member->reply = make_row(answers, row, COLUMN_BODY, 1);
	member->outcome = member->response != NULL && member->reply != NULL ? CALL_COMMITTED : CALL_LOST;
}

/* The answer to the nth member, or -1. */
static int
answer_to(const PGresult *answers, int nth)
{
	int			row;

	for (row = 0; row < PQntuples(answers); row++)
	{
		if (atoi(PQgetvalue(answers, row, COLUMN_NTH)) == nth)
			return row;
	}
	return -1;
}

/*
 * An error rolled all of it back.  When the connection broke nobody knows whether
 * it did, and each member learns just that.
 */
static void
on_done(Call *call)
{
	Group	   *group = (Group *) call;
	bool		rolled_back = call->outcome == CALL_ERROR || call->outcome == CALL_BAD_ROLE;
	Call	   *member;
	int			nth;

	for (nth = 1; (member = TAILQ_FIRST(&group->members)) != NULL; nth++)
	{
		int			row = call->outcome == CALL_COMMITTED ? answer_to(call->reply, nth) : -1;

		TAILQ_REMOVE(&group->members, member, link);
		if (rolled_back || (row < 0 && call->outcome == CALL_COMMITTED))
		{
			group->alone(member);
			continue;
		}
		if (row >= 0)
			give_answer(member, call->reply, row);
		else
			member->outcome = call->outcome;
		member->done(member);
	}
	call_clear(call);
	arena_free(group->arena);
	free(group);
}

Call *
group_new(const Call *first, void (*alone) (Call *member))
{
	Group	   *group = must_alloc(sizeof(Group));

	TAILQ_INIT(&group->members);
	group->arena = arena_new();
	group->alone = alone;
	group->call = (Call)
	{
		.function = routes_taps_function(),.role = first->role,.claims = first->claims,.method = first->method,
			.path = first->path,.headers = "{}",.cookies = "{}",.members = &group->members,.done = on_done
	};
	return &group->call;
}

void
group_add(Call *call, Call *member)
{
	TAILQ_INSERT_TAIL(&((Group *) call)->members, member, link);
}
