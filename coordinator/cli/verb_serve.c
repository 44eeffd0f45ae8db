/* SPDX-License-Identifier: Apache-2.0 */
/* muster serve: bundles behind HTTP. */
#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/cli/verbs.h"
#include "coordinator/serve/server.h"

#include <stdlib.h>
#include <string.h>

const struct option serve_options[] = {
    {"host", 0, "ADDRESS", "127.0.0.1", "address to listen at; another than loopback needs --api-key-file or --open"},
    {"port", 'p', "N", "8000", "port to listen at; 0: any that is free, which the log tells"},
    {"api-key-file", 0, "FILE", NULL, "keys, one a line; a request must carry one: \"Authorization: Bearer KEY\""},
    {"open", 0, NULL, NULL, "serve whoever reaches the address, without a key"},
    {"cors", 0, "ORIGIN", NULL, "web origin whose pages may use the server, or *; default: none"},
    {"device", 0, "NAME", "auto", "compute device: auto, cpu, cuda, cpu_reference"},
    {"threads", 0, "N", "0", "threads that compute; 0: all cores"},
    {"max-batch-tokens", 0, "N", "16384", "tokens that are scored together"},
    {"max-wait-ms", 0, "X", "0", "milliseconds that a batch waits to become full"},
    {"max-queue-tokens", 0, "N", "1048576", "tokens that may wait; what comes beyond them is answered by 429"},
    {"max-body", 0, "N", "8388608", "bytes of a request"},
    {"max-items", 0, "N", "1024", "items of a request"},
    {"max-text", 0, "N", "1048576", "bytes of a text"},
    {"max-connections", 0, "N", "1024", "open connections"},
    {"timeout", 0, "X", "30", "seconds in which a request has to arrive, and that a connection may be idle"},
    {NULL},
};

/* "NAME=BUNDLE", or a path, which may hold a '='. */
static struct server_bundle bundle_of(const char *word, char **name)
{
    const char *equals = strchr(word, '=');
    if (!equals || equals == word || directory_exists(word))
        return (struct server_bundle){NULL, word};
    *name = duplicate(word);
    (*name)[equals - word] = 0;
    return (struct server_bundle){*name, equals + 1};
}

static int read_sizes(struct server_options *o, const struct arguments *a, struct error *e)
{
    int tokens, queue, body, items, text;
    double wait;
    if (argument_whole(&o->port, a, "port", 0, 65535, e) || argument_whole(&o->threads, a, "threads", 0, 4096, e) ||
        argument_whole(&tokens, a, "max-batch-tokens", 1, 1 << 22, e) || argument_number(&wait, a, "max-wait-ms", 0, 10000, e) ||
        argument_whole(&queue, a, "max-queue-tokens", 1, 1 << 30, e) || argument_whole(&body, a, "max-body", 1, 1 << 30, e) ||
        argument_whole(&items, a, "max-items", 1, 1 << 24, e) || argument_whole(&text, a, "max-text", 1, 1 << 30, e) ||
        argument_whole(&o->connections_most, a, "max-connections", 1, 1 << 20, e) ||
        argument_number(&o->receive_most, a, "timeout", 0.1, 86400, e))
        return -1;
    o->batch_tokens = (size_t)tokens;
    o->queue_tokens = (size_t)queue;
    o->body_most = (size_t)body;
    o->items_most = (size_t)items;
    o->text_most = (size_t)text;
    o->wait = wait / 1e3;
    return 0;
}

int verb_serve(const struct arguments *a, struct error *e)
{
    struct server_options o = {.bundle_count = a->count,
                               .host = argument(a, "host"),
                               .device = argument(a, "device"),
                               .api_key_file = argument(a, "api-key-file"),
                               .open = argument_given(a, "open"),
                               .cors = argument(a, "cors")};
    if (read_sizes(&o, a, e) != 0)
        return -1;
    struct server_bundle *bundles = allocate(a->count, sizeof *bundles);
    char **names = allocate(a->count, sizeof *names);
    for (size_t i = 0; i < a->count; i++)
        bundles[i] = bundle_of(a->positional[i], &names[i]);
    o.bundles = bundles;
    int status = server_run(&o, e);
    for (size_t i = 0; i < a->count; i++)
        free(names[i]);
    free(names);
    free(bundles);
    return status;
}
