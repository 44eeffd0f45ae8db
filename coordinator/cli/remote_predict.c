/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/cli/remote_predict.h"

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/stop.h"
#include "common/base/table.h"
#include "common/format/stream.h"
#include "coordinator/cli/http_client.h"

#include <stdlib.h>
#include <string.h>

#define BATCH_ROWS 128
#define BATCH_BYTES ((size_t)1 << 20)
#define RETRIES 30

struct remote {
    const struct remote_options *options;
    struct http_client *client;
    struct json *info;
    struct bundle_input input;
    struct label_set labels;
    size_t rows_most, bytes_most; /* of a request */
    char *key;
};

/* ---- the server ---- */

static int refused(const struct remote *r, const struct http_reply *reply, struct error *e)
{
    struct json *o = NULL;
    struct error ignored;
    const char *why = NULL;
    if (json_parse(&o, reply->body.data, reply->body.size, "answer", &ignored) == 0)
        why = json_string(json_get(o, "error"));
    error_set(e, reply->status == 401 ? ERROR_USAGE : ERROR_FAILED, "%s: answers %ld: %s%s", r->options->url, reply->status,
              why ? why : "it is no muster serve", reply->status == 401 ? " (--api-key-file)" : "");
    json_destroy(&o);
    return -1;
}

/* A server that is busy, loads or starts anew is asked again. */
static int ask(struct json **ret, struct remote *r, const char *path, const struct buffer *body, struct error *e)
{
    struct http_reply reply;
    for (int attempt = 0;; attempt++) {
        if (http_client_ask(&reply, r->client, path, body, e) != 0)
            return -1;
        if ((reply.status != 429 && reply.status != 503) || attempt == RETRIES)
            break;
        buffer_free(&reply.body);
        for (double until = clock_seconds() + (reply.after > 0 ? reply.after : 1); clock_seconds() < until; clock_sleep(0.05))
            if (stop_check(e) != 0)
                return -1;
    }
    int status =
        reply.status == 200 ? json_parse(ret, reply.body.data, reply.body.size, r->options->url, e) : refused(r, &reply, e);
    buffer_free(&reply.body);
    return status;
}

static size_t limit_of(const struct json *info, const char *name, size_t most)
{
    double limit = json_number(json_get(json_get(info, "limits"), name));
    return limit >= 1 && limit < (double)most ? (size_t)limit : most;
}

static int read_info(struct remote *r, struct error *e)
{
    if (ask(&r->info, r, "/info", NULL, e) != 0)
        return -1;
    const struct json *names = json_get(r->info, "labels");
    if (json_size(names) == 0)
        return error_set(e, ERROR_FAILED, "%s: tells no labels; it is no muster serve", r->options->url);
    r->labels = (struct label_set){.names = allocate(json_size(names), sizeof(char *)),
                                   .count = (uint32_t)json_size(names),
                                   .multi = json_boolean(json_get(r->info, "multi_label"))};
    for (uint32_t i = 0; i < r->labels.count; i++)
        r->labels.names[i] = duplicate(json_string(json_at(names, i)) ? json_string(json_at(names, i)) : "");
    r->rows_most = limit_of(r->info, "max_items", BATCH_ROWS);
    r->bytes_most = limit_of(r->info, "max_body_bytes", BATCH_BYTES);
    return bundle_input_read(&r->input, r->info, false, &r->options->input, e);
}

static int read_key(char **ret, const char *path, struct error *e)
{
    char *text;
    size_t size;
    if (file_read(&text, &size, path, e) != 0)
        return -1;
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n"))) {
        line += strspn(line, " \t\r");
        line[strcspn(line, " \t\r")] = 0;
        if (*line && *line != '#')
            break;
    }
    *ret = duplicate(line);
    free(text);
    return *ret ? 0 : error_set(e, ERROR_DATA, "%s: has no key", path);
}

/* ---- rows ---- */

/* A batch of rows and what the server says of them. */
struct answers {
    float *logits; /* (rows, labels) */
    double *probability;
    uint8_t *decided;
};

static int find_label(const struct remote *r, const char *name)
{
    for (uint32_t c = 0; name && c < r->labels.count; c++)
        if (strcmp(r->labels.names[c], name) == 0)
            return (int)c;
    return -1;
}

static int read_answer(struct answers *a, const struct remote *r, const struct json *j, const struct record *row, size_t i,
                       struct error *e)
{
    const struct json *labels = json_get(j, "labels"), *scores = json_get(j, "scores"), *logits = json_get(j, "logits");
    size_t count = r->labels.count;
    if (json_get(j, "error"))
        return error_set(e, ERROR_DATA, "%s: row \"%.100s\" is refused: %s", r->options->url, row->id,
                         json_string(json_get(j, "error")));
    bool right = json_size(scores) == count && json_size(logits) == count && (r->labels.multi || json_size(labels) == 1);
    for (size_t c = 0; right && c < count; c++) {
        a->probability[i * count + c] = json_number(json_get(scores, r->labels.names[c]));
        a->logits[i * count + c] = (float)json_number(json_at(logits, c));
    }
    for (size_t k = 0; right && k < json_size(labels); k++) {
        int c = find_label(r, json_string(json_at(labels, k)));
        right = c >= 0;
        if (right)
            a->decided[i * count + (size_t)c] = 1;
    }
    return right ? 0 : error_set(e, ERROR_FAILED, "%s: answers with other labels than it told", r->options->url);
}

