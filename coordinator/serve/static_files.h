/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are compiled into the program and served as they are: the page and /docs. GET and HEAD, without a key.
 */
#pragma once

#include <stddef.h>

struct static_file {
    const char *path; /* "/", "/docs" */
    const char *type; /* "text/html; charset=utf-8" */
    const void *bytes;
    size_t size;
    const char *security; /* Content-Security-Policy; NULL: none */
};

const struct static_file *static_file_find(const char *path); /* NULL: none of this path */
