/* SPDX-License-Identifier: Apache-2.0 */
/* Hashing; the sole user of libcrypto, which hashes with the processor's own instructions. */
#include "common/base/sha256.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/stop.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { DIGEST = (SHA256_HEX - 1) / 2 };

struct sha256 {
    EVP_MD_CTX *state;
};

/* Hashing memory fails for want of memory alone, or where an administrator has forbidden SHA-256. */
static void require(int right)
{
    if (right)
        return;
    fputs("muster: libcrypto provides no SHA-256: out of memory, or disabled in its configuration (openssl.cnf)\n", stderr);
    exit(1);
}

/* Looked up once: with EVP_sha256() each hash would look it up, at the cost of hashing a short text. */
static EVP_MD *algorithm;

static void find_algorithm(void)
{
    algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
}

void sha256_create(struct sha256 **ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct sha256 *s = allocate(1, sizeof *s);
    pthread_once(&once, find_algorithm);
    s->state = EVP_MD_CTX_new();
    require(algorithm && s->state && EVP_DigestInit_ex(s->state, algorithm, NULL));
    *ret = s;
}

void sha256_update(struct sha256 *s, const void *bytes, size_t size)
{
    if (size)
        require(EVP_DigestUpdate(s->state, bytes, size));
}

void sha256_finish(struct sha256 **s, char text[SHA256_HEX])
{
    unsigned char digest[DIGEST];
    require(EVP_DigestFinal_ex((*s)->state, digest, NULL));
    for (int i = 0; i < 2 * DIGEST; i++)
        text[i] = "0123456789abcdef"[i % 2 ? digest[i / 2] & 15 : digest[i / 2] >> 4];
    text[2 * DIGEST] = 0;
    EVP_MD_CTX_free((*s)->state);
    free(*s);
    *s = NULL;
}

void sha256_bytes(const void *bytes, size_t size, char text[SHA256_HEX])
{
    struct sha256 *s;
    sha256_create(&s);
    sha256_update(s, bytes, size);
    sha256_finish(&s, text);
}

#define PIECE ((size_t)16 << 20) /* of a file that is resident at a time */

static int hash_file(const char *path, char text[SHA256_HEX], bool polling, struct error *e)
{
    struct file_map map;
    struct sha256 *h;
    int result = 0;
    if (file_map(&map, path, e))
        return -1;
    sha256_create(&h);
    for (size_t at = 0; at < map.size && !result; at += PIECE) {
        sha256_update(h, (const char *)map.data + at, map.size - at < PIECE ? map.size - at : PIECE);
        file_map_rest(&map);
        result = polling ? stop_check(e) : 0;
    }
    sha256_finish(&h, text);
    file_unmap(&map);
    return result;
}

int sha256_file(const char *path, char text[SHA256_HEX], struct error *e)
{
    return hash_file(path, text, false, e);
}

int sha256_file_polling(const char *path, char text[SHA256_HEX], struct error *e)
{
    return hash_file(path, text, true, e);
}
