/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/data/protocol.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DROPPED UINT32_MAX

int protocol_open(struct protocol *ret, const struct job *j, struct error *e)
{
    struct protocol p = {.path = j->split.file};
    *ret = p;
    if (!j->split.file)
        return 0;
    if (json_read(&p.root, p.path, e) || sha256_file(p.path, p.sha256, e)) {
        json_destroy(&p.root);
        return -1;
    }
    p.protocol = json_get(p.root, "protocol");
    if (!p.protocol) {
        json_destroy(&p.root);
        return 0;
    }
    double version = json_number(json_get(p.protocol, "version"));
    if (version != PROTOCOL_VERSION_READ || json_type(json_get(p.protocol, "labels")) != JSON_ARRAY) {
        json_destroy(&p.root);
        return error_set(e, ERROR_DATA, "%s: its protocol is of version %.0f, version %d is expected; freeze it again", p.path,
                         version, PROTOCOL_VERSION_READ);
    }
    *ret = p;
    return 0;
}

void protocol_close(struct protocol *p)
{
    json_destroy(&p->root);
    p->protocol = NULL;
}

int protocol_check_files(const struct protocol *p, const char *const *paths, const char (*sha256)[SHA256_HEX], size_t count,
                         struct error *e)
{
    const struct json *files = json_get(p->protocol, "files");
    if (!p->root)
        return 0;
    if (json_size(files) != count)
        return error_set(e, ERROR_DATA, "%s: was made from %zu data files, the job has %zu", p->path, json_size(files), count);
    for (size_t i = 0; i < count; i++) {
        const char *frozen = json_string(json_get(json_at(files, i), "sha256"));
        if (!frozen || strcmp(frozen, sha256[i]) != 0)
            return error_set(e, ERROR_DATA,
                             "%s: was made from %s (sha256 %.12s...), but %s has sha256 %.12s...; use the file it was made from",
                             p->path, json_string(json_get(json_at(files, i), "name")), frozen ? frozen : "unknown", paths[i],
                             sha256[i]);
    }
    return 0;
}

/* ---- rows ---- */

struct selection {
    const struct protocol *p;
    struct records *r;
    struct table *wanted, *left_out; /* ids */
    struct table *names, *dropped;   /* labels */
    uint32_t *number;                /* [labels of r] in the protocol, or DROPPED */
};

static void add_all(struct table *to, const struct json *list)
{
    for (size_t i = 0; i < json_size(list); i++)
        if (json_string(json_at(list, i)))
            table_add(to, json_string(json_at(list, i)));
}

static void read_names(struct selection *s)
{
    const struct json *parts = json_get(s->p->root, "parts"), *left_out = json_get(s->p->protocol, "left_out");
    for (size_t i = 0; i < json_size(parts); i++)
        add_all(s->wanted, json_at(parts, i));
    for (size_t i = 0; i < json_size(left_out); i++)
        add_all(s->left_out, json_at(left_out, i));
    add_all(s->names, json_get(s->p->protocol, "labels"));
    add_all(s->dropped, json_get(s->p->protocol, "dropped_labels"));
}

static int number_labels(struct selection *s, struct error *e)
{
    s->number = allocate(s->r->label_count, sizeof *s->number);
    for (size_t c = 0; c < s->r->label_count; c++) {
        const char *name = s->r->labels[c];
        s->number[c] = table_find(s->names, name);
        if (s->number[c] == TABLE_ABSENT && table_find(s->dropped, name) == TABLE_ABSENT)
            return error_set(e, ERROR_DATA, "%s: the data has a label \"%.100s\", which is unknown to the protocol", s->p->path,
                             name);
    }
    return 0;
}

