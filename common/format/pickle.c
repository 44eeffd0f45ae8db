/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the pickle machine: a stack, a memo and one table row per opcode. Values refer to each other and may form cycles;
 * nothing here or in the callers walks them recursively, so that depth costs nothing. */
#include "common/format/pickle.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { VALUES_PER_CHUNK = 256, NAME_LIMIT = 256 };

struct chunk {
    struct chunk *next;
    size_t used;
    struct pickle_value values[VALUES_PER_CHUNK];
};

struct pickle {
    struct chunk *chunks;
    struct pickle_value **persistent;
    size_t persistent_count, persistent_capacity;
    const struct pickle_value *root;
};

struct machine {
    const uint8_t *bytes;
    size_t size, at, opcode_at;
    const char *const *allowed;
    const char *place;
    struct pickle *pickle;
    struct pickle_value **stack; /* a NULL is a mark */
    size_t count, capacity;
    struct pickle_value **memo;
    size_t memo_size, memo_capacity;
    bool stopped;
    struct error *e;
};

static int refuse(struct machine *m, const char *what)
{
    error_set(m->e, ERROR_DATA, "%s: pickle, byte %zu: %s; the file is damaged, get it again", m->place, m->opcode_at, what);
    return -1; /* in full: the compiler sees then that nobody goes on without a value */
}

static int take(struct machine *m, size_t size, const uint8_t **bytes)
{
    if (size > m->size - m->at)
        return refuse(m, "ends in the middle");
    *bytes = m->bytes + m->at;
    m->at += size;
    return 0;
}

static int take_number(struct machine *m, size_t size, uint64_t *ret)
{
    const uint8_t *bytes;
    if (take(m, size, &bytes))
        return -1;
    *ret = 0;
    for (size_t i = 0; i < size; i++)
        *ret |= (uint64_t)bytes[i] << 8 * i;
    return 0;
}

static struct pickle_value *new_value(struct machine *m, enum pickle_type type)
{
    struct chunk *chunk = m->pickle->chunks;
    if (!chunk || chunk->used == VALUES_PER_CHUNK) {
        chunk = allocate(1, sizeof *chunk);
        chunk->next = m->pickle->chunks;
        m->pickle->chunks = chunk;
    }
    struct pickle_value *value = &chunk->values[chunk->used++];
    value->type = type;
    return value;
}

static int push(struct machine *m, struct pickle_value *value)
{
    m->stack = grow(m->stack, &m->capacity, m->count + 1, sizeof *m->stack);
    m->stack[m->count++] = value;
    return 0;
}

static int pop(struct machine *m, struct pickle_value **ret)
{
    if (!m->count || !m->stack[m->count - 1])
        return refuse(m, "takes a value that is not there");
    *ret = m->stack[--m->count];
    return 0;
}

static int peek(struct machine *m, enum pickle_type type, struct pickle_value **ret)
{
    if (!m->count || !m->stack[m->count - 1] || m->stack[m->count - 1]->type != type)
        return refuse(m, "adds to something that is no list or dict");
    *ret = m->stack[m->count - 1];
    return 0;
}

static void add_items(struct pickle_value *to, struct pickle_value *const *items, size_t count)
{
    if (!count)
        return;
    to->items = grow(to->items, &to->capacity, to->count + count, sizeof *to->items);
    memcpy(to->items + to->count, items, count * sizeof *items);
    to->count += count;
}

/* Index of the first value above the last mark. */
static int find_mark(struct machine *m, size_t *ret)
{
    size_t i = m->count;
    while (i && m->stack[i - 1])
        i--;
    if (!i)
        return refuse(m, "there is no mark");
    *ret = i;
    return 0;
}

static int op_protocol(struct machine *m)
{
    uint64_t protocol;
    if (take_number(m, 1, &protocol))
        return -1;
    if (protocol > 2)
        return error_set(m->e, ERROR_DATA, "%s: pickle protocol %d is not supported; save it with torch.save's default (2)",
                         m->place, (int)protocol);
    return 0;
}

static int op_stop(struct machine *m)
{
    struct pickle_value *root;
    if (pop(m, &root))
        return -1;
    if (m->count)
        return refuse(m, "stops with more than one value");
    m->pickle->root = root;
    m->stopped = true;
    return 0;
}

static int op_mark(struct machine *m)
{
    return push(m, NULL);
}

