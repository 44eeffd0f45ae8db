/* Owns the name of what this process is doing. */
#include "common/base/operation.h"

#include "common/base/fault.h"
#include "common/base/near.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

static _Atomic(const char *) now = "";

/* clang-format off */
static const char *const names[] = {
    "wait", "load", "forward", "backward", "all_reduce", "optimizer", "evaluate", "verdict", "checkpoint", /* a worker's */
    "check", "split", "train", "sweep", "tune", "publish", "judge", "gather",                              /* the coordinator's */
};
/* clang-format on */

void operation_begin(const char *name)
{
    atomic_store_explicit(&now, name, memory_order_relaxed);
    if (fault_planned)
        fault_strike(name);
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
