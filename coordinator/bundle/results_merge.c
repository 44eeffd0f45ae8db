/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the way of all trials' logits into results.h5. */
#include "coordinator/bundle/results_merge.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/operation.h"
#include "common/base/sha256.h"

#include <stdlib.h>
#include <string.h>

/* What results_trial borrows. */
struct trial_texts {
    char *options, *score_key, **metrics;
    uint32_t epochs;
};

static char *print_and_destroy(struct json *j)
{
    char *text = json_print(j, false);
    json_destroy(&j);
    return text;
}

static char *metrics(const struct binary_metrics *m, const struct averaged_metrics *all)
{
    struct json *o = metrics_to_json(m);
    averages_to_json(o, all);
    return print_and_destroy(o);
}

static void prepare(struct results_trial *to, struct trial_texts *texts, const struct trial_run *t)
{
    texts->options = json_print(t->options, false);
    texts->epochs = t->epochs_done;
    texts->metrics = allocate(t->epochs_done, sizeof(char *));
    for (uint32_t i = 0; i < t->epochs_done; i++)
        texts->metrics[i] = metrics(&t->epochs[i].positive, &t->epochs[i].all);
    *to = (struct results_trial){.key = t->key,
                                 .logits_path = t->logits,
                                 .options = texts->options,
                                 .epoch_metrics = (const char *const *)texts->metrics,
                                 .epochs = (int)t->epochs_done};
}

/* The winner's weights on validation and test stand under a key of their own. */
static void prepare_score(struct results_trial *to, struct trial_texts *texts, const struct run *r)
{
    const struct trial_run *t = &r->trials[r->order[0]];
    texts->options = json_print(t->options, false);
    texts->score_key = format_string("score-%s", t->key);
    texts->epochs = 1;
    texts->metrics = allocate(1, sizeof(char *));
    texts->metrics[0] = metrics(&r->final.validation.metrics, &r->final.validation.all);
    *to = (struct results_trial){.key = texts->score_key,
                                 .logits_path = r->final.logits,
                                 .options = texts->options,
                                 .epoch_metrics = (const char *const *)texts->metrics,
                                 .epochs = r->final.epoch};
}

static void texts_free(struct trial_texts *t)
{
    free(t->options);
    free(t->score_key);
    for (uint32_t i = 0; i < t->epochs; i++)
        free(t->metrics[i]);
    free(t->metrics);
}

/* Names the trials that go in. */
static void hash_of(char hash[SHA256_HEX], const struct run *r)
{
    struct sha256 *s;
    sha256_create(&s);
    for (size_t i = 0; i < r->trial_count; i++)
        if (r->trials[i].state == TRIAL_DONE)
            sha256_update(s, r->trials[i].identity, strlen(r->trials[i].identity));
    sha256_finish(&s, hash);
}

/* A file that holds the score too is not replaced by one without. */
static bool is_gathered(const struct run *r, const char *hash, const char *path)
{
    const struct json *done = event_log_last(r->log, "stage_done", "stage", "gather");
    const char *made_from = json_string(json_get(done, "made_from")), *scored = json_string(json_get(done, "scored"));
    return file_exists(path) && made_from && strcmp(made_from, hash) == 0 &&
           (!r->final.logits || (scored && strcmp(scored, r->trials[r->order[0]].key) == 0));
}

static int write_results(const struct run *r, const char *path, struct error *e)
{
    struct results_trial *trials = allocate(r->trial_count + 1, sizeof *trials);
    struct trial_texts *texts = allocate(r->trial_count + 1, sizeof *texts);
    size_t count = 0;
    for (size_t i = 0; i < r->trial_count; i++)
        if (r->trials[i].state == TRIAL_DONE) {
            prepare(&trials[count], &texts[count], &r->trials[i]);
            count++;
        }
    if (r->final.logits) {
        prepare_score(&trials[count], &texts[count], r);
        count++;
    }
    int status = results_write(path, r->data, &r->split, r->label_names, trials, count, e);
    for (size_t i = 0; i < count; i++)
        texts_free(&texts[i]);
    free(texts);
    free(trials);
    return status;
}

int gather(const struct run *r, struct error *e)
{
    char hash[SHA256_HEX], *path = path_join(r->directory, "results.h5");
    int status = 0;
    hash_of(hash, r);
    if (!is_gathered(r, hash, path)) {
        const char *before = operation_now();
        operation_begin("gather");
        struct json *event = json_object();
        json_set_string(event, "stage", "gather");
        json_set_string(event, "made_from", hash);
        json_set_string(event, "scored", r->final.logits ? r->trials[r->order[0]].key : NULL);
        status = write_results(r, path, e);
        if (status == 0)
            status = event_log_append(r->log, "stage_done", event, e);
        else
            json_destroy(&event);
        operation_begin(before);
    }
    free(path);
    return status;
}
