/* SPDX-License-Identifier: Apache-2.0 */
/* From a bundle and a file to logits: tokenise, one score lease on one local rank. */
#include "coordinator/bundle/bundle_score.h"

#include "cluster/launcher.h"
#include "cluster/local_device.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/format/results.h"
#include "common/format/stream.h"
#include "common/score/labels.h"
#include "coordinator/bundle/row_chunks.h"
#include "coordinator/data/tokenize.h"
#include "coordinator/dispatch/dispatch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Everything that has to be whole for a lease, in a directory that goes away. */
struct place {
    char *directory, *rows, *unseen, *logits, *model;
    char *weights, *adapter; /* of a bundle whose weights are its base's; else NULL */
};

static int place_create(struct place *ret, const char *bundle, struct error *e)
{
    const char *base = getenv("TMPDIR");
    char *directory = format_string("%s/muster.XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(directory)) {
        error_errno(e, errno, "%s: no temporary directory can be made (TMPDIR)", directory);
        free(directory);
        return -1;
    }
    char *model = realpath(bundle, NULL);
    *ret = (struct place){.directory = directory,
                          .rows = path_join(directory, "rows"),
                          .unseen = path_join(directory, "unseen"),
                          .logits = path_join(directory, "logits.h5"),
                          .model = model ? model : duplicate(bundle)};
    return bundle_base(&ret->weights, &ret->adapter, ret->model, e);
}

static void place_destroy(struct place *p)
{
    struct error e = {0};
    if (p->directory && directory_remove(p->directory, &e) != 0)
        log_warn("%s", e.message);
    free(p->directory);
    free(p->rows);
    free(p->unseen);
    free(p->logits);
    free(p->model);
    free(p->weights);
    free(p->adapter);
}

static int tokenize(const struct place *p, const struct bundle *b, const char *input, bool need_labels,
                    const struct input_options *o, struct error *e)
{
    struct tokenizer *t;
    if (tokenizer_open(&t, p->model, e) != 0)
        return -1;
    int status = stream_needs_spool(input) ? stream_spool(input, e) : 0;
    if (status == 0)
        status = data_tokenize_file(input, bundle_inference(b), t, p->rows, need_labels, o, e);
    stream_unspool();
    tokenizer_close(&t);
    return status;
}

/* ---- rows that the bundle knows ---- */

static int read_known(struct training_rows **ret, const struct place *p, struct error *e)
{
    char *path = path_join(p->model, TRAINING_ROWS_FILE);
    int status = 0;
    *ret = NULL;
    if (file_exists(path))
        status = training_rows_read(ret, path, e);
    else
        log_warn("%s: is missing, so rows that the bundle was trained on are not found; publish it again", path);
    free(path);
    return status;
}

static int copy_row(struct dataset_writer *w, const struct dataset *d, uint32_t row, struct error *e)
{
    const float *targets = dataset_is_multi(d) && dataset_labels(d) ? dataset_targets(d, row) : NULL;
    return dataset_writer_append(w, dataset_id(d, row), dataset_group(d, row), dataset_class(d, row), targets,
                                 dataset_tokens(d, row), e);
}

/* The rows of *d that only the test part, or none, has; they take its place. */
static int leave_out(struct dataset **d, char **rows, const char *unseen, const struct training_rows *k, struct error *e)
{
    struct dataset_writer *w;
    int status = dataset_writer_create(&w, unseen, dataset_labels(*d), dataset_is_multi(*d), e);
    if (status != 0)
        return -1;
    for (uint32_t i = 0; status == 0 && i < dataset_rows(*d); i++) {
        if (training_rows_find(k, *d, i) >= PART_TEST)
            status = copy_row(w, *d, i, e);
        dataset_walked(*d, i + 1);
    }
    if (status == 0)
        status = dataset_writer_commit(&w, e);
    else
        dataset_writer_destroy(&w);
    if (status != 0)
        return -1;
    dataset_close(d);
    free(*rows);
    *rows = duplicate(unseen);
    return dataset_open(d, *rows, e);
}

