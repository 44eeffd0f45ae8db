/* SPDX-License-Identifier: Apache-2.0 */
/* JSON documents: the tree, what is printed. json_scan.c says what is accepted; cJSON builds. */
#include "common/json/json.h"

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/json/json_scan.h"

#include <cjson/cJSON.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL_OBJECT = 16 /* members that are found faster one by one than by the index */ };

struct json {
    enum json_type type;
    char *key; /* in an object */
    double number;
    bool is_float; /* prints with a point */
    bool boolean;
    char *text;
    struct json **items; /* members or elements, in order */
    size_t count, capacity;
    struct json **sorted; /* by key; only in objects of more than SMALL_OBJECT members */
    size_t sorted_capacity;
};

/* ---- tree ---- */

static struct json *create(enum json_type type)
{
    struct json *j = allocate(1, sizeof *j);
    j->type = type;
    return j;
}

void json_destroy(struct json **node)
{
    struct json *j = node ? *node : NULL;
    if (!j)
        return;
    for (size_t i = 0; i < j->count; i++)
        json_destroy(&j->items[i]);
    free(j->items);
    free(j->sorted);
    free(j->key);
    free(j->text);
    free(j);
    *node = NULL;
}

static void push(struct json *parent, struct json *child)
{
    parent->items = grow(parent->items, &parent->capacity, parent->count + 1, sizeof *parent->items);
    parent->items[parent->count++] = child;
}

/* The numbers of a text, in order, as they are adopted. */
struct numbers {
    const struct scan *s;
    size_t met, next; /* next: in s->floats */
};

static bool next_is_float(struct numbers *n)
{
    bool found = n->next < n->s->float_count && n->s->floats[n->next] == n->met;
    n->met++;
    n->next += found;
    return found;
}

/* Takes over the texts of `c`, so that the cJSON tree can be deleted and no text is copied. */
static struct json *adopt(cJSON *c, struct numbers *numbers)
{
    static const struct {
        int theirs;
        enum json_type ours;
    } types[] = {{cJSON_False, JSON_BOOLEAN}, {cJSON_True, JSON_BOOLEAN}, {cJSON_Number, JSON_NUMBER},
                 {cJSON_String, JSON_STRING}, {cJSON_Array, JSON_ARRAY},  {cJSON_Object, JSON_OBJECT}};
    struct json *j = create(JSON_NULL);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if ((c->type & 0xff) == types[i].theirs)
            j->type = types[i].ours;
    j->boolean = cJSON_IsTrue(c);
    if (j->type == JSON_NUMBER) {
        j->number = c->valuedouble;
        j->is_float = next_is_float(numbers);
    }
    j->key = c->string;
    j->text = c->valuestring;
    c->string = c->valuestring = NULL;
    for (cJSON *child = c->child; child; child = child->next)
        push(j, adopt(child, numbers));
    return j;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp((*(struct json *const *)a)->key, (*(struct json *const *)b)->key);
}

static void sort_members(struct json *object)
{
    if (object->count <= SMALL_OBJECT)
        return;
    object->sorted = grow(object->sorted, &object->sorted_capacity, object->count, sizeof *object->sorted);
    memcpy(object->sorted, object->items, object->count * sizeof *object->items);
    qsort(object->sorted, object->count, sizeof *object->sorted, compare_keys);
}

/* The last member of `object` that has this key; there is one. */
static const struct json *last_of_key(const struct json *object, const struct json *member)
{
    size_t i = object->count;
    do {
        i--;
    } while (compare_keys(&object->items[i], &member));
    return object->items[i];
}

/* A member of `object` whose key an earlier member has too, or NULL. */
static const struct json *repeated_member(const struct json *object)
{
    if (object->sorted) {
        for (size_t i = 1; i < object->count; i++)
            if (!compare_keys(&object->sorted[i - 1], &object->sorted[i]))
                return last_of_key(object, object->sorted[i]);
        return NULL;
    }
    for (size_t i = 1; i < object->count; i++)
        for (size_t k = 0; k < i; k++)
            if (!compare_keys(&object->items[i], &object->items[k]))
                return object->items[i];
    return NULL;
}

static const struct json *find_repeated(struct json *j)
{
    const struct json *found = NULL;
    if (j->type == JSON_OBJECT) {
        sort_members(j);
        found = repeated_member(j);
    }
    for (size_t i = 0; !found && i < j->count; i++)
        found = find_repeated(j->items[i]);
    return found;
}

