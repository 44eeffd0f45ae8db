/* SPDX-License-Identifier: Apache-2.0 */
/* From a bundle and a file to logits: tokenise, one score lease on one local rank. */
#include "coordinator/bundle/bundle_score.h"

#include "cluster/launcher.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/format/results.h"
#include "common/format/stream.h"
#include "common/score/labels.h"
#include "coordinator/data/tokenize.h"
#include "coordinator/dispatch/dispatch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Everything that has to be whole for a lease, in a directory that goes away. */
struct place {
    char *directory, *rows, *unseen, *logits, *model;
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
    *ret = (struct place){directory, path_join(directory, "rows"), path_join(directory, "unseen"),
                          path_join(directory, "logits.h5"), model ? model : duplicate(bundle)};
    return 0;
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
    for (uint32_t i = 0; status == 0 && i < dataset_rows(*d); i++)
        if (training_rows_find(k, *d, i) >= PART_TEST)
            status = copy_row(w, *d, i, e);
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
    for (uint32_t i = 0; k && i < rows; i++)
        s->known[training_rows_find(k, s->data, i)]++;
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

static int score(const struct place *p, const struct bundle *b, const struct bundle_score_options *o, struct error *e)
{
    char *worker = NULL;
    struct dispatch *d = NULL;
    if (launcher_worker_path(&worker, e) != 0)
        return -1;
    struct dispatch_options options = {.directory = p->directory,
                                       .worker = worker,
                                       .launcher = LAUNCHER_LOCAL,
                                       .device = (enum device_kind)device_kind_find(o->device),
                                       .groups = 1,
                                       .ranks_per_group = 1,
                                       .threads = o->threads,
                                       .heartbeat_timeout = 30};
    struct trial lease;
    make_lease(&lease, p, b);
    int status = dispatch_create(&d, &options, NULL, e);
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
    if (device_kind_find(name) >= 0)
        return 0;
    return error_set(e, ERROR_USAGE, "--device: expected auto, cpu, cpu_reference, guarded or fake, found \"%s\"", name);
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

uint32_t bundle_score_predict(const struct bundle_score *s, uint32_t i)
{
    uint32_t class = 0;
    while (!s->decided[(size_t)i * s->labels + class])
        class ++;
    return class;
}
