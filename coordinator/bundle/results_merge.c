/* SPDX-License-Identifier: Apache-2.0 */
/* All trials' logits in results.h5. */
#include "coordinator/bundle/results_merge.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/operation.h"
#include "common/base/sha256.h"
#include "coordinator/events/event_log.h"

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
static void prepare_score(struct results_trial *to, struct trial_texts *texts, const struct trial_run *t,
                          const struct test_score *score)
{
    texts->options = json_print(t->options, false);
    texts->score_key = format_string("score-%s", t->key);
    texts->epochs = 1;
    texts->metrics = allocate(1, sizeof(char *));
    texts->metrics[0] = metrics(&score->validation.metrics, &score->validation.all);
    *to = (struct results_trial){.key = texts->score_key,
                                 .logits_path = score->logits,
                                 .options = texts->options,
                                 .epoch_metrics = (const char *const *)texts->metrics,
                                 .epochs = score->epoch};
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
static void hash_of(char hash[SHA256_HEX], const struct trials *trials)
{
    struct sha256 *s;
    sha256_create(&s);
    for (size_t i = 0; i < trials->count; i++)
        if (trials->list[i].state == TRIAL_DONE)
            sha256_update(s, trials->list[i].identity, strlen(trials->list[i].identity));
    sha256_finish(&s, hash);
}

/* A file that holds the score too is not replaced by one without. scored: the winner's key, or NULL. */
static bool is_merged(const struct run_place *place, const char *hash, const char *path, const char *scored)
{
    const struct json *done = event_log_last(place->log, "stage_done", "stage", "gather");
    const char *made_from = json_string(json_get(done, "made_from")), *before = json_string(json_get(done, "scored"));
    return file_exists(path) && made_from && strcmp(made_from, hash) == 0 && (!scored || (before && strcmp(before, scored) == 0));
}

static int write_results(const char *path, const struct run_data *d, const struct trials *trials, const struct trial_run *winner,
                         const struct test_score *score, struct error *e)
{
    struct results_trial *to = allocate(trials->count + 1, sizeof *to);
    struct trial_texts *texts = allocate(trials->count + 1, sizeof *texts);
    size_t count = 0;
    for (size_t i = 0; i < trials->count; i++)
        if (trials->list[i].state == TRIAL_DONE) {
            prepare(&to[count], &texts[count], &trials->list[i]);
            count++;
        }
    if (score) {
        prepare_score(&to[count], &texts[count], winner, score);
        count++;
    }
    int status = results_write(path, d->data, &d->split, d->label_names, to, count, e);
    for (size_t i = 0; i < count; i++)
        texts_free(&texts[i]);
    free(texts);
    free(to);
    return status;
}

static int log_merged(const struct run_place *place, const char *hash, const char *scored, struct error *e)
{
    struct json *event = json_object();
    json_set_string(event, "stage", "gather");
    json_set_string(event, "made_from", hash);
    json_set_string(event, "scored", scored);
    return event_log_append(place->log, "stage_done", event, e);
}

int results_merge(const struct run_place *place, const struct run_data *data, const struct trials *trials,
                  const struct trial_run *winner, const struct test_score *score, struct error *e)
{
    char hash[SHA256_HEX], *path = path_join(place->directory, "results.h5");
    const char *scored = score ? winner->key : NULL;
    int status = 0;
    hash_of(hash, trials);
    if (!is_merged(place, hash, path, scored)) {
        const char *before = operation_now();
        operation_begin("gather");
        status = write_results(path, data, trials, winner, score, e);
        if (status == 0)
            status = log_merged(place, hash, scored, e);
        operation_begin(before);
    }
    free(path);
    return status;
}