/* Which key of the text `member` is, from 1: keys are met in the order of the tree. */
static bool count_keys(const struct json *j, const struct json *member, size_t *count)
{
    for (size_t i = 0; i < j->count; i++) {
        *count += j->items[i]->key != NULL;
        if (j->items[i] == member || count_keys(j->items[i], member, count))
            return true;
    }
    return false;
}

static int refuse_repeated(const struct json *root, const struct json *member, const struct scan *first)
{
    struct scan again = {.text = first->text,
                         .at = first->text,
                         .end = first->end,
                         .place = first->place,
                         .first_line = first->first_line,
                         .lenient = first->lenient,
                         .copied = first->text,
                         .e = first->e};
    count_keys(root, member, &again.wanted_key);
    scan_document(&again);
    buffer_free(&again.rewritten);
    char *what = format_string("the key \"%.200s\" appears twice in its object", member->key);
    scan_refuse(&again, again.at, what);
    free(what);
    return -1;
}

struct place {
    struct json *item;
    size_t at; /* in items */
};

static int compare_places(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    int order = strcmp(x->item->key, y->item->key);
    return order ? order : (x->at > y->at) - (x->at < y->at);
}

/* Frees the items of places[first..end), members of one key, but for the last, which takes the place of the first. */
static void keep_last(struct json *object, struct place *places, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++)
        object->items[places[i].at] = NULL;
    object->items[places[first].at] = places[end - 1].item;
    for (size_t i = first; i + 1 < end; i++)
        json_destroy(&places[i].item);
}

static void drop_repeated_members(struct json *object)
{
    size_t count = object->count, kept = 0;
    struct place *places = allocate(count, sizeof *places);
    for (size_t i = 0; i < count; i++)
        places[i] = (struct place){object->items[i], i};
    qsort(places, count, sizeof *places, compare_places);
    for (size_t first = 0, end; first < count; first = end) {
        for (end = first + 1; end < count && !strcmp(places[end].item->key, places[first].item->key);)
            end++;
        keep_last(object, places, first, end);
    }
    free(places);
    for (size_t i = 0; i < count; i++)
        if (object->items[i])
            object->items[kept++] = object->items[i];
    object->count = kept;
    free(object->sorted); /* of the members that were there */
    object->sorted = NULL;
    object->sorted_capacity = 0;
    sort_members(object);
}

/* As Python's dict: the first of equal keys keeps its place and gets the last one's value. Returns how many went. */
static uint64_t drop_repeated(struct json *j)
{
    size_t before = j->count;
    if (j->type == JSON_OBJECT && repeated_member(j))
        drop_repeated_members(j);
    uint64_t dropped = before - j->count;
    for (size_t i = 0; i < j->count; i++)
        dropped += drop_repeated(j->items[i]);
    return dropped;
}

static int build(struct json **ret, struct scan *s, struct json_leniency *met)
{
    if (s->rewritten.data)
        buffer_append(&s->rewritten, s->copied, (size_t)(s->end - s->copied));
    bool whole = !s->rewritten.data;
    cJSON *tree =
        cJSON_ParseWithLength(whole ? s->text : s->rewritten.data, whole ? (size_t)(s->end - s->text) : s->rewritten.size);
    if (!tree)
        return error_set(s->e, ERROR_FAILED, "%s: out of memory while reading", s->place);
    struct json *root = adopt(tree, &(struct numbers){.s = s});
    cJSON_Delete(tree);
    const struct json *repeated = find_repeated(root);
    if (repeated && met) {
        met->repeated_keys += drop_repeated(root);
    } else if (repeated) {
        refuse_repeated(root, repeated, s);
        json_destroy(&root);
        return -1;
    }
    *ret = root;
    return 0;
}

/* `s` has the text and how it is read. */
static int parse(struct json **ret, struct scan s, struct json_leniency *met)
{
    if (s.end - s.text >= 3 && !memcmp(s.text, "\xef\xbb\xbf", 3))
        s.text += 3;
    s.at = s.copied = s.text;
    s.lenient = met != NULL;
    int result = scan_document(&s);
    if (!result)
        result = build(ret, &s, met);
    if (!result && met) {
        met->nuls += s.nuls;
        met->surrogates += s.surrogates;
        met->nans += s.nans;
    }
    buffer_free(&s.rewritten);
    free(s.floats);
    return result;
}

int json_parse(struct json **ret, const char *text, size_t size, const char *place, struct error *e)
{
    return parse(ret, (struct scan){.text = text, .end = text + size, .place = place, .first_line = 1, .e = e}, NULL);
}

int json_parse_rows(struct json **ret, const char *text, size_t size, const char *place, size_t line, struct json_leniency *met,
                    struct error *e)
{
    return parse(ret, (struct scan){.text = text, .end = text + size, .place = place, .first_line = line, .e = e}, met);
}

