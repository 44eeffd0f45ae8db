/* SPDX-License-Identifier: Apache-2.0 */
/* Zip archives: a directory into one, and reading one that is in memory; the sole owner of libzip. */
#pragma once

#include "common/base/error.h"

#include <stddef.h>

/* Writes every file of `directory`, at any depth, as "<top_name>/<file>", atomically. Same content, same bytes: names sorted,
 * all times 1980-01-01, mode 0644. Files of weights are stored, others deflated. An empty directory is refused. */
int zip_directory(const char *path, const char *directory, const char *top_name, struct error *e);

struct archive;
bool archive_recognise(const void *bytes, size_t size);
int archive_open(struct archive **ret, const void *bytes, size_t size, const char *place, struct error *e); /* bytes outlive it */
void archive_close(struct archive **a);
size_t archive_count(const struct archive *a);
const char *archive_name(const struct archive *a, size_t i); /* borrowed; NULL for an entry that cannot be read */
/* Place and size of the entry `name`; false if absent. */
bool archive_find(const struct archive *a, const char *name, size_t *index, size_t *size);
/* Unpacks an entry of `size` bytes (no more, no less) and checks its CRC. */
int archive_read(const struct archive *a, size_t index, void *to, size_t size, struct error *e);
