/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/job/job_paths.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/job/job_fields.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char **member(struct job *j, const struct job_field *f)
{
    return (char **)((char *)j + f->offset);
}

static bool exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0;
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* "a/b" and "../c": "a/c", unless b is a link or goes up itself. Caller frees. */
static char *join_above(const char *directory, const char *path)
{
    char *base = duplicate(directory);
    while (strcmp(path, ".") == 0 || strncmp(path, "./", 2) == 0)
        path += path[1] ? 2 : 1;
    while (strcmp(path, "..") == 0 || strncmp(path, "../", 3) == 0) {
        struct stat about;
        char *slash = strrchr(base, '/'), *last = slash ? slash + 1 : base;
        if (!*last || strcmp(last, "..") == 0 || strcmp(last, ".") == 0 || lstat(base, &about) != 0 || !S_ISDIR(about.st_mode))
            break;
        *(slash && slash != base ? slash : last) = 0;
        path += path[2] ? 3 : 2;
        if (!*base)
            break;
    }
    char *joined = !*base ? duplicate(*path ? path : ".") : *path ? path_join(base, path) : duplicate(base);
    free(base);
    return joined;
}

static bool is_dotted(const char *path)
{
    return strcmp(path, ".") == 0 || strcmp(path, "..") == 0 || strncmp(path, "./", 2) == 0 || strncmp(path, "../", 3) == 0;
}

/* A run directory is new where there is none; a model that is no directory is a name. */
static bool is_there(const struct job_field *f, const char *path)
{
    char *events = strcmp(f->key, "out") == 0 ? path_join(path, "events.jsonl") : NULL;
    bool there = events ? exists(events) : strcmp(f->key, "model") == 0 ? directory_exists(path) : exists(path);
    free(events);
    return there;
}

static void add_note(struct job *j, const struct job_field *f, const char *path)
{
    char *note = format_string("%s%s%s %s", j->paths_note ? j->paths_note : "", j->paths_note ? ", " : "", f->key, path);
    free(j->paths_note);
    j->paths_note = note;
}

/* Where nothing is at its place by the job file, but in the current directory, it stays; so does a model's Hub name. */
static void resolve_path(struct job *j, const struct job_field *f, char **path, const char *directory)
{
    char *joined = join_above(directory, *path);
    bool here = !same_file(directory, ".") && !is_there(f, joined) && is_there(f, *path);
    bool name = strcmp(f->key, "model") == 0 && !is_dotted(*path) && !is_there(f, joined);
    if (here)
        add_note(j, f, *path);
    if (!here && !name) {
        free(*path);
        *path = joined;
    } else {
        free(joined);
    }
}

static void resolve_models(struct job *j, const char *directory, const struct json *overridden)
{
    const struct job_field *f = job_field_find("model");
    for (size_t i = 0; i < j->search.models.count; i++) {
        char **path = &j->search.models.names[i];
        bool given = **path == '/';
        j->absolute_models |= (uint64_t)given << i;
        if (directory && !given && !json_get(overridden, "sweep.model"))
            resolve_path(j, f, path, directory);
    }
}

void job_paths_resolve(struct job *j, const char *job_file, const struct json *overridden)
{
    char *directory = strchr(job_file, '/') ? path_directory(job_file) : NULL; /* NULL: the current one, where nothing changes */
    uint32_t bit = 1;
    for (size_t i = 0; i < job_field_count; i++) {
        const struct job_field *f = &job_fields[i];
        char **path = f->flags & JOB_PATH ? member(j, f) : NULL;
        bool given = path && *path && **path == '/';
        j->absolute_paths |= given ? bit : 0;
        bit <<= path != NULL;
        if (directory && path && *path && !given && !json_get(overridden, f->key))
            resolve_path(j, f, path, directory);
    }
    resolve_models(j, directory, overridden);
    free(directory);
}

void job_paths_note_absolute(struct job *j, const char *key, bool absolute)
{
    uint32_t bit = 1;
    for (size_t i = 0; i < job_field_count; i++) {
        if (strcmp(job_fields[i].key, key) == 0)
            j->absolute_paths = absolute ? j->absolute_paths | bit : j->absolute_paths & ~bit;
        bit <<= (job_fields[i].flags & JOB_PATH) != 0;
    }
}

