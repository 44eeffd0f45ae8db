/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/nn/packed.h"

#include "common/format/model_family.h"

void packed_places(int32_t *to, const int32_t *ids, uint32_t length, const struct model_config *c)
{
    int32_t pad = (int32_t)c->pad, next = pad;
    bool after_pad = model_family_of(c)->positions == POSITIONS_AFTER_PAD;
    for (uint32_t i = 0; i < length; i++)
        to[i] = !after_pad ? (int32_t)i : ids[i] == pad ? pad : ++next;
}
