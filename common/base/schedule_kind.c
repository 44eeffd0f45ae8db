/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/schedule_kind.h"

#include <stddef.h>
#include <string.h>

const char *const schedule_names[] = {"linear", "cosine", "constant", NULL};

enum schedule_kind schedule_kind_find(const char *name)
{
    for (int i = 0; schedule_names[i]; i++)
        if (!strcmp(schedule_names[i], name))
            return (enum schedule_kind)i;
    return SCHEDULE_LINEAR;
}
