/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a file of torch.save: the form of before 1.6 (its magic is put in front), and, where the bytes begin as a zip
 * archive, the other form. Read or refused with words, every tensor readable to its last byte. */
#include "common/format/torch_pickle.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

static volatile unsigned char sink; /* so that the reads are not optimised away */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const uint8_t head[] = {0x80, 2,    0x8a, 10,  0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a,
                               0xa8, 0x50, 0x19, '.', 0x80, 2,    'M',  0xe9, 3,    '.'};

static void try_bytes(const void *bytes, size_t size)
{
    struct tensor_file *f;
    struct error e = {0};
    if (tensor_file_parse(&f, bytes, size, "fuzz", &e)) {
        if (e.kind != ERROR_DATA || !e.message[0])
            abort();
        return;
    }
    for (size_t i = 0; i < tensor_file_count(f); i++) {
        const struct tensor *t = tensor_file_at(f, i);
        for (size_t k = 0; k < t->size; k++)
            sink = ((const unsigned char *)t->data)[k];
        tensor_first_not_finite(t);
    }
    tensor_file_close(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (torch_zip_recognise(bytes, size) || torch_legacy_recognise(bytes, size)) {
        try_bytes(bytes, size);
        return 0;
    }
    uint8_t *framed = allocate(sizeof head + size, 1);
    memcpy(framed, head, sizeof head);
    memcpy(framed + sizeof head, bytes, size);
    try_bytes(framed, sizeof head + size);
    free(framed);
    return 0;
}
