/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the checkpoint's directory. */
#include "worker/train/checkpoint.h"

#include "common/base/fault.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/sha256.h"
#include "common/base/thread.h"
#include "common/json/json.h"
#include "worker/device/host_memory.h"

#include <errno.h>
#include <math.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VERSION = 1 };

static const char *const tensor_files[] = {"model.safetensors", "optimizer.safetensors"};

/* The last one, one that a crash left half renamed, and the one before the last; the first complete one is used. */
static const char *const places[] = {"checkpoint", "checkpoint.new", "checkpoint.old"};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* One table for writing and reading. */
struct number {
    const char *name;
    double (*get)(const struct progress *s);
    void (*set)(struct progress *s, double value);
};

#define NUMBER(field, cast)                                                                                                      \
    static double get_##field(const struct progress *s)                                                                          \
    {                                                                                                                            \
        return (double)s->field;                                                                                                 \
    }                                                                                                                            \
    static void set_##field(struct progress *s, double value)                                                                    \
    {                                                                                                                            \
        s->field = cast value;                                                                                                   \
    }
NUMBER(epoch, (uint32_t)(uint64_t))
NUMBER(step, (uint64_t))
NUMBER(finished, (bool))
NUMBER(epochs_done, (uint32_t)(uint64_t))
NUMBER(best_epoch, (uint32_t)(uint64_t))
NUMBER(steps, (uint64_t))
NUMBER(tokens, (uint64_t))
NUMBER(loss_sum, )
NUMBER(weight_sum, )
NUMBER(seconds, )

#define ROW(field)                                                                                                               \
    {                                                                                                                            \
#field, get_##field, set_##field                                                                                         \
    }
static const struct number numbers[] = {ROW(epoch), ROW(step),   ROW(finished), ROW(epochs_done), ROW(best_epoch),
                                        ROW(steps), ROW(tokens), ROW(loss_sum), ROW(weight_sum),  ROW(seconds)};

static int write_state(const char *directory, const struct progress *s, const char *trial, struct error *e)
{
    struct json *j = json_object();
    json_set_number(j, "version", VERSION);
    json_set_string(j, "trial", trial);
    for (size_t i = 0; i < COUNT(numbers); i++)
        json_set_number(j, numbers[i].name, numbers[i].get(s));
    int result = 0;
    for (size_t i = 0; i < COUNT(tensor_files) && !result; i++) {
        char digest[SHA256_HEX], *path = path_join(directory, tensor_files[i]);
        result = file_sync_named(path, e) || sha256_file(path, digest, e) ? -1 : 0;
        if (!result)
            json_set_string(j, tensor_files[i], digest);
        free(path);
    }
    char *path = path_join(directory, "state.json");
    if (!result)
        result = json_write(path, j, e);
    free(path);
    json_destroy(&j);
    return result;
}

static int move(const char *from, const char *to, struct error *e)
{
    return rename(from, to) ? error_errno(e, errno, "%s: cannot be renamed to %s", from, to) : 0;
}

/* checkpoint.new -> checkpoint, by way of checkpoint.old. */
static int swap(const char *directory, const char *fresh, const char *current, const char *old, struct error *e)
{
    if (directory_remove(old, e) || (directory_exists(current) && move(current, old, e)) || move(fresh, current, e) ||
        directory_sync(directory, e))
        return -1;
    return 0;
}

static int damaged(struct error *e, const char *directory, const char *what)
{
    return error_set(e, ERROR_DATA, "%s: the checkpoint is damaged (%s)", directory, what);
}

