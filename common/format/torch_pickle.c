/* SPDX-License-Identifier: Apache-2.0 */
/* Owns torch.save's two formats. Both hold one pickle that describes tensors as views of numbered storages; they differ in
 * where the storages' bytes lie: entries "<top>/data/<key>" of a zip archive, or one after another behind the pickles. */
#include "common/format/torch_pickle.h"

#include "common/base/memory.h"
#include "common/format/pickle.h"
#include "common/format/zip.h"

#include <stdlib.h>
#include <string.h>

/* What a hostile file may make us allocate, for its size: more than any honest compression or expanded view needs. */
enum { MEMORY_PER_BYTE = 16, MEMORY_FLOOR = 64 << 20, TENSOR_LIMIT = 1 << 20 };

static const struct {
    const char *name;
    enum tensor_type type;
    size_t size; /* bytes an element */
} storage_types[] = {
    {"torch.FloatStorage", TENSOR_F32, 4},
    {"torch.HalfStorage", TENSOR_F16, 2},
    {"torch.BFloat16Storage", TENSOR_BF16, 2},
    {"torch.DoubleStorage", TENSOR_F64, 8},
    {"torch.LongStorage", TENSOR_I64, 8},
    {"torch.IntStorage", TENSOR_I32, 4},
    {"torch.ByteStorage", TENSOR_U8, 1},
    {"torch.CharStorage", TENSOR_OTHER, 1},
    {"torch.BoolStorage", TENSOR_OTHER, 1},
    {"torch.ShortStorage", TENSOR_OTHER, 2},
    {"torch.ComplexFloatStorage", TENSOR_OTHER, 8},
    {"torch.ComplexDoubleStorage", TENSOR_OTHER, 16},
};

#define STORAGE_TYPES (sizeof storage_types / sizeof *storage_types)

/* All that a pickle may name. */
static const char *const allowed[] = {
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.FloatStorage",
    "torch.HalfStorage",
    "torch.BFloat16Storage",
    "torch.DoubleStorage",
    "torch.LongStorage",
    "torch.IntStorage",
    "torch.ByteStorage",
    "torch.CharStorage",
    "torch.BoolStorage",
    "torch.ShortStorage",
    "torch.ComplexFloatStorage",
    "torch.ComplexDoubleStorage",
    NULL,
};

struct storage {
    const char *key;
    size_t key_size;
    enum tensor_type type;
    size_t element, count; /* bytes an element, elements */
    const char *data;      /* NULL until it is found */
};

struct reader {
    struct tensor_file *file;
    const char *place;
    const void *bytes;
    size_t size;
    size_t budget; /* bytes that may still be allocated for tensors */
    struct pickle *pickle;
    struct storage *storages; /* sorted by key */
    size_t storage_count;
    /* Sees to it that the storage's data is there. */
    int (*load)(struct reader *r, struct storage *s);
    struct archive *archive;
    char *top; /* of the zip: all entries are "<top>/..." */
    struct error *e;
};

static int refuse(struct reader *r, const char *what)
{
    error_set(r->e, ERROR_DATA, "%s: %s; the file is damaged, get it again", r->place, what);
    return -1; /* in full: the compiler sees then that nobody goes on without a value */
}

static int allocate_within_budget(struct reader *r, size_t size, char **ret)
{
    if (size > r->budget)
        return refuse(r, "it unpacks to far more than its size");
    r->budget -= size;
    *ret = allocate(size, 1);
    tensor_file_keep(r->file, *ret);
    return 0;
}

static void reader_begin(struct reader *r)
{
    if (__builtin_mul_overflow(r->size, (size_t)MEMORY_PER_BYTE, &r->budget) || r->budget > SIZE_MAX / 2)
        r->budget = SIZE_MAX / 2;
    r->budget += MEMORY_FLOOR;
}

static void reader_end(struct reader *r)
{
    pickle_destroy(&r->pickle);
    archive_close(&r->archive);
    free(r->storages);
    free(r->top);
}

/* --- storages --- */

static int compare_keys(const void *a, const void *b)
{
    const struct storage *x = a, *y = b;
    size_t size = x->key_size < y->key_size ? x->key_size : y->key_size;
    int order = memcmp(x->key, y->key, size);
    return order ? order : (x->key_size > y->key_size) - (x->key_size < y->key_size);
}

