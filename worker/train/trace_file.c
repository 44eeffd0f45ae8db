/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the gathering of the ranks' spans into one file. */
#include "worker/train/trace_file.h"

#include "common/base/file.h"
#include "common/base/machine.h"
#include "common/base/memory.h"
#include "common/base/trace.h"
#include "worker/train/agree.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int trace_file_begin(struct communicator *c, struct error *e)
{
    if (c->run->barrier(c, e))
        return -1;
    trace_start();
    return 0;
}

static int write_all(const char *path, char *const *texts, const size_t *sizes, int ranks, struct error *e)
{
    struct file_writer *w;
    if (file_writer_create(&w, path, e))
        return -1;
    FILE *f = file_writer_stream(w);
    fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n", f);
    for (int r = 0; r < ranks; r++) {
        fputs(r ? ",\n" : "", f);
        fwrite(texts[r], 1, sizes[r], f);
    }
    fputs("\n]}\n", f);
    return file_writer_commit(&w, e); /* also reports earlier failed writes */
}

static int collect(const char *path, struct communicator *c, const char *own, size_t size, const double *sizes_of,
                   struct error *e)
{
    if (c->rank)
        return c->run->gather(c, own, size, NULL, NULL, e);
    char **texts = allocate((size_t)c->size, sizeof *texts);
    size_t *sizes = allocate((size_t)c->size, sizeof *sizes);
    for (int r = 0; r < c->size; r++) {
        sizes[r] = (size_t)sizes_of[r];
        texts[r] = allocate(sizes[r], 1);
    }
    int result = c->run->gather(c, own, size, (void *const *)texts, sizes, e);
    if (!result)
        result = write_all(path, texts, sizes, c->size, e);
    for (int r = 0; r < c->size; r++)
        free(texts[r]);
    free(texts);
    free(sizes);
    return result;
}

int trace_file_write(const char *path, struct communicator *c, struct error *e)
{
    char host[MACHINE_NAME];
    machine_name(host, sizeof host);
    char *own = trace_print(c->rank, host);
    trace_stop();
    double *sizes = allocate((size_t)c->size, sizeof *sizes);
    sizes[c->rank] = (double)strlen(own);
    int result = c->run->all_reduce_doubles(c, sizes, (size_t)c->size, e);
    if (!result)
        result = agree(c, collect(path, c, own, strlen(own), sizes, e), e);
    free(sizes);
    free(own);
    return result;
}
