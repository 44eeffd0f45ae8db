/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a model: its directory, on disk or in the local Hugging Face cache, and its weights. */
#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/file_kind.h"
#include "common/base/memory.h"
#include "common/format/model_config.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Where huggingface_hub keeps its cache: the first of these that is set. */
static const struct {
    const char *variable, *below;
} cache_places[] = {
    {"HF_HUB_CACHE", ""},
    {"HUGGINGFACE_HUB_CACHE", ""},
    {"HF_HOME", "hub"},
    {"XDG_CACHE_HOME", "huggingface/hub"},
    {"HOME", ".cache/huggingface/hub"},
};

static char *cache_directory(void)
{
    for (size_t i = 0; i < sizeof cache_places / sizeof *cache_places; i++) {
        const char *value = getenv(cache_places[i].variable);
        if (value && *value)
            return path_join(value, cache_places[i].below);
    }
    return duplicate(".cache/huggingface/hub");
}

/* "name" or "org/name" of letters, digits, '-', '_' and '.', as the hub has them; no path can be mistaken for one that
 * leads out of the cache. */
static bool is_hub_name(const char *name)
{
    int slashes = 0;
    for (const char *at = name; *at; at++) {
        bool first = at == name || at[-1] == '/';
        if (*at == '/')
            slashes++;
        if (*at == '/' ? first || !at[1] : !isalnum((unsigned char)*at) && (first || !strchr("-_.", *at)))
            return false;
        if (at[0] == '.' && at[1] == '.')
            return false;
    }
    return *name && slashes <= 1;
}

/* models--org--name */
static char *repository_directory(const char *cache, const char *name)
{
    struct buffer b = {0};
    buffer_text(&b, "models--");
    for (const char *at = name; *at; at++)
        buffer_append(&b, *at == '/' ? "--" : at, *at == '/' ? 2 : 1);
    char *directory = path_join(cache, b.data);
    buffer_free(&b);
    return directory;
}

/* The commit that refs/main names, or NULL. */
static char *main_commit(const char *repository)
{
    char *path = path_join(repository, "refs/main"), *text = NULL;
    size_t size;
    if (!file_exists(path) || file_read(&text, &size, path, NULL))
        text = NULL;
    free(path);
    if (!text)
        return NULL;
    text[strspn(text, "0123456789abcdefABCDEF")] = 0;
    if (*text)
        return text;
    free(text);
    return NULL;
}

/* Directories below snapshots/; the name of one of them in *only. */
static int count_snapshots(const char *snapshots, char **only)
{
    DIR *directory = opendir(snapshots);
    int count = 0;
    *only = NULL;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        char *path = path_join(snapshots, entry->d_name);
        if (entry->d_name[0] != '.' && directory_exists(path)) {
            free(*only);
            *only = duplicate(entry->d_name);
            count++;
        }
        free(path);
    }
    if (directory)
        closedir(directory);
    return count;
}

/* A cache filled with an explicit revision has no refs/main; with one snapshot there is still no doubt. */
static int find_snapshot(char **ret, const char *repository, const char *name, struct error *e)
{
    char *snapshots = path_join(repository, "snapshots"), *only = NULL;
    char *commit = main_commit(repository);
    char *path = commit ? path_join(snapshots, commit) : NULL;
    int result = 0;
    if (!path || !directory_exists(path)) {
        int count = commit ? 0 : count_snapshots(snapshots, &only);
        free(path);
        path = count == 1 ? path_join(snapshots, only) : NULL;
        if (count > 1)
            result = error_set(e, ERROR_USAGE,
                               "model \"%s\": %s holds %d snapshots and no refs/main; name one of them by its directory", name,
                               snapshots, count);
        else if (count < 1)
            result = error_set(e, ERROR_USAGE,
                               "model \"%s\": %s holds no complete download; fetch it with: hf download %s (or "
                               "huggingface-cli download %s)",
                               name, repository, name, name);
    }
    free(snapshots);
    free(only);
    free(commit);
    if (result)
        free(path);
    else
        *ret = path;
    return result;
}

int model_directory_find(char **ret, const char *model, struct error *e)
{
    if (directory_exists(model)) {
        *ret = duplicate(model);
        return 0;
    }
    if (file_exists(model))
        return error_set(e, ERROR_USAGE, "model \"%s\": is a file; name the directory that holds config.json and the weights",
                         model);
    if (!is_hub_name(model))
        return error_set(e, ERROR_USAGE, "model \"%s\": there is no such directory, and it is no hub name (ORG/NAME) either",
                         model);
    char *cache = cache_directory(), *repository = repository_directory(cache, model);
    int result;
    if (directory_exists(repository))
        result = find_snapshot(ret, repository, model, e);
    else
        result =
            error_set(e, ERROR_USAGE,
                      "model \"%s\": is neither a directory nor in the Hugging Face cache (%s); fetch it with: hf download %s "
                      "(or huggingface-cli download %s)",
                      model, cache, model, model);
    free(cache);
    free(repository);
    return result;
}

static bool holds_file(const char *directory, const char *name, char **path)
{
    *path = path_join(directory, name);
    if (file_exists(*path))
        return true;
    free(*path);
    *path = NULL;
    return false;
}

/* A ZIP archive is what pytorch_model.bin is; a Git LFS pointer has some 130 bytes. */
static bool is_pointer_sized(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && about.st_size < 1024;
}

int model_directory_weights(char **ret, const char *directory, struct error *e)
{
    static const char *const readable[] = {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                                           "pytorch_model.bin.index.json"};
    static const struct {
        const char *name, *words;
    } others[] = {
        {"tf_model.h5", "it holds TensorFlow's weights only, which are not supported"},
        {"flax_model.msgpack", "it holds Flax's weights only, which are not supported"},
        {"adapter_model.safetensors", "it holds an adapter: name its base as the model, and this directory as adapter"},
        {"adapter_model.bin", "it holds an adapter: name its base as the model, and this directory as adapter"},
    };
    char *path;
    for (size_t i = 0; i < sizeof readable / sizeof *readable; i++)
        if (holds_file(directory, readable[i], &path)) {
            if (is_pointer_sized(path) && file_kind_check_file(path, e)) {
                free(path);
                return -1;
            }
            *ret = path;
            return 0;
        }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (holds_file(directory, others[i].name, &path)) {
            free(path);
            return error_set(e, ERROR_USAGE, "%s: %s; model.safetensors or pytorch_model.bin is needed", directory,
                             others[i].words);
        }
    return error_set(e, ERROR_USAGE, "%s: holds no weights (model.safetensors or pytorch_model.bin); download the model again",
                     directory);
}