/* Checks the set in `directory` whole, and reads its state. A state of another trial is ERROR_USAGE, all else ERROR_DATA. */
static int read_state(const char *directory, const char *trial, struct progress *ret, struct error *e)
{
    char *path = path_join(directory, "state.json");
    struct json *j = NULL;
    struct progress s = {0};
    int result = json_read(&j, path, e);
    free(path);
    if (result)
        return -1;
    const char *of = json_string(json_get(j, "trial"));
    if (!of || json_number(json_get(j, "version")) != VERSION) {
        result = damaged(e, directory, "state.json is not of this version");
    } else if (strcmp(of, trial)) {
        result = error_set(e, ERROR_USAGE,
                           "%s: is a checkpoint of a trial with other options or data; remove that directory to start over, or "
                           "choose another run directory",
                           directory);
    }
    for (size_t i = 0; i < COUNT(numbers) && !result; i++) {
        const struct json *value = json_get(j, numbers[i].name);
        if (!value || json_type(value) != JSON_NUMBER || !(json_number(value) >= 0 && json_number(value) < 1e15))
            result = damaged(e, directory, numbers[i].name);
        else
            numbers[i].set(&s, json_number(value));
    }
    for (size_t i = 0; i < COUNT(tensor_files) && !result; i++) {
        const char *expected = json_string(json_get(j, tensor_files[i]));
        char digest[SHA256_HEX];
        path = path_join(directory, tensor_files[i]);
        result = sha256_file(path, digest, e);
        if (!result && (!expected || strcmp(digest, expected)))
            result = damaged(e, directory, tensor_files[i]);
        free(path);
    }
    json_destroy(&j);
    if (!result)
        *ret = s;
    return result;
}

/* A crash between the renames left the last one whole, but not in its place: it goes there, lest the next save begin by removing
 * it. */
static int finish_swap(const char *directory, const char *fresh, const char *current, const char *trial, struct error *e)
{
    struct progress s;
    struct error ignored;
    if (directory_exists(current) || !directory_exists(fresh) || read_state(fresh, trial, &s, &ignored))
        return 0;
    return move(fresh, current, e) ? -1 : directory_sync(directory, e);
}

/* A save that is under way. */
struct checkpoint_rest {
    char *directory, *path[COUNT(places)];
    struct progress progress;
    char trial[SHA256_HEX];
    struct parameters *parameters; /* to be copied yet; NULL: they are */
    sem_t copied;                  /* posted by the thread */
    pthread_t thread;
    int result;
    struct error why;
};

static struct checkpoint_rest *rest_create(const char *directory, const struct progress *s, const char *trial)
{
    struct checkpoint_rest *rest = allocate(1, sizeof *rest);
    rest->directory = duplicate(directory);
    for (size_t i = 0; i < COUNT(places); i++)
        rest->path[i] = path_join(directory, places[i]);
    rest->progress = *s;
    snprintf(rest->trial, sizeof rest->trial, "%s", trial);
    sem_init(&rest->copied, 0, 0);
    return rest;
}

static void rest_destroy(struct checkpoint_rest *rest)
{
    for (size_t i = 0; i < COUNT(places); i++)
        free(rest->path[i]);
    sem_destroy(&rest->copied);
    free(rest->directory);
    free(rest);
}

/* To checkpoint.new, in memory that the system has yet to write out. */
static int copy_tensors(const struct checkpoint_rest *rest, struct parameters *p, struct error *e)
{
    char *const *path = rest->path;
    char *tensors[COUNT(tensor_files)];
    for (size_t i = 0; i < COUNT(tensor_files); i++)
        tensors[i] = path_join(path[1], tensor_files[i]);
    int result = finish_swap(rest->directory, path[1], path[0], rest->trial, e) || directory_remove(path[1], e) ||
                         directory_create(path[1], e) || parameters_save_trained(p, tensors[0], e) ||
                         parameters_save_moments(p, tensors[1], e)
                     ? -1
                     : 0;
    for (size_t i = 0; i < COUNT(tensor_files); i++)
        free(tensors[i]);
    return result;
}

static int complete(const struct checkpoint_rest *rest, struct error *e)
{
    char *const *path = rest->path;
    if (write_state(path[1], &rest->progress, rest->trial, e) || swap(rest->directory, path[1], path[0], path[2], e) ||
        (rest->progress.finished && directory_remove(path[2], e)))
        return -1;
    char *model = path_join(path[0], tensor_files[0]);
    fault_damage(model);
    free(model);
    return 0;
}

