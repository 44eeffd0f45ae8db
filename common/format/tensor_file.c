/* SPDX-License-Identifier: Apache-2.0 */
/* The named tensors of an open file. */
#include "common/format/tensor_file_builder.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

struct tensor_file {
    struct file_map map;
    struct tensor_file **parts; /* of weights in several files: theirs are the tensors */
    size_t part_count, part_capacity;
    struct tensor *tensors;
    size_t count, capacity;
    void **blocks;
    size_t block_count, block_capacity;
    char **metadata; /* key, value, key, value */
    size_t metadata_count, metadata_capacity;
};

static const struct {
    const char *name;
    size_t size;
} types[] = {
    [TENSOR_F32] = {"F32", 4}, [TENSOR_F16] = {"F16", 2}, [TENSOR_BF16] = {"BF16", 2}, [TENSOR_F64] = {"F64", 8},
    [TENSOR_I64] = {"I64", 8}, [TENSOR_I32] = {"I32", 4}, [TENSOR_U8] = {"U8", 1},     [TENSOR_OTHER] = {"other", 0},
};

size_t tensor_type_size(enum tensor_type type)
{
    return types[type].size;
}

const char *tensor_type_name(enum tensor_type type)
{
    return types[type].name;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct tensor *)a)->name, ((const struct tensor *)b)->name);
}

int tensor_file_sort(struct tensor_file *f, const char *place, struct error *e)
{
    if (f->count)
        qsort(f->tensors, f->count, sizeof *f->tensors, compare_names);
    for (size_t i = 1; i < f->count; i++)
        if (!strcmp(f->tensors[i - 1].name, f->tensors[i].name))
            return error_set(e, ERROR_DATA, "%s: tensor %s appears twice; the file is damaged, get it again", place,
                             f->tensors[i].name);
    return 0;
}

struct tensor_file *tensor_file_create(void)
{
    return allocate(1, sizeof(struct tensor_file));
}

void tensor_file_keep_map(struct tensor_file *f, struct file_map map)
{
    f->map = map;
}

void tensor_file_close(struct tensor_file **file)
{
    struct tensor_file *f = file ? *file : NULL;
    if (!f)
        return;
    for (size_t i = 0; i < f->block_count; i++)
        free(f->blocks[i]);
    free(f->blocks);
    free(f->tensors);
    free(f->metadata);
    for (size_t i = 0; i < f->part_count; i++)
        tensor_file_close(&f->parts[i]);
    free(f->parts);
    file_unmap(&f->map);
    free(f);
    *file = NULL;
}

void tensor_file_keep(struct tensor_file *f, void *block)
{
    f->blocks = grow(f->blocks, &f->block_capacity, f->block_count + 1, sizeof *f->blocks);
    f->blocks[f->block_count++] = block;
}

void tensor_file_merge(struct tensor_file *f, struct tensor_file **part)
{
    f->parts = grow(f->parts, &f->part_capacity, f->part_count + 1, sizeof *f->parts);
    f->parts[f->part_count++] = *part;
    for (size_t i = 0; i < (*part)->count; i++) {
        f->tensors = grow(f->tensors, &f->capacity, f->count + 1, sizeof *f->tensors);
        f->tensors[f->count++] = (*part)->tensors[i];
    }
    *part = NULL;
}

static char *keep_text(struct tensor_file *f, const char *text)
{
    char *copy = duplicate(text);
    tensor_file_keep(f, copy);
    return copy;
}

void tensor_file_add(struct tensor_file *f, const struct tensor *t)
{
    f->tensors = grow(f->tensors, &f->capacity, f->count + 1, sizeof *f->tensors);
    f->tensors[f->count] = *t;
    f->tensors[f->count++].name = keep_text(f, t->name);
}

void tensor_file_set_metadata(struct tensor_file *f, const char *key, const char *value)
{
    f->metadata = grow(f->metadata, &f->metadata_capacity, f->metadata_count + 2, sizeof *f->metadata);
    f->metadata[f->metadata_count++] = keep_text(f, key);
    f->metadata[f->metadata_count++] = keep_text(f, value);
}

size_t tensor_file_count(const struct tensor_file *f)
{
    return f->count;
}

const struct tensor *tensor_file_at(const struct tensor_file *f, size_t i)
{
    return &f->tensors[i];
}

const struct tensor *tensor_file_find(const struct tensor_file *f, const char *name)
{
    struct tensor wanted = {.name = name};
    return f->count ? bsearch(&wanted, f->tensors, f->count, sizeof wanted, compare_names) : NULL;
}

const char *tensor_file_metadata(const struct tensor_file *f, const char *key)
{
    for (size_t i = 0; i < f->metadata_count; i += 2)
        if (!strcmp(f->metadata[i], key))
            return f->metadata[i + 1];
    return NULL;
}
