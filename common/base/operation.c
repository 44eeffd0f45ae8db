/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/operation.h"

#include "common/base/near.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

static _Atomic(const char *) now = "";
static void (*hook)(const char *name);

/* clang-format off */
static const char *const names[] = {
    "wait", "load", "forward", "backward", "all_reduce", "optimizer", "evaluate", "epoch_decision", "checkpoint", /* a worker's */
    "check", "split", "train", "sweep", "tune", "publish", "epoch_end", "gather",                              /* the coordinator's */
};
/* clang-format on */

void operation_begin(const char *name)
{
    atomic_store_explicit(&now, name, memory_order_relaxed);
    if (hook)
        hook(name);
}

void operation_set_hook(void (*function)(const char *name))
{
    hook = function;
}

const char *operation_now(void)
{
    return atomic_load_explicit(&now, memory_order_relaxed);
}

const char *operation_near(const char *name, bool *known)
{
    *known = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        *known |= strcmp(names[i], name) == 0;
    return near_word(name, names, sizeof names / sizeof *names);
}
