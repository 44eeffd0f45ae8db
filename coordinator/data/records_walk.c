/* SPDX-License-Identifier: Apache-2.0 */
/* What a walk over all rows lets go of. */
#include "coordinator/data/records.h"

#define WALKED_AT_ONCE 65536 /* rows */
#define LOOKS_AT_ONCE 64     /* each brings some pages around what is looked at */

void records_rest(const struct records *r)
{
    scratch_rest(&r->row_memory);
    if (r->texts)
        arena_rest(r->texts);
}

void records_looked_at(const struct records *r, size_t *looks)
{
    if (++*looks % LOOKS_AT_ONCE == 0)
        records_rest(r);
}

void records_walked(const struct records *r, size_t end)
{
    if (end % WALKED_AT_ONCE == 0)
        records_rest(r);
}