static int op_none(struct machine *m)
{
    return push(m, new_value(m, PICKLE_NONE));
}

static int push_integer(struct machine *m, enum pickle_type type, int64_t integer)
{
    struct pickle_value *value = new_value(m, type);
    value->integer = integer;
    return push(m, value);
}

static int op_true(struct machine *m)
{
    return push_integer(m, PICKLE_BOOLEAN, 1);
}

static int op_false(struct machine *m)
{
    return push_integer(m, PICKLE_BOOLEAN, 0);
}

static int op_int(struct machine *m)
{
    uint64_t bits;
    return take_number(m, 4, &bits) ? -1 : push_integer(m, PICKLE_INTEGER, (int32_t)(uint32_t)bits);
}

static int op_int1(struct machine *m)
{
    uint64_t bits;
    return take_number(m, 1, &bits) ? -1 : push_integer(m, PICKLE_INTEGER, (int64_t)bits);
}

static int op_int2(struct machine *m)
{
    uint64_t bits;
    return take_number(m, 2, &bits) ? -1 : push_integer(m, PICKLE_INTEGER, (int64_t)bits);
}

/* Two's complement of `size` bytes. */
static int op_long1(struct machine *m)
{
    uint64_t size, bits = 0;
    const uint8_t *bytes;
    if (take_number(m, 1, &size))
        return -1;
    if (size > 8)
        return take(m, size, &bytes) ? -1 : push_integer(m, PICKLE_LONG, 0);
    if (take_number(m, size, &bits))
        return -1;
    if (size && size < 8 && bits >> (8 * size - 1))
        bits |= ~(uint64_t)0 << 8 * size;
    return push_integer(m, PICKLE_INTEGER, (int64_t)bits);
}

static int op_real(struct machine *m)
{
    const uint8_t *bytes;
    if (take(m, 8, &bytes))
        return -1;
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | bytes[i]; /* big-endian, alone among the numbers of a pickle */
    struct pickle_value *value = new_value(m, PICKLE_REAL);
    memcpy(&value->real, &bits, sizeof bits);
    return push(m, value);
}

static int push_text(struct machine *m, size_t size_of_size)
{
    uint64_t size;
    const uint8_t *bytes;
    if (take_number(m, size_of_size, &size) || take(m, size, &bytes))
        return -1;
    struct pickle_value *value = new_value(m, PICKLE_TEXT);
    value->text = (const char *)bytes;
    value->size = size;
    return push(m, value);
}

static int op_string(struct machine *m)
{
    return push_text(m, 4);
}

static int op_short_text(struct machine *m)
{
    return push_text(m, 1);
}

static int push_tuple(struct machine *m, size_t count)
{
    if (count > m->count)
        return refuse(m, "takes a value that is not there");
    m->count -= count;
    for (size_t i = 0; i < count; i++)
        if (!m->stack[m->count + i])
            return refuse(m, "takes a value that is not there");
    struct pickle_value *value = new_value(m, PICKLE_TUPLE);
    if (count)
        add_items(value, m->stack + m->count, count);
    return push(m, value);
}

static int op_empty_tuple(struct machine *m)
{
    return push_tuple(m, 0);
}

static int op_tuple1(struct machine *m)
{
    return push_tuple(m, 1);
}

static int op_tuple2(struct machine *m)
{
    return push_tuple(m, 2);
}

static int op_tuple3(struct machine *m)
{
    return push_tuple(m, 3);
}

static int op_tuple(struct machine *m)
{
    size_t first;
    if (find_mark(m, &first))
        return -1;
    struct pickle_value *value = new_value(m, PICKLE_TUPLE);
    add_items(value, m->stack + first, m->count - first);
    m->count = first - 1;
    return push(m, value);
}

static int op_empty_list(struct machine *m)
{
    return push(m, new_value(m, PICKLE_LIST));
}

static int op_empty_dict(struct machine *m)
{
    return push(m, new_value(m, PICKLE_DICT));
}

static int op_append(struct machine *m)
{
    struct pickle_value *item, *list;
    if (pop(m, &item) || peek(m, PICKLE_LIST, &list))
        return -1;
    add_items(list, &item, 1);
    return 0;
}

