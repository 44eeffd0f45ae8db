/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the question to the worker. */
#include "coordinator/memory_estimate.h"

#include "cluster/launcher.h"
#include "common/base/memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void become(char *const *words, int output)
{
    int nothing = open("/dev/null", O_RDWR);
    dup2(nothing, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(nothing, STDERR_FILENO);
    execv(words[0], words);
    _exit(127);
}

/* The first line that the program prints; false if it fails. */
static bool first_line(char *line, size_t size, char *const *words)
{
    int ends[2], status;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    pid_t child = fork();
    if (child == 0)
        become(words, ends[1]);
    close(ends[1]);
    FILE *answer = fdopen(ends[0], "r");
    bool found = child > 0 && answer && fgets(line, (int)size, answer);
    if (answer)
        fclose(answer);
    else
        close(ends[0]);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0 && found;
}

static char *trial_text(const struct run *r)
{
    const struct job *j = r->job;
    struct trial t = {.kind = TRIAL_TRAIN,
                      .key = "baseline",
                      .directory = r->directory,
                      .dataset = r->rows,
                      .model = r->model,
                      .multi = j->multi,
                      .labels = dataset_labels(r->data),
                      .dropout = -1,
                      .epochs = j->train.epochs,
                      .batch = j->train.batch,
                      .micro_batch = j->train.micro_batch,
                      .max_length = j->train.max_length};
    snprintf(t.precision, sizeof t.precision, "%s", j->train.precision);
    struct json *object = trial_to_json(&t);
    char *text = json_print(object, false);
    json_destroy(&object);
    return text;
}

void memory_print(const struct run *r)
{
    char *worker = NULL, line[64];
    struct error ignored;
    if (r->workers.device == DEVICE_FAKE || launcher_worker_path(&worker, &ignored) != 0)
        return;
    size_t weights, activations;
    char *text = trial_text(r), *ranks = format_string("%d", r->workers.ranks_per_group);
    char *const words[] = {worker, "memory", text, ranks, NULL};
    if (first_line(line, sizeof line, words) && sscanf(line, "%zu %zu", &weights, &activations) == 2)
        printf("  memory a rank: at most %.0f MB; weights, moments and gradients %.0f MB, activations %.0f MB (train.micro_batch "
               "%u)\n",
               1e-6 * (double)(weights + activations), 1e-6 * (double)weights, 1e-6 * (double)activations,
               r->job->train.micro_batch);
    free(ranks);
    free(text);
    free(worker);
}