static struct storage *find_storage(const struct reader *r, const struct pickle_value *key)
{
    struct storage wanted = {.key = key->text, .key_size = key->size};
    return r->storage_count ? bsearch(&wanted, r->storages, r->storage_count, sizeof wanted, compare_keys) : NULL;
}

/* ("storage", type, key, location, count) and, before 1.6, a view of it that nobody has written since 0.4. */
static const struct pickle_value *persistent_id(const struct pickle_value *v)
{
    const struct pickle_value *id = v->type == PICKLE_PERSISTENT ? v->items[0] : NULL;
    if (!id || id->type != PICKLE_TUPLE || id->count < 5 || id->count > 6 ||
        !pickle_text_is(id->items[0], PICKLE_TEXT, "storage") || id->items[1]->type != PICKLE_GLOBAL ||
        id->items[2]->type != PICKLE_TEXT || id->items[4]->type != PICKLE_INTEGER ||
        (id->count == 6 && id->items[5]->type != PICKLE_NONE))
        return NULL;
    return id;
}

static int describe_storage(struct reader *r, const struct pickle_value *v, struct storage *ret)
{
    const struct pickle_value *id = persistent_id(v);
    size_t i = 0, bytes;
    if (!id)
        return refuse(r, "a persistent id in its pickle is no storage");
    while (i < STORAGE_TYPES && !pickle_text_is(id->items[1], PICKLE_GLOBAL, storage_types[i].name))
        i++;
    if (i == STORAGE_TYPES)
        return refuse(r, "the type of a storage in its pickle is none");
    int64_t count = id->items[4]->integer;
    if (count < 0 || !multiply_sizes((size_t)count, storage_types[i].size, &bytes) || bytes > SIZE_MAX / 2)
        return refuse(r, "the size of a storage in its pickle is impossible");
    *ret = (struct storage){.key = id->items[2]->text,
                            .key_size = id->items[2]->size,
                            .type = storage_types[i].type,
                            .element = storage_types[i].size,
                            .count = (size_t)count};
    return 0;
}

/* Every mention of a storage, sorted by key, one of each kept; mentions of one storage agree. */
static int collect_storages(struct reader *r)
{
    size_t count = pickle_persistent_count(r->pickle), kept = 0;
    r->storages = allocate(count, sizeof *r->storages);
    for (size_t i = 0; i < count; i++)
        if (describe_storage(r, pickle_persistent(r->pickle, i), &r->storages[i]))
            return -1;
    qsort(r->storages, count, sizeof *r->storages, compare_keys);
    for (size_t i = 0; i < count; i++) {
        struct storage *s = &r->storages[i], *last = kept ? &r->storages[kept - 1] : NULL;
        if (!last || compare_keys(last, s))
            r->storages[kept++] = *s;
        else if (last->type != s->type || last->element != s->element || last->count != s->count)
            return refuse(r, "two mentions of one storage in its pickle disagree");
    }
    r->storage_count = kept;
    return 0;
}

/* --- tensors --- */

/* Arguments of a call to `name`, at least `count`; NULL if v is something else. */
static const struct pickle_value *call_arguments(const struct pickle_value *v, const char *name, size_t count)
{
    if (v->type != PICKLE_CALL || !pickle_text_is(v->items[0], PICKLE_GLOBAL, name) || v->items[1]->count < count)
        return NULL;
    return v->items[1];
}

/* (storage, offset, shape, stride, ...) of a tensor or of a parameter, which is a tensor with something around it. */
static const struct pickle_value *tensor_arguments(const struct pickle_value *v)
{
    const struct pickle_value *parameter = call_arguments(v, "torch._utils._rebuild_parameter", 1);
    if (parameter)
        v = parameter->items[0];
    const struct pickle_value *arguments = call_arguments(v, "torch._utils._rebuild_tensor_v2", 4);
    return arguments ? arguments : call_arguments(v, "torch._utils._rebuild_tensor", 4);
}

static int read_extents(struct reader *r, const struct pickle_value *v, const char *name, int64_t *extents)
{
    for (size_t i = 0; i < v->count; i++) {
        if (v->items[i]->type != PICKLE_INTEGER || v->items[i]->integer < 0)
            return error_set(r->e, ERROR_DATA, "%s: tensor %s: its shape or strides are not whole numbers", r->place, name);
        extents[i] = v->items[i]->integer;
    }
    return 0;
}

