/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of a file, one a line, compared in a time that does not depend on what was sent. */
#pragma once

#include "common/base/error.h"

struct api_keys;

/* Blank lines and those that begin with # are passed over. ERROR_DATA: no file, no key in it, or one of fewer than 16 characters.
 * Warns of a file that others may read. */
int api_keys_read(struct api_keys **ret, const char *path, struct error *e);
void api_keys_destroy(struct api_keys **k);
/* authorization: the header's value, "Bearer KEY"; NULL: none. k NULL: everybody may. */
bool api_keys_allow(const struct api_keys *k, const char *authorization);