static int read_file(struct json **ret, const char *path, bool as_written, struct error *e)
{
    char *text;
    size_t size;
    if (file_read(&text, &size, path, e))
        return -1;
    int result = parse(
        ret, (struct scan){.text = text, .end = text + size, .place = path, .first_line = 1, .as_written = as_written, .e = e},
        NULL);
    free(text);
    return result;
}

int json_read(struct json **ret, const char *path, struct error *e)
{
    return read_file(ret, path, false, e);
}

int json_read_as_written(struct json **ret, const char *path, struct error *e)
{
    return read_file(ret, path, true, e);
}

/* ---- reading a tree ---- */

enum json_type json_type(const struct json *j)
{
    return j ? j->type : JSON_NULL;
}

const char *json_type_name(enum json_type type)
{
    static const char *const names[] = {"null", "true or false", "a number", "a string", "a list", "an object"};
    return names[type];
}

size_t json_size(const struct json *j)
{
    return j ? j->count : 0;
}

const struct json *json_at(const struct json *j, size_t i)
{
    return j && i < j->count ? j->items[i] : NULL;
}

const char *json_key(const struct json *object, size_t i)
{
    return object && i < object->count ? object->items[i]->key : NULL;
}

/* Where `key` stands or would stand in `sorted`. */
static size_t sorted_place(const struct json *object, const char *key)
{
    size_t low = 0, high = object->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(object->sorted[middle]->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct json *find(const struct json *object, const char *key)
{
    if (!object || object->type != JSON_OBJECT)
        return NULL;
    if (object->sorted) {
        size_t i = sorted_place(object, key);
        return i < object->count && !strcmp(object->sorted[i]->key, key) ? object->sorted[i] : NULL;
    }
    for (size_t i = 0; i < object->count; i++)
        if (!strcmp(object->items[i]->key, key))
            return object->items[i];
    return NULL;
}

const struct json *json_get(const struct json *object, const char *key)
{
    return find(object, key);
}

const struct json *json_given(const struct json *object, const char *key)
{
    const struct json *value = json_get(object, key);
    return json_type(value) == JSON_NULL ? NULL : value;
}

double json_number(const struct json *j)
{
    return j ? j->number : 0;
}

bool json_boolean(const struct json *j)
{
    return j && j->boolean;
}

const char *json_string(const struct json *j)
{
    return j ? j->text : NULL;
}

/* ---- making a tree ---- */

struct json *json_object(void)
{
    return create(JSON_OBJECT);
}

struct json *json_array(void)
{
    return create(JSON_ARRAY);
}

struct json *json_null(void)
{
    return create(JSON_NULL);
}

/* File names and messages of others end up in documents: what is no UTF-8 becomes U+FFFD, so that all we print is JSON. */
static char *valid_utf8(const char *text)
{
    const char *end = text + strlen(text), *p = text;
    struct buffer b = {0};
    buffer_append(&b, "", 0);
    while (p < end) {
        size_t size = scan_character(p, end);
        buffer_append(&b, size ? p : "\xef\xbf\xbd", size ? size : 3);
        p += size ? size : 1;
    }
    return b.data;
}

struct json *json_of_string(const char *text)
{
    struct json *j = create(text ? JSON_STRING : JSON_NULL);
    j->text = text ? valid_utf8(text) : NULL;
    return j;
}

struct json *json_of_number(double value)
{
    struct json *j = create(isfinite(value) ? JSON_NUMBER : JSON_NULL);
    j->number = isfinite(value) ? value : 0;
    return j;
}

struct json *json_of_float(double value)
{
    struct json *j = json_of_number(value);
    j->is_float = true;
    return j;
}

struct json *json_of_boolean(bool value)
{
    struct json *j = create(JSON_BOOLEAN);
    j->boolean = value;
    return j;
}

struct json *json_copy(const struct json *j)
{
    struct json *copy = create(j->type);
    copy->number = j->number;
    copy->is_float = j->is_float;
    copy->boolean = j->boolean;
    copy->text = duplicate(j->text);
    for (size_t i = 0; i < j->count; i++) {
        struct json *child = json_copy(j->items[i]);
        child->key = duplicate(j->items[i]->key);
        push(copy, child);
    }
    if (copy->type == JSON_OBJECT)
        sort_members(copy);
    return copy;
}

/* `value` takes the place of `old`, whose node stays, since the index and the order point at it. */
static struct json *replace(struct json *old, struct json *value)
{
    struct json freed = *old;
    char *key = old->key;
    *old = *value;
    old->key = key;
    freed.key = NULL;
    *value = freed;
    json_destroy(&value);
    return old;
}

struct json *json_set(struct json *object, const char *key, struct json *value)
{
    char *valid = valid_utf8(key);
    struct json *old = find(object, valid);
    if (old) {
        free(valid);
        return replace(old, value);
    }
    value->key = valid;
    if (object->sorted) {
        size_t i = sorted_place(object, value->key);
        object->sorted = grow(object->sorted, &object->sorted_capacity, object->count + 1, sizeof *object->sorted);
        memmove(object->sorted + i + 1, object->sorted + i, (object->count - i) * sizeof *object->sorted);
        object->sorted[i] = value;
    }
    push(object, value);
    if (!object->sorted)
        sort_members(object);
    return value;
}

struct json *json_append(struct json *array, struct json *value)
{
    push(array, value);
    return value;
}

void json_set_string(struct json *object, const char *key, const char *text)
{
    json_set(object, key, json_of_string(text));
}

void json_set_number(struct json *object, const char *key, double value)
{
    json_set(object, key, json_of_number(value));
}

void json_set_boolean(struct json *object, const char *key, bool value)
{
    json_set(object, key, json_of_boolean(value));
}

/* ---- printing ---- */

static void print_number(struct buffer *b, double value, bool is_float)
{
    if (fabs(value) <= 9007199254740992.0 && value == floor(value)) {
        buffer_printf(b, "%.*f", is_float, value);
        return;
    }
    char text[32];
    /* 15 digits always survive, so fewer need no trying, but for numbers that have fewer bits than others */
    int digits = fabs(value) < DBL_MIN ? 1 : DBL_DIG;
    do {
        snprintf(text, sizeof text, "%.*g", digits, value);
    } while (digits++ < 17 && strtod(text, NULL) != value);
    buffer_text(b, text);
    if (is_float && !strpbrk(text, ".e"))
        buffer_text(b, ".0");
}

static void print_text(struct buffer *b, const char *text)
{
    static const char letters[] = "btnvfr"; /* of the control characters from 8; \v is not JSON */
    buffer_append(b, "\"", 1);
    for (const char *p = text; *p;) {
        size_t plain = 0;
        while ((unsigned char)p[plain] >= 0x20 && p[plain] != '"' && p[plain] != '\\')
            plain++;
        buffer_append(b, p, plain);
        p += plain;
        if (!*p)
            break;
        if (*p >= 0x20)
            buffer_printf(b, "\\%c", *p);
        else if (*p >= 8 && *p <= 13 && *p != 11)
            buffer_printf(b, "\\%c", letters[*p - 8]);
        else
            buffer_printf(b, "\\u%04x", *p);
        p++;
    }
    buffer_append(b, "\"", 1);
}

static void new_line(struct buffer *b, int indent)
{
    buffer_printf(b, "\n%*s", indent * 2, "");
}

static void print_value(struct buffer *b, const struct json *j, bool pretty, int depth);

static void print_container(struct buffer *b, const struct json *j, bool pretty, int depth)
{
    bool object = j->type == JSON_OBJECT;
    buffer_text(b, object ? "{" : "[");
    for (size_t i = 0; i < j->count; i++) {
        if (i)
            buffer_text(b, pretty ? "," : ", ");
        if (pretty)
            new_line(b, depth + 1);
        if (object) {
            print_text(b, j->items[i]->key);
            buffer_text(b, ": ");
        }
        print_value(b, j->items[i], pretty, depth + 1);
    }
    if (pretty && j->count)
        new_line(b, depth);
    buffer_text(b, object ? "}" : "]");
}

static void print_value(struct buffer *b, const struct json *j, bool pretty, int depth)
{
    if (j->type == JSON_NULL)
        buffer_text(b, "null");
    else if (j->type == JSON_BOOLEAN)
        buffer_text(b, j->boolean ? "true" : "false");
    else if (j->type == JSON_NUMBER)
        print_number(b, j->number, j->is_float);
    else if (j->type == JSON_STRING)
        print_text(b, j->text);
    else
        print_container(b, j, pretty, depth);
}

char *json_print(const struct json *j, bool pretty)
{
    struct buffer b = {0};
    print_value(&b, j, pretty, 0);
    return b.data;
}

int json_write(const char *path, const struct json *j, struct error *e)
{
    char *text = json_print(j, true), *lines = format_string("%s\n", text);
    int result = file_write(path, lines, strlen(lines), e);
    free(lines);
    free(text);
    return result;
}
