/*
 * mend_fuzz.c
 *	  src/mend.c by itself, under the address and undefined behaviour sanitizers.
 *
 *	mend_fuzz SEED RUNS FILE...
 *
 * Each run bends the bytes of a file, the same way for the same seed, and mends
 * them in buffers without a byte to spare.  The result must be UTF-8 without NUL,
 * without \u0000 and without half surrogate pairs, must stay as it is when it is
 * mended again, and must be the input itself where there was nothing to mend.
 * Prints TAP; the input of a failure is printed as a C string.
 */
#include "c.h"

#include <time.h>

#include "mb/pg_wchar.h"
#include "bend.h"
#include "mend.h"

/* What is likely to be at the edge of something. */
static const char *const pieces[] = {
	"\"", "\\", "\\u", "\\u0", "\\u0000", "\\ud800", "\\udc00", "\\uDBFF\\uDFFF", "\\ud83d\\ude00", "\\u00", "\\\\u0000", "\\\"",
	"\xff", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf0\x9f\x98", "\xe0\xa4\xac", "\xc2", "\xef\xbb\xbf", "\xef\xbf\xbd",
	"{", "}", "[", "]", ",", ":", "-", "1e999999", "-0", "1e-99999", "00000000000000000000", "\x01", "\x1f", "\x7f", "\n", " ", "null", "E", "."
};

static bool
is_utf8(const Bytes *b)
{
	size_t		i = 0;

	while (i < b->len)
	{
		int			len = b->data[i] == '\0' ? -1 : pg_encoding_verifymbchar(PG_UTF8, (const char *) b->data + i, b->len - i);

		if (len <= 0)
			return false;
		i += len;
	}
	return true;
}

/* The code unit of a \uXXXX at a position, by other means than mend.c has. */
static long
escaped_unit(const Bytes *b, size_t at)
{
	char		hex[5] = {0};

	if (at + 6 > b->len || b->data[at] != '\\' || b->data[at + 1] != 'u')
		return -1;
	memcpy(hex, b->data + at + 2, 4);
	return strspn(hex, "0123456789abcdefABCDEF") == 4 ? strtol(hex, NULL, 16) : -1;
}

/* Whether an escape in a string tells a character that jsonb cannot store. */
static bool
has_bad_escape(const Bytes *b)
{
	bool		in_string = false;
	size_t		i;

	for (i = 0; i < b->len; i++)
	{
		long		unit;

		if (b->data[i] == '"')
			in_string = !in_string;
		if (b->data[i] != '\\' || !in_string)
			continue;
		unit = escaped_unit(b, i);
		if (unit == 0 || (unit >= 0xDC00 && unit <= 0xDFFF))
			return true;
		if (unit >= 0xD800 && unit <= 0xDBFF)
		{
			long		low = escaped_unit(b, i + 6);

			if (low < 0xDC00 || low > 0xDFFF)
				return true;
			i += 6;
		}
		i += unit < 0 ? 1 : 5;
	}
	return false;
}

/* In buffers of exactly the size that is asked for. */
static Bytes
mend(const Bytes *in)
{
	Bytes		out;
	unsigned char *exact = malloc(in->len > 0 ? in->len : 1);

	memcpy(exact, in->data, in->len);
	out.data = malloc(MENDED_SIZE(in->len) > 0 ? MENDED_SIZE(in->len) : 1);
	out.len = mend_json(exact, in->len, out.data);
	free(exact);
	return out;
}

static const char *
wrong(const Bytes *in, const Bytes *out, const Bytes *again)
{
	if (out->len > MENDED_SIZE(in->len))
		return "it is longer than it may be";
	if (!is_utf8(out))
		return "it is no UTF-8";
	if (has_bad_escape(out))
		return "it has an escape that cannot be stored";
	/* a second byte order mark is a character, and the first one when the first is gone */
	if ((out->len < 3 || memcmp(out->data, "\xEF\xBB\xBF", 3) != 0) &&
		(again->len != out->len || memcmp(again->data, out->data, out->len) != 0))
		return "it changes when it is mended again";
	return NULL;
}

static bool
check(const Bytes *in)
{
	Bytes		out = mend(in);
	Bytes		again = mend(&out);
	const char *what = wrong(in, &out, &again);

	if (what != NULL)
	{
		printf("# %s:\n", what);
		print_input(in);
	}
	free(out.data);
	free(again.data);
	return what == NULL;
}

/* What is sound is handed on as it is. */
static bool
unchanged(const Bytes *in)
{
	Bytes		out = mend(in);
	bool		same = out.len == in->len && memcmp(out.data, in->data, in->len) == 0;

	free(out.data);
	return same;
}

int
main(int argc, char **argv)
{
	Bytes		work = {malloc(MAX_SIZE), 0};
	Bytes	   *files = calloc(argc, sizeof(Bytes));
	int			count = argc - 3;
	long		runs,
				run;
	int			bad = 0;
	int			changed = 0;
	clock_t		began = clock();

	if (count < 1)
	{
		fprintf(stderr, "usage: mend_fuzz SEED RUNS FILE...\n");
		return 2;
	}
	bend_seed(strtoull(argv[1], NULL, 10));
	runs = strtol(argv[2], NULL, 10);
	for (int i = 0; i < count; i++)
	{
		read_file(argv[i + 3], &files[i]);
		if (is_utf8(&files[i]) && !has_bad_escape(&files[i]) && !unchanged(&files[i]) && strstr(argv[i + 3], "samples") && ++changed)
			printf("# %s was changed\n", argv[i + 3]);
	}
	for (run = 0; run < runs && bad < 5; run++)
	{
		const Bytes *file = &files[random_below(count)];

		work.len = file->len;
		memcpy(work.data, file->data, file->len);
		for (int n = run < count ? 0 : 1 + random_below(8); n > 0; n--)
			bend(&work, pieces, lengthof(pieces));
		bad += !check(&work);
	}
	printf("%s - sound bodies stay as they are\n", changed == 0 ? "ok" : "not ok");
	printf("%s - %ld bent bodies are mended\n", bad == 0 ? "ok" : "not ok", run);
	printf("# SEED=%s, %.0f a second\n", argv[1], run / ((double) (clock() - began + 1) / CLOCKS_PER_SEC));
	return bad > 0 || changed > 0;
}
