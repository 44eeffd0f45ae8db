/* SPDX-License-Identifier: Apache-2.0 */
/* The safetensors format: every statement of the header is checked against the file before a tensor is handed out. */
#include "common/format/safetensors.h"

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/json/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    enum tensor_type type;
    size_t size; /* bytes an element */
} types[] = {
    {"F32", TENSOR_F32, 4},    {"F16", TENSOR_F16, 2},       {"BF16", TENSOR_BF16, 2},     {"F64", TENSOR_F64, 8},
    {"I64", TENSOR_I64, 8},    {"I32", TENSOR_I32, 4},       {"U8", TENSOR_U8, 1},         {"I8", TENSOR_OTHER, 1},
    {"BOOL", TENSOR_OTHER, 1}, {"I16", TENSOR_OTHER, 2},     {"U16", TENSOR_OTHER, 2},     {"U32", TENSOR_OTHER, 4},
    {"U64", TENSOR_OTHER, 8},  {"F8_E4M3", TENSOR_OTHER, 1}, {"F8_E5M2", TENSOR_OTHER, 1}, {"C64", TENSOR_OTHER, 8},
};

#define TYPE_COUNT (sizeof types / sizeof *types)

struct range {
    size_t start, end; /* within the data */
    const char *name;
};

struct reader {
    struct tensor_file *file;
    const char *place;
    const char *data;
    size_t data_size;
    struct range *ranges;
    size_t range_count;
    struct error *e;
};

static uint64_t header_size(const void *bytes)
{
    uint64_t size;
    memcpy(&size, bytes, sizeof size);
    return size;
}

bool safetensors_recognise(const void *bytes, size_t size)
{
    return size >= 9 && ((const char *)bytes)[8] == '{';
}

/* A count or offset: a whole number that a double holds exactly. */
static bool whole_number(const struct json *j, size_t *ret)
{
    double value = json_number(j);
    if (!j || json_type(j) != JSON_NUMBER || !(value >= 0 && value <= 0x1p53))
        return false;
    *ret = (size_t)value;
    return (double)*ret == value;
}

static int read_shape(struct reader *r, const struct json *shape, struct tensor *t)
{
    if (!shape || json_type(shape) != JSON_ARRAY)
        return error_set(r->e, ERROR_DATA, "%s: tensor %s: has no shape; the header is damaged, get the file again", r->place,
                         t->name);
    if (json_size(shape) > TENSOR_DIMENSIONS)
        return error_set(r->e, ERROR_DATA, "%s: tensor %s: has %zu dimensions; at most %d are supported", r->place, t->name,
                         json_size(shape), TENSOR_DIMENSIONS);
    t->dimensions = (int)json_size(shape);
    t->count = 1;
    for (int i = 0; i < t->dimensions; i++) {
        size_t extent;
        if (!whole_number(json_at(shape, (size_t)i), &extent))
            return error_set(r->e, ERROR_DATA, "%s: tensor %s: dimension %d of its shape is not a whole number", r->place,
                             t->name, i);
        if (!multiply_sizes(t->count, extent, &t->count))
            return error_set(r->e, ERROR_DATA, "%s: tensor %s: its shape says more elements than can be counted", r->place,
                             t->name);
        t->shape[i] = (int64_t)extent;
    }
    return 0;
}

static int read_range(struct reader *r, const struct json *offsets, struct tensor *t)
{
    size_t start, end;
    if (!offsets || json_type(offsets) != JSON_ARRAY || json_size(offsets) != 2 || !whole_number(json_at(offsets, 0), &start) ||
        !whole_number(json_at(offsets, 1), &end))
        return error_set(r->e, ERROR_DATA, "%s: tensor %s: data_offsets are not two whole numbers", r->place, t->name);
    if (start > end || end > r->data_size)
        return error_set(r->e, ERROR_DATA,
                         "%s: tensor %s: should lie at bytes %zu to %zu, but the file holds %zu bytes of data; it is cut or "
                         "damaged, get it again",
                         r->place, t->name, start, end, r->data_size);
    t->data = r->data + start;
    t->size = end - start;
    r->ranges[r->range_count++] = (struct range){start, end, t->name};
    return 0;
}

