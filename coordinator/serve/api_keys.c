/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/serve/api_keys.h"

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/sha256.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define KEY_LEAST 16

/* Hashes: all of one length, and the keys themselves do not stay in memory. */
struct api_keys {
    char (*hashes)[SHA256_HEX];
    size_t count, capacity;
};

static int add_key(struct api_keys *k, const char *key, size_t size, const char *path, struct error *e)
{
    if (size < KEY_LEAST)
        return error_set(e, ERROR_DATA, "%s: a key has fewer than %d characters; make one with `openssl rand -hex 32`", path,
                         KEY_LEAST);
    k->hashes = grow(k->hashes, &k->capacity, k->count + 1, sizeof *k->hashes);
    sha256_bytes(key, size, k->hashes[k->count++]);
    return 0;
}

static int read_lines(struct api_keys *k, char *text, const char *path, struct error *e)
{
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        line += strspn(line, " \t\r");
        size_t size = strlen(line);
        while (size && strchr(" \t\r", line[size - 1]))
            size--;
        if (size && *line != '#' && add_key(k, line, size, path, e) != 0)
            return -1;
    }
    return k->count ? 0 : error_set(e, ERROR_DATA, "%s: has no key; make one with `openssl rand -hex 32`", path);
}

int api_keys_read(struct api_keys **ret, const char *path, struct error *e)
{
    char *text;
    size_t size;
    struct stat s;
    if (file_read(&text, &size, path, e) != 0)
        return -1;
    if (stat(path, &s) == 0 && (s.st_mode & (S_IRGRP | S_IROTH)))
        log_warn("%s: others than its owner may read the keys; chmod 600 it", path);
    struct api_keys *k = allocate(1, sizeof *k);
    int status = strlen(text) == size ? read_lines(k, text, path, e)
                                      : error_set(e, ERROR_DATA, "%s: has NUL characters; it is no file of keys", path);
    explicit_bzero(text, size);
    free(text);
    if (status == 0)
        *ret = k;
    else
        api_keys_destroy(&k);
    return status;
}

void api_keys_destroy(struct api_keys **keys)
{
    struct api_keys *k = keys ? *keys : NULL;
    if (!k)
        return;
    free(k->hashes);
    free(k);
    *keys = NULL;
}

static unsigned differs(const char *a, const char *b)
{
    unsigned bits = 0;
    for (size_t i = 0; i < SHA256_HEX; i++)
        bits |= (unsigned char)a[i] ^ (unsigned char)b[i];
    return bits;
}

bool api_keys_allow(const struct api_keys *k, const char *authorization)
{
    char hash[SHA256_HEX];
    unsigned allowed = 0;
    if (!k)
        return true;
    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
        return false;
    const char *key = authorization + 7 + strspn(authorization + 7, " ");
    sha256_bytes(key, strlen(key), hash);
    for (size_t i = 0; i < k->count; i++)
        allowed |= differs(hash, k->hashes[i]) == 0;
    return allowed != 0;
}