static int count_elements(struct reader *r, struct tensor *t)
{
    t->count = 1;
    for (int i = 0; i < t->dimensions; i++)
        if (!multiply_sizes(t->count, (size_t)t->shape[i], &t->count))
            return error_set(r->e, ERROR_DATA, "%s: tensor %s: its shape says more elements than can be counted", r->place,
                             t->name);
    return 0;
}

/* The view stays inside its storage. Strides of extents that are 1 mean nothing and become 0. */
static int check_bounds(struct reader *r, const struct tensor *t, const struct storage *s, int64_t offset, int64_t *strides)
{
    for (int i = 0; i < t->dimensions; i++)
        if (t->shape[i] == 1)
            strides[i] = 0;
    size_t last = (size_t)offset, way;
    bool fits = offset >= 0 && last <= s->count;
    for (int i = 0; fits && t->count && i < t->dimensions; i++)
        fits = multiply_sizes((size_t)t->shape[i] - 1, (size_t)strides[i], &way) && !__builtin_add_overflow(last, way, &last);
    if (!fits || (t->count && last >= s->count))
        return error_set(r->e, ERROR_DATA, "%s: tensor %s: reaches beyond its storage of %zu elements; the file is damaged",
                         r->place, t->name, s->count);
    return 0;
}

static bool is_row_major(const struct tensor *t, const int64_t *strides)
{
    int64_t expected = 1;
    for (int i = t->dimensions - 1; i >= 0 && t->count; i--) {
        if (t->shape[i] != 1 && strides[i] != expected)
            return false;
        expected *= t->shape[i];
    }
    return true;
}

/* Copies a strided view; `from` is its first element. */
static void copy_row_major(const struct tensor *t, const int64_t *strides, const char *from, size_t element, char *to)
{
    int64_t index[TENSOR_DIMENSIONS] = {0}, at = 0;
    for (size_t i = 0; i < t->count; i++) {
        memcpy(to + i * element, from + (size_t)at * element, element);
        for (int d = t->dimensions - 1; d >= 0; d--) {
            at += strides[d];
            if (++index[d] < t->shape[d])
                break;
            at -= strides[d] * t->shape[d];
            index[d] = 0;
        }
    }
}

static int place_data(struct reader *r, struct tensor *t, const struct storage *s, int64_t offset, const int64_t *strides)
{
    if (!multiply_sizes(t->count, s->element, &t->size))
        return error_set(r->e, ERROR_DATA, "%s: tensor %s: its shape says more bytes than can be counted", r->place, t->name);
    const char *from = s->data + (size_t)offset * s->element;
    t->data = from;
    if (is_row_major(t, strides))
        return 0;
    char *copy;
    if (allocate_within_budget(r, t->size, &copy))
        return -1;
    copy_row_major(t, strides, from, s->element, copy);
    t->data = copy;
    return 0;
}

static int add_tensor(struct reader *r, const char *name, const struct pickle_value *arguments)
{
    const struct pickle_value *const *item = (const struct pickle_value *const *)arguments->items;
    const struct pickle_value *id = persistent_id(item[0]);
    struct tensor t = {.name = name};
    int64_t strides[TENSOR_DIMENSIONS];
    if (!id || item[1]->type != PICKLE_INTEGER || item[2]->type != PICKLE_TUPLE || item[3]->type != PICKLE_TUPLE ||
        item[2]->count != item[3]->count)
        return error_set(r->e, ERROR_DATA, "%s: tensor %s: its description in the pickle makes no tensor; the file is damaged",
                         r->place, name);
    if (item[2]->count > TENSOR_DIMENSIONS)
        return error_set(r->e, ERROR_DATA, "%s: tensor %s: has %zu dimensions; at most %d are supported", r->place, name,
                         item[2]->count, TENSOR_DIMENSIONS);
    struct storage *s = find_storage(r, id->items[2]);
    t.dimensions = (int)item[2]->count;
    t.type = s->type;
    if (read_extents(r, item[2], name, t.shape) || read_extents(r, item[3], name, strides) || count_elements(r, &t) ||
        check_bounds(r, &t, s, item[1]->integer, strides) || r->load(r, s) || place_data(r, &t, s, item[1]->integer, strides))
        return -1;
    tensor_file_add(r->file, &t);
    return 0;
}

