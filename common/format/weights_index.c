/* SPDX-License-Identifier: Apache-2.0 */
#include "common/format/weights_index.h"

#include "common/base/file_kind.h"
#include "common/base/memory.h"
#include "common/json/json.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SHARD_LIMIT 4096

struct shards {
    struct json *index;
    char *names[SHARD_LIMIT]; /* sorted, each once; borrowed from the index */
    size_t count;
};

bool weights_index_recognise(const char *path)
{
    static const char end[] = ".index.json";
    size_t size = strlen(path);
    return size >= sizeof end && !strcmp(path + size - (sizeof end - 1), end);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Where the name stands among those that are there, or -1. */
static int64_t find_shard(const struct shards *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++)
        if (!strcmp(s->names[i], name))
            return (int64_t)i;
    return -1;
}

static int add_shard(struct shards *s, const struct json *file, const char *tensor, const char *path, struct error *e)
{
    const char *name = json_string(file);
    if (!name || !*name || strchr(name, '/'))
        return error_set(e, ERROR_DATA, "%s: the file of tensor %.200s is not a name in this directory", path, tensor);
    if (find_shard(s, name) >= 0)
        return 0;
    if (s->count == SHARD_LIMIT)
        return error_set(e, ERROR_DATA, "%s: names more than %d files", path, SHARD_LIMIT);
    s->names[s->count++] = (char *)(uintptr_t)name;
    return 0;
}

static int read_index(struct shards *s, const char *path, struct error *e)
{
    if (json_read(&s->index, path, e))
        return -1;
    const struct json *map = json_get(s->index, "weight_map");
    int result = json_type(map) == JSON_OBJECT && json_size(map)
                     ? 0
                     : error_set(e, ERROR_DATA, "%s: holds no weight_map; get the model's weights again", path);
    for (size_t i = 0; i < json_size(map) && !result; i++)
        result = add_shard(s, json_at(map, i), json_key(map, i), path, e);
    qsort(s->names, s->count, sizeof *s->names, compare);
    return result;
}

static char *shard_path(const char *index, const char *name)
{
    const char *slash = strrchr(index, '/');
    return slash ? format_string("%.*s/%s", (int)(slash - index), index, name) : duplicate(name);
}

/* A Git LFS pointer has some 130 bytes. */
static int check_shard(const char *path, const char *index, struct error *e)
{
    struct stat about;
    if (!file_exists(path))
        return error_set(e, ERROR_DATA, "%s: does not exist, but %s names it; download the model again", path, index);
    return stat(path, &about) == 0 && about.st_size < 1024 ? file_kind_check_file(path, e) : 0;
}

static int merge_shard(struct tensor_file *to, const char *index, const char *name,
                       int (*open_file)(struct tensor_file **ret, const char *path, struct error *e), struct error *e)
{
    struct tensor_file *part = NULL;
    char *path = shard_path(index, name);
    int result = check_shard(path, index, e) || open_file(&part, path, e) ? -1 : 0;
    if (!result)
        tensor_file_merge(to, &part);
    free(path);
    return result;
}

static int check_tensors(const struct tensor_file *f, const struct shards *s, const char *path, struct error *e)
{
    const struct json *map = json_get(s->index, "weight_map");
    for (size_t i = 0; i < json_size(map); i++)
        if (!tensor_file_find(f, json_key(map, i)))
            return error_set(e, ERROR_DATA, "%s: tensor %s is not in %s, where this index has it; download the model again", path,
                             json_key(map, i), json_string(json_at(map, i)));
    return 0;
}

int weights_index_open(struct tensor_file **ret, const char *path,
                       int (*open_file)(struct tensor_file **ret, const char *path, struct error *e), struct error *e)
{
    struct shards *s = allocate(1, sizeof *s);
    struct tensor_file *f = tensor_file_create();
    int result = read_index(s, path, e);
    for (size_t i = 0; i < s->count && !result; i++)
        result = merge_shard(f, path, s->names[i], open_file, e);
    if (!result)
        result = tensor_file_sort(f, path, e) || check_tensors(f, s, path, e) ? -1 : 0;
    json_destroy(&s->index);
    free(s);
    if (result)
        tensor_file_close(&f);
    else
        *ret = f;
    return result;
}

int weights_sha256(const char *path, char text[SHA256_HEX], struct error *e)
{
    if (!weights_index_recognise(path))
        return sha256_file(path, text, e);
    struct shards *s = allocate(1, sizeof *s);
    struct sha256 *digest;
    int result = read_index(s, path, e);
    sha256_create(&digest);
    for (size_t i = 0; i < s->count && !result; i++) {
        char *shard = shard_path(path, s->names[i]), of_shard[SHA256_HEX];
        result = check_shard(shard, path, e) || sha256_file(shard, of_shard, e) ? -1 : 0;
        if (!result)
            sha256_update(digest, of_shard, SHA256_HEX - 1);
        free(shard);
    }
    sha256_finish(&digest, text);
    json_destroy(&s->index);
    free(s);
    return result;
}