static void take_names(struct selection *s)
{
    struct records *r = s->r;
    size_t count = table_count(s->names), dropped = table_count(s->dropped);
    for (size_t c = 0; c < r->label_count; c++)
        free(r->labels[c]);
    r->labels = reallocate(r->labels, count + 1, sizeof *r->labels);
    for (size_t c = 0; c < count; c++)
        r->labels[c] = duplicate(table_key(s->names, (uint32_t)c));
    r->label_count = count;
    r->dropped_labels = reallocate(r->dropped_labels, r->dropped_label_count + dropped + 1, sizeof *r->dropped_labels);
    for (size_t c = 0; c < dropped; c++)
        r->dropped_labels[r->dropped_label_count++] = duplicate(table_key(s->dropped, (uint32_t)c));
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void renumber(struct record *row, uint32_t *labels, const uint32_t *number)
{
    uint32_t kept = 0;
    if (row->class >= 0)
        row->class = number[row->class] == DROPPED ? -1 : (int32_t)number[row->class];
    for (uint32_t k = 0; k < row->label_count; k++)
        if (number[labels[k]] != DROPPED)
            labels[kept++] = number[labels[k]];
    row->label_count = kept;
    if (kept > 0)
        qsort(labels, kept, sizeof *labels, by_number);
}

static int keep_rows(struct selection *s, struct error *e)
{
    struct records *r = s->r;
    size_t kept = 0;
    for (size_t i = 0; i < r->count; i++) {
        struct record *row = &r->rows[i];
        if (table_find(s->wanted, row->id) == TABLE_ABSENT) {
            if (table_find(s->left_out, row->id) == TABLE_ABSENT)
                return error_set(
                    e, ERROR_DATA,
                    "%s: line %u: the row \"%.100s\" is unknown to the protocol; data.id, data.label and data.required "
                    "have to be those it was made with",
                    s->p->path, row->line, row->id);
            continue;
        }
        renumber(row, row->labels ? r->label_numbers + (row->labels - r->label_numbers) : NULL, s->number);
        r->rows[kept++] = *row;
    }
    r->by_protocol = true;
    r->protocol_left_out = r->count - kept;
    r->count = kept;
    return 0;
}

static int check_all_there(const struct selection *s, struct error *e)
{
    struct table *there;
    table_create(&there);
    for (size_t i = 0; i < s->r->count; i++)
        table_add(there, s->r->rows[i].id);
    size_t missing = table_count(s->wanted) - table_count(there);
    const char *first = NULL;
    for (uint32_t i = 0; i < table_count(s->wanted) && !first; i++)
        if (table_find(there, table_key(s->wanted, i)) == TABLE_ABSENT)
            first = table_key(s->wanted, i);
    table_destroy(&there);
    return !first
               ? 0
               : error_set(e, ERROR_DATA,
                           "%s: %zu of its rows are missing, the first is \"%.100s\"; data.id, data.label and data.required have "
                           "to be those it was made with",
                           s->p->path, missing, first);
}

int protocol_select(struct records *r, const struct protocol *p, struct error *e)
{
    struct selection s = {.p = p, .r = r};
    table_create(&s.wanted);
    table_create(&s.left_out);
    table_create(&s.names);
    table_create(&s.dropped);
    read_names(&s);
    int result = number_labels(&s, e) || keep_rows(&s, e) || check_all_there(&s, e) ? -1 : 0;
    if (!result)
        take_names(&s);
    free(s.number);
    table_destroy(&s.dropped);
    table_destroy(&s.names);
    table_destroy(&s.left_out);
    table_destroy(&s.wanted);
    return result;
}

/* ---- texts ---- */

struct json *protocol_text_options(const struct job *j)
{
    static const char *const keys[] = {"text_a", "text_b", "joiner", "word_limits"};
    struct json *all = job_data_options(j), *some = json_object();
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_get(all, keys[i]))
            json_set(some, keys[i], json_copy(json_get(all, keys[i])));
    json_destroy(&all);
    return some;
}

static bool same_texts(const struct protocol *p, const struct job *j)
{
    struct json *here = protocol_text_options(j);
    char *mine = json_print(here, false), *its = json_print(json_get(p->protocol, "texts"), false);
    bool same = strcmp(mine, its) == 0;
    free(its);
    free(mine);
    json_destroy(&here);
    return same;
}

int protocol_check_texts(const struct protocol *p, const struct split *s, const struct job *j, struct error *e)
{
    const struct json *fingerprints = json_get(p->root, "fingerprints");
    if (!fingerprints)
        return 0;
    if (!json_get(p->protocol, "texts") || !same_texts(p, j)) {
        printf("  note: texts are composed of other fields than in %s; rows, labels and files are the same\n", p->path);
        return 0;
    }
    for (int part = 0; part < PART_COUNT; part++) {
        const char *frozen = json_string(json_get(fingerprints, part_names[part]));
        if (!frozen || strcmp(frozen, s->fingerprint[part]) != 0)
            return error_set(
                e, ERROR_DATA,
                "%s: the texts or labels of the %s part are others than those it was made from (%.12s..., here %.12s...)",
                p->path, part_names[part], frozen ? frozen : "none", s->fingerprint[part]);
    }
    return 0;
}
