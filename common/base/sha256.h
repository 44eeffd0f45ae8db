/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4) through libcrypto. Digests travel as 64 lower-case hexadecimal digits. */
#pragma once

#include "common/base/error.h"

#include <stddef.h>

#define SHA256_HEX 65 /* with NUL */

struct sha256;
void sha256_create(struct sha256 **ret);
void sha256_update(struct sha256 *s, const void *bytes, size_t size);
void sha256_finish(struct sha256 **s, char text[SHA256_HEX]); /* consumes *s */

void sha256_bytes(const void *bytes, size_t size, char text[SHA256_HEX]);
int sha256_file(const char *path, char text[SHA256_HEX], struct error *e);
int sha256_file_polling(const char *path, char text[SHA256_HEX], struct error *e); /* polls stop_check */