/* A type of the future has an unknown element size: its bytes are in bounds, and nobody can read them as numbers. */
static int read_type(struct reader *r, const struct json *type, struct tensor *t)
{
    const char *name = type ? json_string(type) : NULL;
    if (!name)
        return error_set(r->e, ERROR_DATA, "%s: tensor %s: has no dtype; the header is damaged, get the file again", r->place,
                         t->name);
    size_t i = 0, needed;
    while (i < TYPE_COUNT && strcmp(types[i].name, name))
        i++;
    t->type = i < TYPE_COUNT ? types[i].type : TENSOR_OTHER;
    if (i < TYPE_COUNT && (!multiply_sizes(t->count, types[i].size, &needed) || needed != t->size))
        return error_set(r->e, ERROR_DATA, "%s: tensor %s: %zu elements of type %s do not make its %zu bytes", r->place, t->name,
                         t->count, name, t->size);
    return 0;
}

static int read_tensor(struct reader *r, const char *name, const struct json *entry)
{
    struct tensor t = {.name = name};
    if (json_type(entry) != JSON_OBJECT)
        return error_set(r->e, ERROR_DATA, "%s: tensor %s: is %s in the header, not an object", r->place, name,
                         json_type_name(json_type(entry)));
    if (read_shape(r, json_get(entry, "shape"), &t) || read_range(r, json_get(entry, "data_offsets"), &t) ||
        read_type(r, json_get(entry, "dtype"), &t))
        return -1;
    tensor_file_add(r->file, &t);
    return 0;
}

static int read_metadata(struct reader *r, const struct json *metadata)
{
    if (json_type(metadata) != JSON_OBJECT)
        return error_set(r->e, ERROR_DATA, "%s: __metadata__ is %s, not an object", r->place,
                         json_type_name(json_type(metadata)));
    for (size_t i = 0; i < json_size(metadata); i++) {
        const char *value = json_string(json_at(metadata, i));
        if (!value)
            return error_set(r->e, ERROR_DATA, "%s: __metadata__: %s is not a string", r->place, json_key(metadata, i));
        tensor_file_set_metadata(r->file, json_key(metadata, i), value);
    }
    return 0;
}