/* All above the mark goes into the list or dict under it. */
static int add_from_mark(struct machine *m, enum pickle_type type)
{
    size_t first, end = m->count;
    struct pickle_value *to;
    if (find_mark(m, &first))
        return -1;
    m->count = first - 1;
    if (peek(m, type, &to))
        return -1;
    if (type == PICKLE_DICT && (end - first) % 2)
        return refuse(m, "a key has no value");
    add_items(to, m->stack + first, end - first);
    return 0;
}

static int op_appends(struct machine *m)
{
    return add_from_mark(m, PICKLE_LIST);
}

static int op_set_items(struct machine *m)
{
    return add_from_mark(m, PICKLE_DICT);
}

static int op_set_item(struct machine *m)
{
    struct pickle_value *pair[2], *dict;
    if (pop(m, &pair[1]) || pop(m, &pair[0]) || peek(m, PICKLE_DICT, &dict))
        return -1;
    add_items(dict, pair, 2);
    return 0;
}

static int take_line(struct machine *m, const char **line, size_t *size)
{
    const uint8_t *start = m->bytes + m->at, *end = memchr(start, '\n', m->size - m->at);
    if (!end)
        return refuse(m, "ends in the middle");
    *line = (const char *)start;
    *size = (size_t)(end - start);
    m->at += *size + 1;
    return 0;
}

static int refuse_name(struct machine *m, const char *name)
{
    return error_set(
        m->e, ERROR_DATA,
        "%s: pickle, byte %zu: it names %s, which is no part of a tensor; nothing of it was executed. Use a file you "
        "trust, or model.safetensors",
        m->place, m->opcode_at, name);
}

static int take_name(struct machine *m, char name[NAME_LIMIT + 8])
{
    const char *module, *member;
    size_t module_size, member_size;
    if (take_line(m, &module, &module_size) || take_line(m, &member, &member_size))
        return -1;
    size_t first = module_size < NAME_LIMIT / 2 ? module_size : NAME_LIMIT / 2;
    size_t second = member_size < NAME_LIMIT / 2 ? member_size : NAME_LIMIT / 2;
    memcpy(name, module, first);
    name[first] = '.';
    memcpy(name + first + 1, member, second);
    name[first + 1 + second] = 0;
    return 0;
}

static int op_global(struct machine *m)
{
    char name[NAME_LIMIT + 8];
    if (take_name(m, name))
        return -1;
    for (const char *const *allowed = m->allowed; *allowed; allowed++)
        if (!strcmp(*allowed, name)) {
            struct pickle_value *value = new_value(m, PICKLE_GLOBAL);
            value->text = *allowed;
            value->size = strlen(*allowed);
            return push(m, value);
        }
    return refuse_name(m, name);
}

static int op_instance(struct machine *m)
{
    char name[NAME_LIMIT + 8];
    return take_name(m, name) ? -1 : refuse_name(m, name);
}

static int op_reduce(struct machine *m)
{
    struct pickle_value *pair[2];
    if (pop(m, &pair[1]) || pop(m, &pair[0]))
        return -1;
    if (pair[0]->type != PICKLE_GLOBAL || pair[1]->type != PICKLE_TUPLE)
        return refuse(m, "calls something that is no function");
    if (!strcmp(pair[0]->text, "collections.OrderedDict") && !pair[1]->count)
        return push(m, new_value(m, PICKLE_DICT));
    struct pickle_value *value = new_value(m, PICKLE_CALL);
    add_items(value, pair, 2);
    return push(m, value);
}

/* Attributes, of an OrderedDict: state_dict() hangs _metadata there, which tensors do not need. */
static int op_build(struct machine *m)
{
    struct pickle_value *state, *object;
    return pop(m, &state) || peek(m, PICKLE_DICT, &object) ? -1 : 0;
}

static int put(struct machine *m, size_t size_of_index)
{
    uint64_t index;
    if (take_number(m, size_of_index, &index))
        return -1;
    if (!m->count || !m->stack[m->count - 1])
        return refuse(m, "keeps a value that is not there");
    if (index >= m->at) /* pickles number from 0 up, so an index never passes the bytes before it: memory stays in bounds */
        return refuse(m, "a memo index is out of bounds");
    m->memo = grow(m->memo, &m->memo_capacity, index + 1, sizeof *m->memo);
    for (; m->memo_size <= index; m->memo_size++)
        m->memo[m->memo_size] = NULL;
    m->memo[index] = m->stack[m->count - 1];
    return 0;
}

