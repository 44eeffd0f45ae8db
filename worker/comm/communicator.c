/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the choice of a communicator by name. */
#include "worker/comm/communicator.h"

#include "worker/comm/backends.h"

#include <string.h>

static const struct {
    const char *name;
    int (*create)(struct communicator **ret, int size, double timeout, struct error *e);
} backends[] = {{"self", self_create}, {"mpi", mpi_create}, {"nccl", nccl_create}};

int communicator_create(struct communicator **ret, const char *name, int size, double timeout, struct error *e)
{
    if (!(timeout > 0))
        return error_set(e, ERROR_USAGE, "communicator: timeout of %g s; it must be above 0", timeout);
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (!strcmp(name, backends[i].name))
            return backends[i].create(ret, size, timeout, e);
    return error_set(e, ERROR_USAGE, "communicator \"%s\" is not known; use self, mpi or nccl", name);
}
