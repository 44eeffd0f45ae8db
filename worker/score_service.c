/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/score_service.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/json/json.h"
#include "proto/scoring.h"
#include "worker/train/row_scorer.h"

#include <stdlib.h>
#include <string.h>

struct service {
    int socket;
    struct device *device;
    struct row_scorer *scorer;
    size_t models;
};

static int send_failed(int socket, const struct error *why, struct error *e)
{
    return scoring_send(socket, SCORING_FAILED, (uint32_t)why->kind, why->message, strlen(why->message), e);
}

static int score(struct service *s, const struct scoring_frame *f, uint32_t *model, float **logits, struct error *e)
{
    struct scoring_row *sent = NULL;
    if (scoring_rows_decode(&sent, model, f, e))
        return -1;
    if (*model >= s->models) {
        free(sent);
        return error_set(e, ERROR_FAILED, "a message is for model %u of %zu", *model, s->models);
    }
    struct token_row *rows = allocate(f->count, sizeof *rows);
    for (uint32_t i = 0; i < f->count; i++)
        rows[i] = (struct token_row){sent[i].ids, sent[i].length, sent[i].first};
    *logits = allocate((size_t)f->count * row_scorer_labels(s->scorer, *model), sizeof **logits);
    int result = row_scorer_run(s->scorer, *model, rows, f->count, *logits, e);
    free(rows);
    free(sent);
    return result;
}

static int answer(struct service *s, const struct scoring_frame *f, struct error *e)
{
    struct error why = {0};
    float *logits = NULL;
    uint32_t model = 0;
    int result;
    if (f->kind != SCORING_ROWS)
        return error_set(e, ERROR_FAILED, "a message of kind %d was not expected", f->kind);
    if (score(s, f, &model, &logits, &why))
        result = send_failed(s->socket, &why, e);
    else
        result = scoring_send(s->socket, SCORING_LOGITS, f->count, logits,
                              (size_t)f->count * row_scorer_labels(s->scorer, model) * sizeof *logits, e);
    free(logits);
    return result;
}

static int answer_all(struct service *s, struct error *e)
{
    struct scoring_frame f;
    int more;
    while ((more = scoring_receive(&f, s->socket, e)) > 0) {
        int result = answer(s, &f, e);
        scoring_frame_free(&f);
        if (result)
            return -1;
    }
    return more;
}

/* As publish wrote it: options.precision of inference_config.json. What was trained in tf32 is scored in f32, on any device. */
static int read_precision(enum precision *ret, const char *bundle, struct error *e)
{
    struct json *config;
    char *path = path_join(bundle, "inference_config.json");
    int result = json_read(&config, path, e);
    free(path);
    if (result)
        return -1;
    const char *name = json_string(json_get(json_get(config, "options"), "precision"));
    int found = name ? precision_find(name) : PRECISION_F32;
    *ret = found == PRECISION_BF16 ? PRECISION_BF16 : PRECISION_F32;
    json_destroy(&config);
    return 0;
}

static int start(struct service *s, const struct score_service_options *o, struct error *e)
{
    enum precision precision;
    if (read_precision(&precision, o->bundles[0], e) || device_create(&s->device, o->device, precision, o->threads, e))
        return -1;
    return row_scorer_create(&s->scorer, s->device, o->bundles, s->models, e);
}

static int send_ready(const struct service *s, struct error *e)
{
    char device[256] = "";
    int result = 0;
    device_describe(s->device, device, sizeof device);
    for (size_t i = 0; i < s->models && !result; i++)
        result = scoring_send(s->socket, SCORING_READY, row_scorer_labels(s->scorer, i), device, strlen(device), e);
    return result;
}

int score_service_run(const struct score_service_options *o, struct error *e)
{
    struct service s = {.socket = o->socket, .models = o->count};
    struct error ignored;
    int result = start(&s, o, e);
    if (result)
        send_failed(o->socket, e, &ignored);
    else
        result = send_ready(&s, e) || answer_all(&s, e) ? -1 : 0;
    row_scorer_destroy(&s.scorer);
    if (s.device)
        s.device->run->destroy(s.device);
    return result;
}