/* Values that are no tensors (a step count, a version) are none of our business. */
static int add_tensors(struct reader *r)
{
    const struct pickle_value *root = pickle_root(r->pickle), *nested = NULL;
    size_t added = 0;
    if (root->type != PICKLE_DICT)
        return error_set(r->e, ERROR_DATA, "%s: holds no dictionary of tensors; save model.state_dict() itself", r->place);
    for (size_t i = 0; i < root->count; i += 2) {
        const struct pickle_value *key = root->items[i], *arguments = tensor_arguments(root->items[i + 1]);
        if (root->items[i + 1]->type == PICKLE_DICT && key->type == PICKLE_TEXT)
            nested = key;
        if (!arguments || key->type != PICKLE_TEXT)
            continue;
        if (added++ == TENSOR_LIMIT)
            return refuse(r, "it holds more than a million tensors");
        char *name = format_string("%.*s", (int)(key->size < 4096 ? key->size : 4096), key->text);
        int result = add_tensor(r, name, arguments);
        free(name);
        if (result)
            return -1;
    }
    if (!added && nested)
        return error_set(r->e, ERROR_DATA, "%s: its tensors are inside \"%.*s\"; save that dictionary (model.state_dict()) alone",
                         r->place, (int)(nested->size < 80 ? nested->size : 80), nested->text);
    return added ? 0 : error_set(r->e, ERROR_DATA, "%s: holds no tensors", r->place);
}

static int read_state_dict(struct reader *r, const void *bytes, size_t size, size_t *used)
{
    if (pickle_read(&r->pickle, bytes, size, allowed, r->place, used, r->e))
        return -1;
    return collect_storages(r);
}

/* --- the zip form --- */

bool torch_zip_recognise(const void *bytes, size_t size)
{
    return archive_recognise(bytes, size);
}

static int load_from_zip(struct reader *r, struct storage *s)
{
    size_t index, size;
    if (s->data)
        return 0;
    char *name = format_string("%s/data/%.*s", r->top, (int)(s->key_size < 256 ? s->key_size : 256), s->key), *data;
    int result = 0;
    if (!archive_find(r->archive, name, &index, &size))
        result = error_set(r->e, ERROR_DATA, "%s: entry %s is missing; the file is damaged, get it again", r->place, name);
    else if (size != s->count * s->element)
        result = error_set(r->e, ERROR_DATA, "%s: entry %s has %zu bytes, where its pickle says %zu; the file is damaged",
                           r->place, name, size, s->count * s->element);
    free(name);
    if (result || allocate_within_budget(r, size, &data) || archive_read(r->archive, index, data, size, r->e))
        return -1;
    s->data = data;
    return 0;
}

/* The archive's top directory is any name: that of the one "<top>/data.pkl". */
static int find_top(struct reader *r)
{
    static const char end[] = "/data.pkl";
    for (size_t i = 0; i < archive_count(r->archive); i++) {
        const char *name = archive_name(r->archive, i);
        size_t size = name ? strlen(name) : 0;
        if (size < sizeof end || strcmp(name + size - (sizeof end - 1), end) || memchr(name, '/', size - (sizeof end - 1)))
            continue;
        r->top = format_string("%.*s", (int)(size - (sizeof end - 1)), name);
        return 0;
    }
    return error_set(r->e, ERROR_DATA, "%s: is a zip archive without a data.pkl: no file of torch.save", r->place);
}

/* A small entry of the archive, NUL-terminated; *ret stays NULL when it is absent. Caller frees. */
static int read_entry(struct reader *r, const char *entry, size_t limit, char **ret, size_t *size)
{
    size_t index;
    char *name = format_string("%s/%s", r->top, entry), *data = NULL;
    bool found = archive_find(r->archive, name, &index, size);
    free(name);
    if (!found)
        return 0;
    if (*size > limit)
        return error_set(r->e, ERROR_DATA, "%s: entry %s is too large (%zu bytes); the file is damaged", r->place, entry, *size);
    data = allocate(*size + 1, 1);
    if (archive_read(r->archive, index, data, *size, r->e)) {
        free(data);
        return -1;
    }
    *ret = data;
    return 0;
}

static int check_byte_order(struct reader *r)
{
    char *order = NULL;
    size_t size;
    if (read_entry(r, "byteorder", 64, &order, &size))
        return -1;
    bool foreign = order && strcmp(order, "little");
    free(order);
    return foreign ? error_set(r->e, ERROR_DATA, "%s: was saved big-endian, which is not supported", r->place) : 0;
}