static int op_put1(struct machine *m)
{
    return put(m, 1);
}

static int op_put4(struct machine *m)
{
    return put(m, 4);
}

static int get(struct machine *m, size_t size_of_index)
{
    uint64_t index;
    if (take_number(m, size_of_index, &index))
        return -1;
    if (index >= m->memo_size || !m->memo[index])
        return refuse(m, "a memo index is out of bounds");
    return push(m, m->memo[index]);
}

static int op_get1(struct machine *m)
{
    return get(m, 1);
}

static int op_get4(struct machine *m)
{
    return get(m, 4);
}

static int op_persistent(struct machine *m)
{
    struct pickle_value *id, *value;
    if (pop(m, &id))
        return -1;
    value = new_value(m, PICKLE_PERSISTENT);
    add_items(value, &id, 1);
    struct pickle *p = m->pickle;
    p->persistent = grow(p->persistent, &p->persistent_capacity, p->persistent_count + 1, sizeof(struct pickle_value *));
    p->persistent[p->persistent_count++] = value;
    return push(m, value);
}

static int (*const opcodes[256])(struct machine *m) = {
    [0x80] = op_protocol,  ['.'] = op_stop,     ['('] = op_mark,    ['N'] = op_none,       [0x88] = op_true,
    [0x89] = op_false,     ['J'] = op_int,      ['K'] = op_int1,    ['M'] = op_int2,       [0x8a] = op_long1,
    ['G'] = op_real,       ['X'] = op_string,   ['T'] = op_string,  ['U'] = op_short_text, [')'] = op_empty_tuple,
    [0x85] = op_tuple1,    [0x86] = op_tuple2,  [0x87] = op_tuple3, ['t'] = op_tuple,      [']'] = op_empty_list,
    ['}'] = op_empty_dict, ['a'] = op_append,   ['e'] = op_appends, ['s'] = op_set_item,   ['u'] = op_set_items,
    ['c'] = op_global,     ['i'] = op_instance, ['R'] = op_reduce,  ['b'] = op_build,      ['q'] = op_put1,
    ['r'] = op_put4,       ['h'] = op_get1,     ['j'] = op_get4,    ['Q'] = op_persistent,
};

static int run(struct machine *m)
{
    while (!m->stopped) {
        const uint8_t *opcode;
        m->opcode_at = m->at;
        if (take(m, 1, &opcode))
            return -1;
        if (!opcodes[*opcode])
            return error_set(
                m->e, ERROR_DATA,
                "%s: pickle, byte %zu: opcode 0x%02x is no part of a file of tensors; the file is damaged or not one", m->place,
                m->opcode_at, *opcode);
        if (opcodes[*opcode](m))
            return -1;
    }
    return 0;
}

int pickle_read(struct pickle **ret, const void *bytes, size_t size, const char *const *allowed, const char *place, size_t *used,
                struct error *e)
{
    struct pickle *p = allocate(1, sizeof *p);
    struct machine m = {bytes, size < PICKLE_LIMIT ? size : PICKLE_LIMIT, .allowed = allowed, .place = place, .pickle = p,
                        .e = e};
    int result = run(&m);
    free(m.stack);
    free(m.memo);
    if (result) {
        pickle_destroy(&p);
        return -1;
    }
    if (used)
        *used = m.at;
    *ret = p;
    return 0;
}

void pickle_destroy(struct pickle **pickle)
{
    struct pickle *p = pickle ? *pickle : NULL;
    if (!p)
        return;
    while (p->chunks) {
        struct chunk *chunk = p->chunks;
        p->chunks = chunk->next;
        for (size_t i = 0; i < chunk->used; i++)
            free(chunk->values[i].items);
        free(chunk);
    }
    free(p->persistent);
    free(p);
    *pickle = NULL;
}

const struct pickle_value *pickle_root(const struct pickle *p)
{
    return p->root;
}

size_t pickle_persistent_count(const struct pickle *p)
{
    return p->persistent_count;
}

const struct pickle_value *pickle_persistent(const struct pickle *p, size_t i)
{
    return p->persistent[i];
}

bool pickle_text_is(const struct pickle_value *v, enum pickle_type type, const char *text)
{
    return v->type == type && v->size == strlen(text) && !memcmp(v->text, text, v->size);
}