static void *run_rest(void *context)
{
    struct checkpoint_rest *rest = context;
    if (rest->parameters)
        rest->result = copy_tensors(rest, rest->parameters, &rest->why);
    sem_post(&rest->copied);
    if (!rest->result)
        rest->result = complete(rest, &rest->why);
    return NULL;
}

/* A full disk needs the room. */
static int end(struct checkpoint_rest *rest, int result)
{
    struct error ignored;
    if (result)
        directory_remove(rest->path[1], &ignored);
    rest_destroy(rest);
    return result;
}

int checkpoint_save(const char *directory, struct parameters *p, const struct progress *s, const char *trial,
                    struct checkpoint_rest **ret, struct error *e)
{
    struct checkpoint_rest *rest = rest_create(directory, s, trial);
    bool beside = ret && !fault_planned; /* planned faults happen in the operation under way */
    int result = 0;
    if (beside && parameters_device(p)->run->host_begin == host_begin)
        rest->parameters = p;
    else
        result = copy_tensors(rest, p, e);
    if (ret)
        *ret = NULL;
    if (!result && beside && thread_start(&rest->thread, run_rest, rest) == 0) {
        *ret = rest;
        return 0;
    }
    if (!result && rest->parameters)
        result = copy_tensors(rest, p, e);
    return end(rest, result ? result : complete(rest, e));
}

void checkpoint_await_copy(struct checkpoint_rest *rest)
{
    if (!rest)
        return;
    while (sem_wait(&rest->copied) != 0)
        ;
    sem_post(&rest->copied); /* for who asks again */
}

int checkpoint_wait(struct checkpoint_rest **pending, struct error *e)
{
    struct checkpoint_rest *rest = *pending;
    *pending = NULL;
    if (!rest)
        return 0;
    pthread_join(rest->thread, NULL);
    if (rest->result)
        *e = rest->why;
    return end(rest, rest->result);
}

static int load_tensors(const char *directory, struct parameters *p, struct error *e)
{
    char *model = path_join(directory, tensor_files[0]), *moments = path_join(directory, tensor_files[1]);
    int result = parameters_load_trained(p, model, e) || parameters_load_moments(p, moments, e) ? -1 : 0;
    free(model);
    free(moments);
    return result;
}

bool checkpoint_exists(const char *directory)
{
    bool found = false;
    for (size_t i = 0; i < COUNT(places) && !found; i++) {
        char *path = path_join(directory, places[i]);
        found = directory_exists(path);
        free(path);
    }
    return found;
}

int checkpoint_load(const char *directory, struct parameters *p, struct progress *ret, bool *found, const char *trial,
                    struct error *e)
{
    *found = false;
    int result = 0;
    for (size_t i = 0; i < COUNT(places) && !*found && !result; i++) {
        char *path = path_join(directory, places[i]);
        struct progress s;
        struct error why = {0};
        int bad = directory_exists(path) ? read_state(path, trial, &s, &why) : 0;
        if (bad && why.kind == ERROR_DATA)
            log_warn("%s; falling back to the previous checkpoint, if there is one", why.message);
        if (bad && why.kind != ERROR_DATA)
            result = error_set(e, why.kind, "%s", why.message);
        if (!bad && directory_exists(path)) {
            result = load_tensors(path, p, e); /* whole, by its hash: what does not fit now never will */
            *found = !result;
            if (*found)
                *ret = s;
        }
        free(path);
    }
    return result;
}

int checkpoint_remove(const char *directory, struct error *e)
{
    int result = 0;
    for (size_t i = 0; i < COUNT(places) && !result; i++) {
        char *path = path_join(directory, places[i]);
        result = directory_remove(path, e);
        free(path);
    }
    return result;
}