static struct buffer batch_body(const struct record *rows, size_t count)
{
    struct json *o = json_object(), *items = json_set(o, "items", json_array());
    for (size_t i = 0; i < count; i++) {
        struct json *texts = json_append(items, json_array());
        json_append(texts, json_of_string(rows[i].a));
        if (rows[i].b)
            json_append(texts, json_of_string(rows[i].b));
    }
    json_set_boolean(o, "logits", true);
    char *text = json_print(o, false);
    json_destroy(&o);
    return (struct buffer){text, strlen(text), strlen(text) + 1};
}

static int read_answers(struct answers *a, const struct remote *r, const struct json *answer, const struct record *rows,
                        size_t count, struct error *e)
{
    const struct json *results = json_get(answer, "results");
    if (json_size(results) != count)
        return error_set(e, ERROR_FAILED, "%s: answers %zu rows for %zu", r->options->url, json_size(results), count);
    for (size_t i = 0; i < count; i++)
        if (read_answer(a, r, json_at(results, i), &rows[i], i, e) != 0)
            return -1;
    return 0;
}

static void print(FILE *to, enum rows_form form, bool header, const struct remote *r, const struct answers *a,
                  const struct record *rows, size_t count)
{
    const char **ids = allocate(count, sizeof *ids);
    for (size_t i = 0; i < count; i++)
        ids[i] = rows[i].id;
    const struct prediction_rows p = {.labels = &r->labels,
                                      .separator = json_string(json_get(json_get(r->info, "input"), "label_separator")),
                                      .ids = ids,
                                      .logits = a->logits,
                                      .probability = a->probability,
                                      .decided = a->decided,
                                      .rows = (uint32_t)count};
    prediction_rows_print(to, &p, form, header);
    free(ids);
}

static int predict_batch(FILE *to, enum rows_form form, bool header, struct remote *r, const struct record *rows, size_t count,
                         struct error *e)
{
    size_t values = count * r->labels.count;
    struct json *answer = NULL;
    struct buffer body = batch_body(rows, count);
    struct answers a = {allocate(values, sizeof *a.logits), allocate(values, sizeof *a.probability),
                        allocate(values, sizeof *a.decided)};
    int status = ask(&answer, r, "/classify/batch", &body, e);
    if (status == 0)
        status = read_answers(&a, r, answer, rows, count, e);
    if (status == 0)
        print(to, form, header, r, &a, rows, count);
    json_destroy(&answer);
    buffer_free(&body);
    free(a.logits);
    free(a.probability);
    free(a.decided);
    return status;
}

/* Rows from `at` on that go into one request. A byte of text may become six in JSON. */
static size_t rows_of_batch(const struct remote *r, const struct records *all, size_t at)
{
    size_t bytes = 64, n = 0;
    while (at + n < all->count && n < r->rows_most) {
        const struct record *row = &all->rows[at + n];
        bytes += 6 * (strlen(row->a) + (row->b ? strlen(row->b) : 0)) + 16;
        if (n && bytes > r->bytes_most)
            break;
        n++;
    }
    return n;
}

/* As of rows that are tokenised here. */
static int check_ids(const struct records *all, struct error *e)
{
    struct table *seen;
    int status = 0;
    table_create(&seen);
    for (size_t i = 0; i < all->count && status == 0; i++)
        if (table_add(seen, all->rows[i].id) != i)
            status = error_set(e, ERROR_DATA, "row \"%.200s\": an earlier row has this id, too", all->rows[i].id);
    table_destroy(&seen);
    return status;
}

static int predict_all(uint64_t *rows, FILE *to, enum rows_form form, struct remote *r, const char *input, struct error *e)
{
    struct records all = {0};
    int status = stream_needs_spool(input) ? stream_spool(input, e) : 0;
    if (status == 0)
        status = data_read_rows(&all, input, &r->input, e);
    stream_unspool();
    if (status == 0)
        status = check_ids(&all, e);
    for (size_t at = 0, n; at < all.count && status == 0; at += n) {
        n = rows_of_batch(r, &all, at);
        status = predict_batch(to, form, at == 0, r, &all.rows[at], n, e);
    }
    *rows = all.count;
    records_free(&all);
    return status;
}

int remote_predict(uint64_t *rows, FILE *to, enum rows_form form, const char *input, const struct remote_options *o,
                   struct error *e)
{
    struct remote r = {.options = o};
    int status = o->key_file ? read_key(&r.key, o->key_file, e) : 0;
    if (status == 0)
        status = http_client_create(&r.client, o->url, r.key, e);
    if (status == 0)
        status = read_info(&r, e);
    if (status == 0)
        status = predict_all(rows, to, form, &r, input, e);
    bundle_input_free(&r.input);
    label_set_free(&r.labels);
    json_destroy(&r.info);
    http_client_destroy(&r.client);
    free(r.key);
    return status;
}