static size_t common_directories(const char *a, const char *b)
{
    size_t common = 0, i = 0;
    for (; a[i] && a[i] == b[i]; i++)
        if (a[i] == '/')
            common = i;
    if ((!a[i] && (!b[i] || b[i] == '/')) || (!b[i] && a[i] == '/'))
        common = i;
    return common;
}

/* Absolute; links on the way are followed, the file itself is not. */
static char *place_of(const char *path)
{
    struct error ignored;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char *directory = path_directory(path), *parent = path_resolve(directory, &ignored), *place;
    if (!parent)
        place = path_absolute(path);
    else if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        place = path_resolve(path, &ignored);
    else
        place = path_join(parent, name);
    free(parent);
    free(directory);
    return place ? place : path_absolute(path);
}

char *path_from(const char *directory, const char *path)
{
    struct error ignored;
    char *from = path_resolve(directory, &ignored), *to = place_of(path);
    if (!from)
        return to;
    size_t common = common_directories(from, to);
    char *name = duplicate("");
    for (const char *c = from + common; *c; c++)
        if (*c == '/' && c[1]) {
            char *up = format_string("../%s", name);
            free(name);
            name = up;
        }
    const char *rest = to[common] == '/' ? to + common + 1 : to + common;
    size_t size = strlen(name);
    char *relative = *rest  ? format_string("%s%s", name, rest)
                     : size ? format_string("%.*s", (int)size - 1, name)
                            : duplicate(".");
    free(name);
    free(from);
    free(to);
    return relative;
}

static void store_models(struct json *stored, const struct job *j)
{
    struct json *sweep = json_copy(json_get(stored, "sweep")), *models = json_set(sweep, "model", json_array());
    for (size_t i = 0; i < j->search.models.count; i++) {
        const char *path = j->search.models.names[i];
        bool kept = j->absolute_models >> i & 1 || !directory_exists(path);
        char *name = kept ? duplicate(path) : path_from(j->out, path);
        json_append(models, json_of_string(name));
        free(name);
    }
    json_set(stored, "sweep", sweep);
}

struct json *job_paths_stored(const struct job *j)
{
    struct json *stored = json_copy(j->resolved);
    uint32_t bit = 1;
    for (size_t i = 0; i < job_field_count; i++) {
        const struct job_field *f = &job_fields[i];
        const char *path = f->flags & JOB_PATH ? *(char *const *)((const char *)j + f->offset) : NULL;
        bool given = j->absolute_paths & bit;
        bit <<= (f->flags & JOB_PATH) != 0;
        if (!path || given || (strcmp(f->key, "model") == 0 && !directory_exists(path)))
            continue;
        char *name = path_from(j->out, path), *section = format_string("%s", f->key), *dot = strchr(section, '.');
        if (dot)
            *dot = 0;
        struct json *within = dot ? json_copy(json_get(stored, section)) : stored;
        json_set_string(within, dot ? dot + 1 : f->key, name);
        if (dot)
            json_set(stored, section, within);
        free(section);
        free(name);
    }
    store_models(stored, j);
    return stored;
}

bool job_paths_same(const struct job *j, const char *stored, const char *here)
{
    char *by_run = path_join(j->out, stored);
    char *plain = path_from(j->out, here);
    bool same = strcmp(stored, here) == 0 || strcmp(stored, plain) == 0 || same_file(by_run, here) || same_file(stored, here);
    free(plain);
    free(by_run);
    return same;
}

int job_paths_check(const struct job *j, struct error *e)
{
    if (j->split.file && !exists(j->split.file))
        return error_set(e, ERROR_USAGE, "split.file: %s does not exist; give the split.json of a run, or null", j->split.file);
    if (j->cluster.hostfile && !exists(j->cluster.hostfile))
        return error_set(e, ERROR_USAGE, "cluster.hostfile: %s does not exist; give a file with a line \"name slots=N\" per host",
                         j->cluster.hostfile);
    return 0;
}
