/* Owns hashing; the sole user of libsodium. */
#include "common/base/sha256.h"

#include "common/base/file.h"
#include "common/base/memory.h"

#include <sodium.h>
#include <stdlib.h>

struct sha256 {
    crypto_hash_sha256_state state;
};

void sha256_create(struct sha256 **ret)
{
    *ret = allocate(1, sizeof **ret);
    crypto_hash_sha256_init(&(*ret)->state);
}

void sha256_update(struct sha256 *s, const void *bytes, size_t size)
{
    if (size)
        crypto_hash_sha256_update(&s->state, bytes, size);
}

void sha256_finish(struct sha256 **s, char text[SHA256_TEXT])
{
    unsigned char digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_final(&(*s)->state, digest);
    sodium_bin2hex(text, SHA256_TEXT, digest, sizeof digest);
    free(*s);
    *s = NULL;
}

void sha256_bytes(const void *bytes, size_t size, char text[SHA256_TEXT])
{
    struct sha256 *s;
    sha256_create(&s);
    sha256_update(s, bytes, size);
    sha256_finish(&s, text);
}

int sha256_file(const char *path, char text[SHA256_TEXT], struct error *e)
{
    struct file_map map;
    if (file_map(&map, path, e))
        return -1;
    sha256_bytes(map.data, map.size, text);
    file_unmap(&map);
    return 0;
}
