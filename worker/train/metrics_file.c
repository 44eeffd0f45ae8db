/* SPDX-License-Identifier: Apache-2.0 */
/* Owns metrics.jsonl, and what of it goes to TensorBoard. */
#include "worker/train/metrics_file.h"

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/json/json.h"
#include "worker/train/event_file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct metrics_file {
    char *path;
    int fd;
    struct event_file *events;
};

#define SCALARS_MOST 64 /* of an epoch */

/* A line is kept if it is whole and of the past: steps that are done, and epochs that are decided. */
static bool is_current(const char *line, size_t size, uint64_t steps, uint32_t epochs)
{
    struct json *j;
    if (json_parse(&j, line, size, "metrics", NULL))
        return false;
    const struct json *step = json_get(j, "step"), *epoch = json_get(j, "epoch");
    bool of_epoch = json_get(j, "train_loss") != NULL;
    bool result = step && epoch && json_number(step) <= (double)steps && (!of_epoch || json_number(epoch) <= epochs);
    json_destroy(&j);
    return result;
}

static int drop_later(const char *path, uint64_t steps, uint32_t epochs, struct error *e)
{
    char *text;
    size_t size;
    if (!file_exists(path))
        return 0;
    if (file_read(&text, &size, path, e))
        return -1;
    struct buffer kept = {0};
    for (char *line = text, *end; (end = memchr(line, '\n', size - (size_t)(line - text))); line = end + 1)
        if (is_current(line, (size_t)(end - line), steps, epochs))
            buffer_append(&kept, line, (size_t)(end - line) + 1);
    int result = kept.size == size ? 0 : file_write(path, kept.size ? kept.data : "", kept.size, e);
    buffer_free(&kept);
    free(text);
    return result;
}

/* Of a trial, what a person compares it by. */
static struct json *options_of(const struct trial *t)
{
    static const char *const keys[] = {
        "lr",        "epochs",          "batch",       "micro_batch", "max_length", "weight_decay", "clip",
        "warmup",    "schedule",        "layer_decay", "freeze",      "lora_rank",  "lora_alpha",   "lora_dropout",
        "lora_bias", "label_smoothing", "focal_gamma", "dropout",     "precision",  "seed"};
    struct json *all = trial_to_json(t), *options = json_object();
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_get(all, keys[i]))
            json_set(options, keys[i], json_copy(json_get(all, keys[i])));
    json_destroy(&all);
    return options;
}

static int open_events(struct metrics_file *f, const struct trial *t, uint64_t steps, uint32_t epochs, struct error *e)
{
    struct json *options = options_of(t);
    int result = event_file_open(&f->events, t->directory, options, steps, epochs, e);
    json_destroy(&options);
    return result;
}

int metrics_file_open(struct metrics_file **ret, const struct trial *t, uint64_t steps, uint32_t epochs, struct error *e)
{
    struct metrics_file *f = allocate(1, sizeof *f);
    f->path = path_join(t->directory, "metrics.jsonl");
    f->fd = -1;
    if (drop_later(f->path, steps, epochs, e))
        goto fail;
    f->fd = open(f->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (f->fd < 0) {
        error_errno(e, errno, "%s: cannot be written", f->path);
        goto fail;
    }
    if (open_events(f, t, steps, epochs, e))
        goto fail;
    *ret = f;
    return 0;
fail:
    metrics_file_close(&f);
    return -1;
}

void metrics_file_close(struct metrics_file **file)
{
    struct metrics_file *f = file ? *file : NULL;
    if (!f)
        return;
    if (f->fd >= 0)
        close(f->fd);
    event_file_close(&f->events);
    free(f->path);
    free(f);
    *file = NULL;
}

static int append(struct metrics_file *f, const char *line, size_t size, struct error *e)
{
    ssize_t written = write(f->fd, line, size);
    if (written == (ssize_t)size)
        return 0;
    return error_errno(e, written < 0 ? errno : ENOSPC, "%s: cannot be written", f->path);
}

int metrics_file_step(struct metrics_file *f, const struct metrics_step *s, struct error *e)
{
    char line[512], share[16] = "null";
    if (s->peak_share > 0)
        snprintf(share, sizeof share, "%.3f", s->peak_share);
    int size = snprintf(line, sizeof line,
                        "{\"step\":%llu,\"epoch\":%u,\"loss\":%.9g,\"lr\":%.9g,\"grad_norm\":%.9g,\"tokens_per_second\":%.1f,"
                        "\"examples_per_second\":%.2f,\"gflops\":%.1f,\"peak_share\":%s}\n",
                        (unsigned long long)s->step, s->epoch, s->loss, s->lr, s->grad_norm, s->tokens_per_second,
                        s->examples_per_second, s->gflops, share);
    const struct event_scalar scalars[] = {{"train/loss", s->loss},
                                           {"train/lr", s->lr},
                                           {"train/grad_norm", s->grad_norm},
                                           {"train/tokens_per_second", s->tokens_per_second}};
    if (append(f, line, (size_t)size, e))
        return -1;
    return event_file_append(f->events, s->step, scalars, sizeof scalars / sizeof *scalars, e);
}

/* "validation/f1" and whatever else of numbers the decision brings; the loss, which comes first, is the worker's own. */
static int write_epoch_events(struct metrics_file *f, const struct metrics_epoch *s, const struct json *metrics, struct error *e)
{
    struct event_scalar scalars[SCALARS_MOST] = {{"train/epoch_loss", s->train_loss}};
    char tags[SCALARS_MOST][64];
    size_t count = 1;
    if (!isnan(s->validation_loss)) {
        scalars[0] = (struct event_scalar){"validation/loss", s->validation_loss};
        scalars[count++] = (struct event_scalar){"train/epoch_loss", s->train_loss};
    }
    for (size_t i = 0; i < json_size(metrics) && count < SCALARS_MOST; i++) {
        const char *key = json_key(metrics, i);
        bool known = !strcmp(key, "epoch") || !strcmp(key, "train_loss") || !strcmp(key, "validation_loss");
        if (known || json_type(json_at(metrics, i)) != JSON_NUMBER)
            continue;
        snprintf(tags[count], sizeof tags[count], "validation/%s", key);
        scalars[count] = (struct event_scalar){tags[count], json_number(json_at(metrics, i))};
        count++;
    }
    return event_file_append(f->events, s->step, scalars, count, e);
}

int metrics_file_epoch(struct metrics_file *f, const struct metrics_epoch *s, struct error *e)
{
    struct json *j = json_object(), *metrics = NULL;
    if (s->metrics && json_parse(&metrics, s->metrics, strlen(s->metrics), "metrics of the decision", e)) {
        json_destroy(&j);
        return -1;
    }
    json_set_number(j, "step", (double)s->step);
    json_set_number(j, "epoch", s->epoch);
    json_set_number(j, "train_loss", s->train_loss);
    if (!isnan(s->validation_loss))
        json_set_number(j, "validation_loss", s->validation_loss);
    json_set_boolean(j, "best", s->best);
    if (metrics)
        json_set(j, "validation", metrics);
    char *text = json_print(j, false);
    char *line = format_string("%s\n", text);
    int result = append(f, line, strlen(line), e) || write_epoch_events(f, s, metrics, e) ? -1 : 0;
    free(line);
    free(text);
    json_destroy(&j);
    return result;
}
