/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/launcher_kind.h"

#include <stddef.h>
#include <string.h>

const char *const launcher_names[] = {"local", "mpirun", "srun", "none", NULL};

enum launcher_kind launcher_kind_find(const char *name)
{
    for (int i = 0; launcher_names[i]; i++)
        if (!strcmp(launcher_names[i], name))
            return (enum launcher_kind)(LAUNCHER_LOCAL + i);
    return LAUNCHER_UNSET;
}