int torch_zip_read(struct tensor_file *f, const void *bytes, size_t size, const char *place, struct error *e)
{
    struct reader r = {f, place, bytes, size, .load = load_from_zip, .e = e};
    char *pickled = NULL;
    size_t pickled_size = 0;
    reader_begin(&r);
    int result = archive_open(&r.archive, bytes, size, place, e) || find_top(&r) || check_byte_order(&r) ||
                         read_entry(&r, "data.pkl", PICKLE_LIMIT, &pickled, &pickled_size) ||
                         read_state_dict(&r, pickled, pickled_size, NULL) || add_tensors(&r)
                     ? -1
                     : 0;
    reader_end(&r);
    free(pickled);
    return result;
}

/* --- the form of before 1.6: magic number, protocol, system facts, the state dict, the storages' keys (each a pickle), then
 * for each key in that order its element count (8 bytes) and its elements --- */

static const uint8_t magic[] = {0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};

bool torch_legacy_recognise(const void *bytes, size_t size)
{
    return size >= sizeof magic && !memcmp(bytes, magic, sizeof magic);
}

static int load_from_file(struct reader *r, struct storage *s)
{
    return s->data ? 0 : refuse(r, "a storage is missing from the list at its end");
}

/* One of the small pickles, from *at on. */
static int read_part(struct reader *r, size_t *at, struct pickle **ret)
{
    size_t used;
    if (pickle_read(ret, (const char *)r->bytes + *at, r->size - *at, allowed, r->place, &used, r->e))
        return -1;
    *at += used;
    return 0;
}

static int read_protocol(struct reader *r, size_t *at)
{
    struct pickle *p;
    if (read_part(r, at, &p))
        return -1;
    const struct pickle_value *v = pickle_root(p);
    bool known = v->type == PICKLE_INTEGER && v->integer == 1001;
    pickle_destroy(&p);
    return known ? 0 : refuse(r, "its protocol version is not 1001");
}

static int read_system(struct reader *r, size_t *at)
{
    struct pickle *p;
    if (read_part(r, at, &p))
        return -1;
    const struct pickle_value *v = pickle_root(p);
    bool foreign = false;
    for (size_t i = 0; v->type == PICKLE_DICT && i < v->count; i += 2)
        if (pickle_text_is(v->items[i], PICKLE_TEXT, "little_endian"))
            foreign = !v->items[i + 1]->integer;
    pickle_destroy(&p);
    return foreign ? error_set(r->e, ERROR_DATA, "%s: was saved big-endian, which is not supported", r->place) : 0;
}

static int find_in_file(struct reader *r, const struct pickle_value *key, size_t *at)
{
    struct storage *s = key->type == PICKLE_TEXT ? find_storage(r, key) : NULL;
    uint64_t count;
    if (!s || s->data)
        return refuse(r, "its list of storages names one that is not there, or twice");
    if (r->size - *at < sizeof count)
        return refuse(r, "it is cut");
    memcpy(&count, (const char *)r->bytes + *at, sizeof count);
    *at += sizeof count;
    if (count != s->count)
        return refuse(r, "a storage has another size than its pickle says");
    if (r->size - *at < s->count * s->element)
        return refuse(r, "it is cut");
    s->data = (const char *)r->bytes + *at;
    *at += s->count * s->element;
    return 0;
}

static int find_storages(struct reader *r, size_t *at)
{
    struct pickle *p;
    if (read_part(r, at, &p))
        return -1;
    const struct pickle_value *keys = pickle_root(p);
    int result = keys->type == PICKLE_LIST ? 0 : refuse(r, "its list of storages is none");
    for (size_t i = 0; !result && i < keys->count; i++)
        result = find_in_file(r, keys->items[i], at);
    pickle_destroy(&p);
    return result;
}

int torch_legacy_read(struct tensor_file *f, const void *bytes, size_t size, const char *place, struct error *e)
{
    struct reader r = {f, place, bytes, size, .load = load_from_file, .e = e};
    size_t at = sizeof magic, used;
    reader_begin(&r);
    int result = read_protocol(&r, &at) || read_system(&r, &at) || read_state_dict(&r, (const char *)bytes + at, size - at, &used)
                     ? -1
                     : 0;
    if (!result) {
        at += used;
        result = find_storages(&r, &at) || add_tensors(&r) ? -1 : 0;
    }
    reader_end(&r);
    return result;
}