static int apply_overlap_policy(struct bundle_score *s, struct place *p, const char *input, enum overlap_policy policy,
                                struct error *e)
{
    struct training_rows *k;
    uint32_t rows = dataset_rows(s->data);
    if (policy == OVERLAP_ANY || read_known(&k, p, e) != 0)
        return policy == OVERLAP_ANY ? 0 : -1;
    s->knows = k != NULL;
    for (uint32_t i = 0; k && i < rows; i++) {
        s->known[training_rows_find(k, s->data, i)]++;
        dataset_walked(s->data, i + 1);
    }
    uint32_t train = s->known[PART_TRAIN], seen = train + s->known[PART_VALIDATION];
    int status = 0;
    if (policy == OVERLAP_REFUSE_TRAIN && train > 0)
        status = error_set(
            e, ERROR_DATA,
            "%s: %u of its %u rows are among those that the bundle was trained on, so metrics would flatter it; leave them "
            "out (evaluate: --unseen) or take them as they are (--allow-train)",
            input, train, rows);
    else if (policy == OVERLAP_LEAVE_OUT && !k)
        status =
            error_set(e, ERROR_DATA,
                      "%s: nothing can be left out of it by a bundle without known_rows.bin; publish the bundle again", input);
    else if (policy == OVERLAP_LEAVE_OUT && seen == rows)
        status = error_set(e, ERROR_DATA, "%s: all %u rows are among those that the bundle was trained or tuned on", input, rows);
    else if (policy == OVERLAP_LEAVE_OUT && seen > 0)
        status = leave_out(&s->data, &p->rows, p->unseen, k, e);
    training_rows_destroy(&k);
    return status;
}

static void make_lease(struct trial *ret, const struct place *p, const struct bundle *b)
{
    const char *precision = json_string(json_get(json_get(bundle_inference(b), "options"), "precision"));
    *ret = (struct trial){.kind = TRIAL_SCORE,
                          .key = duplicate("score"),
                          .directory = duplicate(p->directory),
                          .dataset = duplicate(p->rows),
                          .model = duplicate(p->model),
                          .weights = duplicate(p->weights),
                          .adapter = duplicate(p->adapter),
                          .score_test = true,
                          .multi = bundle_labels(b)->multi,
                          .labels = bundle_labels(b)->count,
                          .dropout = -1,
                          .epochs = 1,
                          .batch = 1,
                          .micro_batch = 1,
                          .max_length = bundle_decision(b)->max_length};
    snprintf(ret->precision, sizeof ret->precision, "%s", precision && strcmp(precision, "bf16") == 0 ? "bf16" : "f32");
}

static int start_dispatch(struct dispatch **ret, const struct place *p, const char *worker, const struct bundle_score_options *o,
                          struct error *e)
{
    struct dispatch_options options = {.directory = p->directory,
                                       .worker = worker,
                                       .launcher = LAUNCHER_LOCAL,
                                       .device = (enum device_kind)device_kind_find(o->device),
                                       .groups = 1,
                                       .ranks_per_group = 1,
                                       .threads = o->threads,
                                       .heartbeat_timeout = 30};
    return dispatch_create(ret, &options, NULL, e);
}

static int score(const struct place *p, const struct bundle *b, const struct bundle_score_options *o, struct error *e)
{
    char *worker = NULL;
    struct dispatch *d = NULL;
    if (launcher_worker_path(&worker, e) != 0)
        return -1;
    struct trial lease;
    make_lease(&lease, p, b);
    int status = start_dispatch(&d, p, worker, o, e);
    if (status == 0)
        status = dispatch_run(d, &lease, 1, NULL, e);
    dispatch_destroy(&d, status == 0 ? 0 : (int)e->kind);
    trial_free(&lease);
    free(worker);
    return status;
}

struct truth bundle_score_kind(const struct bundle_score *s)
{
    const struct label_set *l = bundle_labels(s->bundle);
    return (struct truth){.kind = decision_kind_of(l->multi, l->count),
                          .rows = s->rows,
                          .labels = s->labels,
                          .positive = bundle_decision(s->bundle)->positive};
}

