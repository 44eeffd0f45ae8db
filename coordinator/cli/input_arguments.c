/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/cli/input_arguments.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

/* "text=body" */
static int read_name(struct field_name *ret, const char *text, struct error *e)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text || !equals[1])
        return error_set(e, ERROR_USAGE, "--field: expected FIELD=COLUMN, such as text=body, found \"%s\"", text);
    char *field = duplicate(text);
    field[equals - text] = 0;
    *ret = (struct field_name){field, equals + 1};
    return 0;
}

int input_arguments_read(struct input_options *ret, const struct arguments *a, struct error *e)
{
    static const char *const quotes[] = {"auto", "none", NULL};
    struct input_options o = {.skip_bad = argument_given(a, "skip-bad"), .table.encoding = argument(a, "encoding")};
    const char *text;
    int choice;
    size_t at = 0;
    o.names = allocate(a->given_count + 1, sizeof *o.names);
    if (argument_choice(&choice, a, "quotes", quotes, e) != 0)
        goto fail;
    o.table.plain_quotes = choice == 1;
    while ((text = argument_next(a, "field", &at))) {
        if (read_name(&o.names[o.name_count], text, e) != 0)
            goto fail;
        o.name_count++;
    }
    *ret = o;
    return 0;
fail:
    input_arguments_free(&o);
    return -1;
}

void input_arguments_free(struct input_options *o)
{
    for (size_t i = 0; i < o->name_count; i++)
        free(o->names[i].field);
    free(o->names);
    *o = (struct input_options){0};
}