static int compare_ranges(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* The format allows neither overlaps nor holes: what no tensor claims could hide anything. */
static int check_cover(struct reader *r)
{
    size_t end = 0;
    if (r->range_count)
        qsort(r->ranges, r->range_count, sizeof *r->ranges, compare_ranges);
    for (size_t i = 0; i < r->range_count; i++) {
        if (r->ranges[i].start < end)
            return error_set(r->e, ERROR_DATA, "%s: tensor %s: overlaps tensor %s; the file is damaged, get it again", r->place,
                             r->ranges[i].name, r->ranges[i - 1].name);
        if (r->ranges[i].start > end)
            return error_set(r->e, ERROR_DATA, "%s: tensor %s: %zu bytes before it belong to no tensor; the file is damaged",
                             r->place, r->ranges[i].name, r->ranges[i].start - end);
        end = r->ranges[i].end;
    }
    if (end != r->data_size)
        return error_set(r->e, ERROR_DATA, "%s: %zu bytes at its end belong to no tensor; the file is damaged, get it again",
                         r->place, r->data_size - end);
    return 0;
}

static int read_header(struct reader *r, const struct json *header)
{
    for (size_t i = 0; i < json_size(header); i++) {
        const char *name = json_key(header, i);
        const struct json *entry = json_at(header, i);
        if (strcmp(name, "__metadata__") ? read_tensor(r, name, entry) : read_metadata(r, entry))
            return -1;
    }
    return check_cover(r);
}

int safetensors_read(struct tensor_file *f, const void *bytes, size_t size, const char *place, struct error *e)
{
    uint64_t header_bytes = header_size(bytes);
    if (header_bytes > SAFETENSORS_HEADER_LIMIT)
        return error_set(e, ERROR_DATA,
                         "%s: says that its header has %llu bytes; at most %d are allowed; it is no safetensors "
                         "file or is damaged",
                         place, (unsigned long long)header_bytes, SAFETENSORS_HEADER_LIMIT);
    if (header_bytes > size - 8)
        return error_set(e, ERROR_DATA, "%s: is cut: its header has %llu bytes, but only %zu are there; get it again", place,
                         (unsigned long long)header_bytes, size - 8);
    struct json *header;
    char *header_place = format_string("%s: header", place);
    int result = json_parse(&header, (const char *)bytes + 8, header_bytes, header_place, e);
    free(header_place);
    if (result)
        return -1;
    struct reader r = {f, place, (const char *)bytes + 8 + header_bytes, size - 8 - header_bytes, .e = e};
    r.ranges = allocate(json_size(header), sizeof *r.ranges);
    result = json_type(header) == JSON_OBJECT ? read_header(&r, header)
                                              : error_set(e, ERROR_DATA, "%s: the header is no JSON object", place);
    free(r.ranges);
    json_destroy(&header);
    return result;
}

static void append_quoted(struct buffer *b, const char *text)
{
    struct json *value = json_of_string(text);
    char *quoted = json_print(value, false);
    buffer_text(b, quoted);
    free(quoted);
    json_destroy(&value);
}

static void append_metadata(struct buffer *b, const char *const *metadata)
{
    buffer_text(b, "\"__metadata__\":{");
    for (size_t i = 0; metadata[i]; i += 2) {
        buffer_text(b, i ? "," : "");
        append_quoted(b, metadata[i]);
        buffer_text(b, ":");
        append_quoted(b, metadata[i + 1]);
    }
    buffer_text(b, "}");
}

static void append_tensor(struct buffer *b, const struct tensor *t, size_t offset)
{
    append_quoted(b, t->name);
    buffer_printf(b, ":{\"dtype\":\"%s\",\"shape\":[", tensor_type_name(t->type));
    for (int i = 0; i < t->dimensions; i++)
        buffer_printf(b, "%s%lld", i ? "," : "", (long long)t->shape[i]);
    buffer_printf(b, "],\"data_offsets\":[%zu,%zu]}", offset, offset + t->size);
}

static void make_header(struct buffer *b, const struct tensor *tensors, size_t count, const char *const *metadata)
{
    bool comma = metadata && metadata[0];
    size_t offset = 0;
    buffer_text(b, "{");
    if (comma)
        append_metadata(b, metadata);
    for (size_t i = 0; i < count; i++) {
        buffer_text(b, comma ? "," : "");
        append_tensor(b, &tensors[i], offset);
        offset += tensors[i].size;
        comma = true;
    }
    buffer_text(b, "}");
    while (b->size % 8)
        buffer_text(b, " ");
}

static int write_bytes(struct file_writer *w, const void *bytes, size_t size, const char *path, struct error *e)
{
    if (size && fwrite(bytes, 1, size, file_writer_stream(w)) != size)
        return error_errno(e, errno, "%s: cannot be written", path);
    return 0;
}

static int check_writable(const char *path, const struct tensor *t, struct error *e)
{
    size_t size;
    if (!tensor_type_size(t->type) || !multiply_sizes(t->count, tensor_type_size(t->type), &size) || size != t->size)
        return error_set(e, ERROR_FAILED, "%s: tensor %s: its type %s, count %zu and size %zu do not fit together", path, t->name,
                         tensor_type_name(t->type), t->count, t->size);
    return 0;
}

static int write_all(const char *path, const struct tensor *tensors, size_t count, const char *const *metadata,
                     int (*commit)(struct file_writer **w, struct error *e), struct error *e)
{
    struct buffer header = {0};
    struct file_writer *w = NULL;
    for (size_t i = 0; i < count; i++)
        if (check_writable(path, &tensors[i], e))
            return -1;
    if (file_writer_create(&w, path, e))
        return -1;
    make_header(&header, tensors, count, metadata);
    uint64_t size = header.size;
    if (write_bytes(w, &size, sizeof size, path, e) || write_bytes(w, header.data, header.size, path, e))
        goto fail;
    for (size_t i = 0; i < count; i++)
        if (write_bytes(w, tensors[i].data, tensors[i].size, path, e))
            goto fail;
    buffer_free(&header);
    return commit(&w, e);
fail:
    buffer_free(&header);
    file_writer_destroy(&w);
    return -1;
}

int safetensors_write(const char *path, const struct tensor *tensors, size_t count, const char *const *metadata, struct error *e)
{
    return write_all(path, tensors, count, metadata, file_writer_commit, e);
}

int safetensors_write_unsynced(const char *path, const struct tensor *tensors, size_t count, const char *const *metadata,
                               struct error *e)
{
    return write_all(path, tensors, count, metadata, file_writer_commit_unsynced, e);
}