static void fill_probabilities(struct bundle_score *s)
{
    s->probability = allocate((size_t)s->rows * s->labels, sizeof(double));
    s->temperatures = allocate(s->labels, sizeof(double));
    for (uint32_t c = 0; c < s->labels; c++)
        s->temperatures[c] = bundle_decision(s->bundle)->temperatures[c];
    if (bundle_labels(s->bundle)->multi) {
        label_probabilities(s->probability, s->logits, s->rows, s->labels, s->temperatures);
        return;
    }
    for (size_t i = 0; i < s->rows; i++)
        softmax(s->probability + i * s->labels, s->logits + i * s->labels, s->labels, s->temperatures);
}

static int take_logits(struct bundle_score *s, const struct place *p, struct error *e)
{
    struct logits l;
    const struct logits_rows whose = {s->data, NULL};
    if (logits_read(&l, p->logits, PART_TEST, 1, &whose, e) != 0)
        return -1;
    if (l.rows != s->rows || l.labels != s->labels) {
        error_set(e, ERROR_FAILED, "the worker scored %u rows and %u labels of %u and %u", l.rows, l.labels, s->rows, s->labels);
        logits_free(&l);
        return -1;
    }
    s->logits = l.values;
    l.values = NULL;
    logits_free(&l);
    fill_probabilities(s);
    struct truth kind = bundle_score_kind(s);
    s->decided = decisions_make(&kind, s->logits, s->temperatures, bundle_decision(s->bundle)->thresholds);
    return 0;
}

static int check_device(const char *name, struct error *e)
{
    return local_device_check(name, "auto, cpu, cuda, cpu_reference, guarded or fake", e);
}

/* A run directory is often meant to be its bundle. */
static int open_bundle(struct bundle **ret, const char *path, struct error *e)
{
    if (bundle_open(ret, path, e) == 0)
        return 0;
    char *inside = path_join(path, "bundle"), *rule = path_join(inside, BUNDLE_INFERENCE),
         *own = path_join(path, BUNDLE_INFERENCE);
    if (file_exists(rule) && !file_exists(own))
        error_set(e, ERROR_DATA, "%s: is a run directory; did you mean %s?", path, inside);
    free(own);
    free(rule);
    free(inside);
    return -1;
}

int bundle_score_run(struct bundle_score *ret, const char *bundle, const char *input, bool need_labels,
                     const struct bundle_score_options *o, struct error *e)
{
    struct bundle_score s = {0};
    struct place p = {0};
    int status = check_device(o->device, e) == 0 ? open_bundle(&s.bundle, bundle, e) : -1;
    if (status == 0)
        status = place_create(&p, bundle, e);
    if (status == 0)
        status = tokenize(&p, s.bundle, input, need_labels, &o->input, e);
    if (status == 0)
        status = dataset_open(&s.data, p.rows, e);
    if (status == 0)
        status = apply_overlap_policy(&s, &p, input, o->overlap, e);
    if (status == 0) {
        s.rows = dataset_rows(s.data);
        s.labels = bundle_labels(s.bundle)->count;
        status = score(&p, s.bundle, o, e);
    }
    if (status == 0)
        status = take_logits(&s, &p, e);
    place_destroy(&p); /* the rows stay mapped */
    if (status == 0)
        *ret = s;
    else
        bundle_score_free(&s);
    return status;
}

void bundle_score_free(struct bundle_score *s)
{
    free(s->logits);
    free(s->probability);
    free(s->decided);
    free(s->temperatures);
    dataset_close(&s->data);
    bundle_close(&s->bundle);
    memset(s, 0, sizeof *s);
}

/* ---- rows as they come ---- */

#define IDLE_MOST 10 /* seconds without a row after which the workers go home */

struct streaming {
    struct bundle_score s; /* of a chunk; the bundle stays */
    struct place p;
    struct tokenizer *tokenizer;
    const struct bundle_score_options *o;
    char *worker;
    struct dispatch *dispatch;
};

static void rest(void *context, double seconds)
{
    struct streaming *t = context;
    if (seconds > IDLE_MOST)
        dispatch_destroy(&t->dispatch, 0);
}

static void chunk_free(struct bundle_score *s)
{
    struct bundle *bundle = s->bundle;
    s->bundle = NULL;
    bundle_score_free(s);
    s->bundle = bundle;
}

