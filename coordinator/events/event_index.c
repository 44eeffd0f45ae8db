/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/events/event_index.h"

#include "common/base/memory.h"
#include "common/base/table.h"

#include <stdlib.h>
#include <string.h>

struct lookup {
    char *name, *field;   /* field NULL: events of this name, whatever they hold */
    struct table *values; /* keys are borrowed from the events */
    size_t *last;         /* (values) position of the last event with the value */
    size_t capacity;
};

struct event_index {
    struct lookup *lookups; /* a dozen at most: one for each place in the code that asks */
    size_t count, capacity;
};

void event_index_create(struct event_index **ret)
{
    *ret = allocate(1, sizeof **ret);
}

void event_index_destroy(struct event_index **index)
{
    struct event_index *x = *index;
    for (size_t i = 0; x && i < x->count; i++) {
        table_destroy(&x->lookups[i].values);
        free(x->lookups[i].last);
        free(x->lookups[i].name);
        free(x->lookups[i].field);
    }
    if (x)
        free(x->lookups);
    free(x);
    *index = NULL;
}

static void add(struct lookup *k, const struct json *event, size_t position)
{
    const char *value = k->field ? json_string(json_get(event, k->field)) : "";
    if (!value || strcmp(json_string(json_get(event, "event")), k->name))
        return;
    uint32_t number = table_add(k->values, value);
    k->last = grow(k->last, &k->capacity, table_count(k->values), sizeof *k->last);
    k->last[number] = position;
}

void event_index_add(struct event_index *x, const struct json *event, size_t position)
{
    for (size_t i = 0; i < x->count; i++)
        add(&x->lookups[i], event, position);
}

static bool is_for(const struct lookup *k, const char *name, const char *field)
{
    return !strcmp(k->name, name) && (field ? k->field && !strcmp(k->field, field) : !k->field);
}

static struct lookup *make_lookup(struct event_index *x, struct json *const *events, size_t count, const char *name,
                                  const char *field)
{
    x->lookups = grow(x->lookups, &x->capacity, x->count + 1, sizeof *x->lookups);
    struct lookup *k = &x->lookups[x->count++];
    *k = (struct lookup){.name = duplicate(name), .field = duplicate(field)};
    table_create(&k->values);
    for (size_t i = 0; i < count; i++)
        add(k, events[i], i);
    return k;
}

size_t event_index_last(struct event_index *x, struct json *const *events, size_t count, const char *name, const char *field,
                        const char *value)
{
    struct lookup *k = NULL;
    for (size_t i = 0; i < x->count && !k; i++)
        k = is_for(&x->lookups[i], name, field) ? &x->lookups[i] : NULL;
    if (!k)
        k = make_lookup(x, events, count, name, field);
    uint32_t number = field && !value ? TABLE_ABSENT : table_find(k->values, field ? value : "");
    return number == TABLE_ABSENT ? EVENT_NONE : k->last[number];
}
