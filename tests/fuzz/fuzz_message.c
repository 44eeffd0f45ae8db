/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a message of either side: refused or taken, and what was taken says the same when it is sent on. */
#include "proto/message.h"

#include <stdlib.h>
#include <string.h>

static char *encode(const struct message *m)
{
    struct error e;
    char *text;
    if (message_encode(&text, m, &e))
        abort();
    return text;
}

static void try_side(const char *bytes, size_t size, enum message_side from)
{
    struct message m, again;
    struct error e = {0};
    if (message_decode(&m, bytes, size, from, &e)) {
        if (e.kind != ERROR_FAILED || !e.message[0])
            abort();
        return;
    }
    char *first = encode(&m);
    if (message_decode(&again, first, strlen(first), from, &e))
        abort();
    char *second = encode(&again);
    if (strcmp(first, second))
        abort();
    free(first);
    free(second);
    message_free(&m);
    message_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_side((const char *)data, size, SIDE_WORKER);
    try_side((const char *)data, size, SIDE_COORDINATOR);
    return 0;
}
