/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a rows file: refused, or every row can be read. The input's bytes are laid over a sound file, so that damage
 * behind the first checks is reached. */
#include "common/format/dataset.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char sound[4096];
static size_t sound_size;
static volatile uint64_t sink; /* so that the reads are not optimised away */

static void make_sound(const char *path)
{
    struct error e;
    struct dataset_writer *w;
    if (dataset_writer_create(&w, path, 3, true, &e))
        abort();
    for (int i = 0; i < 20; i++) {
        char id[16];
        const float targets[] = {1, 0, 1};
        const int32_t ids[] = {101, i, 102};
        snprintf(id, sizeof id, "id-%d", i);
        if (dataset_writer_append(w, id, i % 2 ? "a" : "b", -1, targets, (struct token_row){ids, 1 + (uint32_t)i % 3, 1}, &e))
            abort();
    }
    FILE *f = NULL;
    if (dataset_writer_commit(&w, &e) || !(f = fopen(path, "r")))
        abort();
    sound_size = fread(sound, 1, sizeof sound, f);
    fclose(f);
    remove(path);
}

static void read_all(const struct dataset *d)
{
    for (uint32_t row = 0; row < dataset_rows(d); row++) {
        struct token_row t = dataset_tokens(d, row);
        const float *targets = dataset_targets(d, row);
        if (t.first > t.length || dataset_class(d, row) >= (int32_t)dataset_labels(d))
            abort();
        for (uint32_t k = 0; k < t.length; k++)
            sink += (uint32_t)t.ids[k];
        for (uint32_t k = 0; targets && k < dataset_labels(d); k++)
            sink += targets[k] > 0;
        sink += strlen(dataset_id(d, row)) + strlen(dataset_group(d, row));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    if (!sound_size) {
        snprintf(path, sizeof path, "/tmp/fuzz_dataset.%d", (int)getpid());
        make_sound(path);
    }
    int fd = memfd_create("fuzz", 0);
    char bytes[sizeof sound];
    memcpy(bytes, sound, sound_size);
    for (size_t i = 0; i + 3 <= size; i += 3) /* place (2 bytes) and value; the rest of the file stays sound */
        bytes[(data[i] | (size_t)data[i + 1] << 8) % sound_size] = (char)data[i + 2];
    if (write(fd, bytes, sound_size) != (ssize_t)sound_size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct error e = {0};
    struct dataset *d;
    if (!dataset_open(&d, path, &e)) {
        read_all(d);
        dataset_close(&d);
    } else if (e.kind != ERROR_DATA) {
        abort();
    }
    close(fd);
    return 0;
}
