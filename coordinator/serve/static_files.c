/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/serve/static_files.h"

#include <string.h>

static const struct static_file files[] = {
    {NULL},
};

const struct static_file *static_file_find(const char *path)
{
    for (const struct static_file *f = files; f->path; f++)
        if (strcmp(f->path, path) == 0)
            return f;
    return NULL;
}