/* The first line is an object by itself, and more than that alone. */
static bool are_rows(const char *bytes, size_t size, bool ended)
{
    struct json *row = NULL;
    struct error ignored;
    const char *end;
    while (size && strchr(" \t\r\n", *bytes)) {
        bytes++;
        size--;
    }
    end = memchr(bytes, '\n', size);
    if (ended && (!end || end + 1 == bytes + size))
        return false;
    struct json_leniency met = {0};
    int status = json_parse_rows(&row, bytes, end ? (size_t)(end - bytes) : size, "-", 1, &met, &ignored);
    bool object = status == 0 && json_type(row) == JSON_OBJECT;
    json_destroy(&row);
    return object;
}

/* What is spooled, scored. */
static int score_chunk(struct streaming *t, bool rows, size_t lines_before, struct error *e)
{
    struct bundle_score *s = &t->s;
    struct input_options input = t->o->input;
    struct trial lease;
    input.table.chunk = rows;
    input.table.lines_before = rows ? lines_before : 0;
    int status =
        data_tokenize_file(STREAM_STANDARD_INPUT, bundle_inference(s->bundle), t->tokenizer, t->p.rows, false, &input, e);
    stream_unspool();
    if (status != 0 || dataset_open(&s->data, t->p.rows, e) != 0)
        return -1;
    s->rows = dataset_rows(s->data);
    s->labels = bundle_labels(s->bundle)->count;
    if (s->rows == 0)
        return 0;
    if (!t->dispatch && start_dispatch(&t->dispatch, &t->p, t->worker, t->o, e) != 0)
        return -1;
    make_lease(&lease, &t->p, s->bundle);
    status = dispatch_run(t->dispatch, &lease, 1, NULL, e);
    trial_free(&lease);
    return status == 0 ? take_logits(s, &t->p, e) : -1;
}

static int score_stream(struct streaming *t,
                        int (*take)(void *context, const struct bundle_score *s, bool first, struct error *e), void *context,
                        struct error *e)
{
    struct row_chunks chunks = {.file = STDIN_FILENO};
    const char *bytes;
    size_t size, before;
    bool first = true, rows = false;
    int more;
    while ((more = row_chunks_next(&chunks, &bytes, &size, &before, rest, t, e)) > 0) {
        if (first)
            rows = are_rows(bytes, size, chunks.ended);
        if (!rows) /* with all that was read */
            size = chunks.taken = chunks.read.size;
        int status = stream_spool_bytes(bytes, size, !rows, e);
        chunks.ended = chunks.ended || !rows;
        if (status == 0)
            status = score_chunk(t, rows, before, e);
        if (status == 0 && t->s.rows > 0)
            status = take(context, &t->s, first, e);
        chunk_free(&t->s);
        if (status != 0) {
            more = -1;
            break;
        }
        first = false;
    }
    if (more == 0 && first)
        more = error_set(e, ERROR_DATA, "-: is empty; one JSON object a line is expected");
    row_chunks_free(&chunks);
    return more;
}

int bundle_score_stream(const char *bundle, const struct bundle_score_options *o,
                        int (*take)(void *context, const struct bundle_score *s, bool first, struct error *e), void *context,
                        struct error *e)
{
    struct streaming t = {.o = o};
    int status = check_device(o->device, e) == 0 ? open_bundle(&t.s.bundle, bundle, e) : -1;
    if (status == 0)
        status = place_create(&t.p, bundle, e);
    if (status == 0)
        status = tokenizer_open(&t.tokenizer, t.p.model, e);
    if (status == 0)
        status = launcher_worker_path(&t.worker, e);
    if (status == 0)
        status = score_stream(&t, take, context, e);
    dispatch_destroy(&t.dispatch, status == 0 ? 0 : (int)e->kind);
    free(t.worker);
    tokenizer_close(&t.tokenizer);
    place_destroy(&t.p);
    bundle_score_free(&t.s);
    return status;
}

uint32_t bundle_score_predict(const struct bundle_score *s, uint32_t i)
{
    uint32_t class = 0;
    while (!s->decided[(size_t)i * s->labels + class])
        class ++;
    return class;
}
