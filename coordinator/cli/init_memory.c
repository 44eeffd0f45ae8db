/* SPDX-License-Identifier: Apache-2.0 */
/* The worker is asked about a data set of the longest rows, made for that in a temporary directory. */
#include "coordinator/cli/init_memory.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/format/dataset.h"
#include "coordinator/memory_estimate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The number that a line of a file begins with, behind `name`. 0: there is none. */
static size_t number_in(const char *path, const char *name)
{
    char line[256];
    size_t found = 0;
    FILE *file = fopen(path, "re");
    while (file && !found && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0)
            found = strtoull(line + strlen(name), NULL, 10);
    if (file)
        fclose(file);
    return found;
}

static size_t available_memory(void)
{
    size_t free_bytes = 1024 * number_in("/proc/meminfo", "MemAvailable:");
    size_t most = number_in("/sys/fs/cgroup/memory.max", ""), used = number_in("/sys/fs/cgroup/memory.current", "");
    return most > used && most - used < free_bytes ? most - used : free_bytes;
}

static int write_rows(const char *path, const struct init_training *t, struct error *e)
{
    struct dataset_writer *w;
    if (dataset_writer_create(&w, path, t->labels, t->multi, e))
        return -1;
    int32_t *ids = allocate(t->max_length, sizeof *ids);
    float *targets = allocate(t->labels, sizeof *targets);
    int status = 0;
    for (uint32_t i = 0; i < t->batch && status == 0; i++) {
        char id[16];
        snprintf(id, sizeof id, "%u", i);
        for (uint32_t k = 0; k < t->max_length; k++)
            ids[k] = (int32_t)((i * t->max_length + k) % t->vocabulary);
        status = dataset_writer_append(w, id, id, 0, t->multi ? targets : NULL,
                                       (struct token_row){.ids = ids, .length = t->max_length, .first = t->max_length}, e);
    }
    free(targets);
    free(ids);
    if (status == 0)
        return dataset_writer_commit(&w, e);
    dataset_writer_destroy(&w);
    return -1;
}

static bool fit(struct init_memory *m, const struct init_training *t, const char *directory, const char *rows)
{
    struct trial asked = {.kind = TRIAL_TRAIN,
                          .key = duplicate("init"),
                          .directory = duplicate(directory),
                          .dataset = duplicate(rows),
                          .model = realpath(t->model, NULL),
                          .multi = t->multi,
                          .labels = t->labels,
                          .dropout = -1,
                          .epochs = 1,
                          .batch = t->batch,
                          .max_length = t->max_length};
    struct memory_estimate need;
    bool known = asked.model != NULL;
    snprintf(asked.precision, sizeof asked.precision, "%s", t->precision);
    for (asked.micro_batch = t->batch; known; asked.micro_batch /= 2) {
        known = memory_estimate_ask(&need, &asked, 1);
        m->micro_batch = asked.micro_batch;
        m->needed = known ? need.weights + need.activations : 0;
        if (m->needed <= m->allowed || asked.micro_batch == 1)
            break;
    }
    trial_free(&asked);
    return known;
}

bool init_fit_memory(struct init_memory *ret, const struct init_training *t)
{
    struct init_memory m = {.available = available_memory()};
    m.allowed = m.available / 2;
    const char *base = getenv("TMPDIR");
    char *directory = format_string("%s/muster.XXXXXX", base && *base ? base : "/tmp");
    struct error ignored = {0};
    if (!m.available || !mkdtemp(directory)) {
        free(directory);
        return false;
    }
    char *rows = path_join(directory, "rows");
    bool known = write_rows(rows, t, &ignored) == 0 && fit(&m, t, directory, rows);
    directory_remove(directory, &ignored);
    free(rows);
    free(directory);
    if (known)
        *ret = m;
    return known;
}
