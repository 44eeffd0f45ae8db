/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a safetensors file: read or refused with words, every tensor readable to its last byte. */
#include "common/format/safetensors.h"

#include "common/base/memory.h"

#include <stdlib.h>

static volatile unsigned char sink; /* so that the reads are not optimised away */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void read_all(const struct tensor_file *f)
{
    for (size_t i = 0; i < tensor_file_count(f); i++) {
        const struct tensor *t = tensor_file_at(f, i);
        for (size_t k = 0; k < t->size; k++)
            sink = ((const unsigned char *)t->data)[k];
        tensor_first_not_finite(t);
        if (tensor_file_find(f, t->name) != t)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct tensor_file *f;
    struct error e = {0};
    if (!safetensors_recognise(bytes, size))
        return 0;
    if (!tensor_file_parse(&f, bytes, size, "fuzz", &e)) {
        read_all(f);
        tensor_file_close(&f);
    } else if (e.kind != ERROR_DATA || !e.message[0]) {
        abort();
    }
    return 0;
}
