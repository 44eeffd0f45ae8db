/* SPDX-License-Identifier: Apache-2.0 */
/* A logits file with any bytes turned over: refused in words, or read as it was written. */
#include "common/format/results.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char *sound;
static size_t sound_size;

static void make_sound(const char *path)
{
    float values[] = {1, 2, 3, 4, 5, 6};
    struct logits l = {
        .part = PART_VALIDATION, .epoch = 1, .rows = 3, .labels = 2, .values = values, .loss = 0.5, .split_sha256 = "abc"};
    FILE *f = NULL;
    if (logits_append(path, &l, NULL) || !(f = fopen(path, "r")))
        abort();
    fseek(f, 0, SEEK_END);
    sound_size = (size_t)ftell(f);
    sound = malloc(sound_size);
    rewind(f);
    if (!sound || fread(sound, 1, sound_size, f) != sound_size)
        abort();
    fclose(f);
    remove(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    if (!sound_size) {
        snprintf(path, sizeof path, "/tmp/fuzz_results.%d.h5", (int)getpid());
        make_sound(path);
    }
    char *bytes = malloc(sound_size);
    if (!bytes)
        abort();
    memcpy(bytes, sound, sound_size);
    for (size_t i = 0; i + 3 <= size; i += 3)
        bytes[(data[i] | (size_t)data[i + 1] << 8) % sound_size] ^= (char)data[i + 2];
    int fd = memfd_create("fuzz", 0);
    if (write(fd, bytes, sound_size) != (ssize_t)sound_size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct error e = {0};
    struct logits l;
    if (!logits_read(&l, path, PART_VALIDATION, 1, NULL, &e)) {
        if (l.rows != 3 || l.labels != 2 || l.values[5] != 6 || l.loss != 0.5)
            abort();
        logits_free(&l);
    } else if (e.kind != ERROR_DATA || !e.message[0]) {
        abort();
    }
    close(fd);
    free(bytes);
    return 0;
}
