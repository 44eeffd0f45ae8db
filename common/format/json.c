/* Owns JSON documents: what is accepted, the tree, what is printed. cJSON builds; the scan before it refuses what cJSON lets
 * through (RFC 8259: trailing text, 01, 1., control characters, bad UTF-8, lone surrogates), and knows the place. */
#include "common/format/json.h"

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"

#include <cjson/cJSON.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEPTH = 64,
    NUMBER_SIZE = 63,  /* cJSON cuts longer numbers */
    SMALL_OBJECT = 16, /* members that are found faster one by one than by the index */
};

struct json {
    enum json_type type;
    char *key; /* in an object */
    double number;
    bool boolean;
    char *text;
    struct json **items; /* members or elements, in order */
    size_t count, capacity;
    struct json **sorted; /* by key; only in objects of more than SMALL_OBJECT members */
    size_t sorted_capacity;
};

/* ---- scan ---- */

struct scan {
    const char *text, *at, *end;
    const char *place;
    size_t first_line;
    bool lenient;            /* NaN and infinities are null */
    struct buffer rewritten; /* the text up to `copied`, if anything had to be replaced for cJSON */
    const char *copied;
    size_t keys, wanted_key; /* keys met; the scan ends at number wanted_key (from 1) */
    struct error *e;
};

static bool is_utf8_tail(const unsigned char *p, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if ((p[i] & 0xc0) != 0x80)
            return false;
    return true;
}

/* Bytes of the well-formed character at p (Unicode table 3-7), or 0. */
static size_t utf8_size(const char *text, const char *end)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t left = (size_t)(end - text);
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf && left >= 2 && is_utf8_tail(p + 1, 1))
        return 2;
    if (p[0] >= 0xe0 && p[0] <= 0xef && left >= 3 && is_utf8_tail(p + 1, 2))
        return (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ? 0 : 3;
    if (p[0] >= 0xf0 && p[0] <= 0xf4 && left >= 4 && is_utf8_tail(p + 1, 3))
        return (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f) ? 0 : 4;
    return 0;
}

/* The place is counted only now: errors are rare and rows are many. Columns are characters. */
static int refuse(struct scan *s, const char *at, const char *what)
{
    size_t line = s->first_line, column = 1;
    for (const char *p = s->text; p < at; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*p & 0xc0) != 0x80) {
            column++;
        }
    }
    return error_set(s->e, ERROR_DATA, "%s:%zu:%zu: %s", s->place, line, column, what);
}

static void skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
        s->at++;
}

/* True if one of the 8 bytes is a quote, a backslash, a control character or not ASCII. */
static inline bool needs_care(uint64_t w)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t quote = w ^ ones * '"', backslash = w ^ ones * '\\';
    return ((w | (w - ones * 0x20) | (quote - ones) | (backslash - ones)) & highs) != 0;
}

static int hexadecimal(const char *p, const char *end, unsigned *ret)
{
    if (end - p < 4)
        return -1;
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdef", *digit = p[i] ? strchr(digits, p[i] | 0x20) : NULL;
        if (!digit || (p[i] >= 0x10 && p[i] < 0x20))
            return -1;
        value = value << 4 | (unsigned)(digit - digits);
    }
    *ret = value;
    return 0;
}

/* \uXXXX, or the pair of them that stands for one character. */
static int scan_unicode_escape(struct scan *s)
{
    unsigned high, low;
    if (hexadecimal(s->at + 2, s->end, &high))
        return refuse(s, s->at, "\\u needs four hexadecimal digits");
    if (!high)
        return refuse(s, s->at, "\\u0000 is not accepted in a text");
    if (high >= 0xdc00 && high <= 0xdfff)
        return refuse(s, s->at, "half of a surrogate pair; write both halves");
    size_t size = 6;
    if (high >= 0xd800 && high <= 0xdbff) {
        const char *second = s->at + 6;
        if (s->end - second < 6 || second[0] != '\\' || second[1] != 'u' || hexadecimal(second + 2, s->end, &low) ||
            low < 0xdc00 || low > 0xdfff)
            return refuse(s, s->at, "half of a surrogate pair; write both halves");
        size = 12;
    }
    s->at += size;
    return 0;
}

static int scan_escape(struct scan *s)
{
    char c = s->end - s->at > 1 ? s->at[1] : 0;
    if (c == 'u')
        return scan_unicode_escape(s);
    if (!c || !strchr("\"\\/bfnrt", c))
        return refuse(s, s->at, "unknown escape in a text; a backslash is written \\\\");
    s->at += 2;
    return 0;
}

static int scan_text(struct scan *s)
{
    const char *start = s->at++;
    while (s->at < s->end) {
        uint64_t word;
        while (s->end - s->at >= 8 && (memcpy(&word, s->at, 8), !needs_care(word)))
            s->at += 8;
        if (s->at == s->end)
            break;
        unsigned char c = (unsigned char)*s->at;
        if (c == '"') {
            s->at++;
            return 0;
        }
        if (c == '\\') {
            if (scan_escape(s))
                return -1;
            continue;
        }
        size_t size = utf8_size(s->at, s->end);
        if (!size)
            return refuse(s, s->at, "not valid UTF-8; convert the file to UTF-8");
        if (c < 0x20)
            return refuse(s, s->at, c == '\n' ? "the text is not closed on its line" : "control character in a text; escape it");
        s->at += size;
    }
    return refuse(s, start, "the text that starts here is never closed");
}

static bool is_digit(const char *p, const char *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

static const char *skip_digits(const char *p, const char *end)
{
    while (is_digit(p, end))
        p++;
    return p;
}

/* cJSON knows no NaN: it is handed a copy of the text with null in its place. */
static void replace_by_null(struct scan *s, const char *end)
{
    buffer_append(&s->rewritten, s->copied, (size_t)(s->at - s->copied));
    buffer_text(&s->rewritten, "null");
    s->at = s->copied = end;
}

static int scan_number(struct scan *s)
{
    const char *p = s->at;
    if (*p == '-')
        p++;
    if (!is_digit(p, s->end))
        return refuse(s, s->at, "not a value");
    if (*p == '0' && is_digit(p + 1, s->end))
        return refuse(s, s->at, "a number does not start with 0");
    p = skip_digits(p, s->end);
    if (p < s->end && *p == '.') {
        if (!is_digit(++p, s->end))
            return refuse(s, s->at, "a number needs digits behind its point");
        p = skip_digits(p, s->end);
    }
    bool exponent = p < s->end && (*p == 'e' || *p == 'E');
    if (exponent) {
        p++;
        if (p < s->end && (*p == '+' || *p == '-'))
            p++;
        if (!is_digit(p, s->end))
            return refuse(s, s->at, "a number needs digits in its exponent");
        p = skip_digits(p, s->end);
    }
    size_t size = (size_t)(p - s->at);
    if (size > NUMBER_SIZE)
        return refuse(s, s->at, "a number of more than 63 characters; write it as a text");
    char number[NUMBER_SIZE + 1] = {0};
    memcpy(number, s->at, size);
    if (!exponent || isfinite(strtod(number, NULL))) /* 63 digits alone are finite */
        s->at = p;
    else if (s->lenient)
        replace_by_null(s, p);
    else
        return refuse(s, s->at, "the number is out of range");
    return 0;
}

static bool starts_with(const struct scan *s, const char *word)
{
    size_t size = strlen(word);
    return (size_t)(s->end - s->at) >= size && !memcmp(s->at, word, size);
}

static int scan_word(struct scan *s)
{
    static const struct {
        const char *word;
        bool standard;
    } words[] = {{"true", true}, {"false", true}, {"null", true}, {"NaN", false}, {"Infinity", false}, {"-Infinity", false}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!starts_with(s, words[i].word))
            continue;
        const char *end = s->at + strlen(words[i].word);
        if (words[i].standard)
            s->at = end;
        else if (s->lenient)
            replace_by_null(s, end);
        else
            return refuse(s, s->at, "NaN and Infinity are not JSON; use null or a number");
        return 0;
    }
    if (*s->at == '-' || is_digit(s->at, s->end))
        return scan_number(s);
    return refuse(s, s->at, strchr(",]}:", *s->at) ? "a value is missing here" : "not a value; a text stands in quotes");
}

static int scan_value(struct scan *s, int depth);

static int scan_key(struct scan *s)
{
    skip_space(s);
    if (s->at == s->end || *s->at != '"')
        return refuse(s, s->at, "a key in quotes is missing here");
    if (++s->keys == s->wanted_key)
        return 1;
    if (scan_text(s))
        return -1;
    skip_space(s);
    if (s->at == s->end || *s->at != ':')
        return refuse(s, s->at, "a colon is missing behind the key");
    s->at++;
    return 0;
}

static int scan_container(struct scan *s, int depth)
{
    const char *start = s->at++;
    bool object = *start == '{';
    char close = object ? '}' : ']';
    if (depth == DEPTH)
        return refuse(s, start, "nested more than 64 deep");
    skip_space(s);
    if (s->at < s->end && *s->at == close) {
        s->at++;
        return 0;
    }
    for (;;) {
        int result = object ? scan_key(s) : 0;
        if (result || (result = scan_value(s, depth + 1)))
            return result;
        skip_space(s);
        if (s->at == s->end)
            return refuse(s, start,
                          object ? "the object that starts here is never closed" : "the list that starts here is never closed");
        char c = *s->at++;
        if (c == close)
            return 0;
        if (c != ',')
            return refuse(s, s->at - 1, object ? "a comma or } is missing here" : "a comma or ] is missing here");
    }
}

/* 0, -1 with the error set, or 1 at the wanted key. */
static int scan_value(struct scan *s, int depth)
{
    skip_space(s);
    if (s->at == s->end)
        return refuse(s, s->at, "a value is missing here");
    if (*s->at == '{' || *s->at == '[')
        return scan_container(s, depth);
    return *s->at == '"' ? scan_text(s) : scan_word(s);
}

static int scan_document(struct scan *s)
{
    skip_space(s);
    if (s->at == s->end)
        return refuse(s, s->at, "is empty");
    int result = scan_value(s, 0);
    if (result)
        return result;
    skip_space(s);
    return s->at == s->end ? 0 : refuse(s, s->at, "text after the end of the value");
}

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

/* Takes over the texts of `c`, so that the cJSON tree can be deleted and no text is copied. */
static struct json *adopt(cJSON *c)
{
    static const struct {
        int theirs;
        enum json_type ours;
    } types[] = {{cJSON_False, JSON_BOOLEAN}, {cJSON_True, JSON_BOOLEAN}, {cJSON_Number, JSON_NUMBER},
                 {cJSON_String, JSON_TEXT},   {cJSON_Array, JSON_ARRAY},  {cJSON_Object, JSON_OBJECT}};
    struct json *j = create(JSON_NULL);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if ((c->type & 0xff) == types[i].theirs)
            j->type = types[i].ours;
    j->boolean = cJSON_IsTrue(c);
    j->number = j->type == JSON_NUMBER ? c->valuedouble : 0;
    j->key = c->string;
    j->text = c->valuestring;
    c->string = c->valuestring = NULL;
    for (cJSON *child = c->child; child; child = child->next)
        push(j, adopt(child));
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
    char *what = format_text("the key \"%.200s\" stands twice in its object", member->key);
    refuse(&again, again.at, what);
    free(what);
    return -1;
}

static int build(struct json **ret, struct scan *s)
{
    if (s->rewritten.data)
        buffer_append(&s->rewritten, s->copied, (size_t)(s->end - s->copied));
    bool whole = !s->rewritten.data;
    cJSON *tree =
        cJSON_ParseWithLength(whole ? s->text : s->rewritten.data, whole ? (size_t)(s->end - s->text) : s->rewritten.size);
    if (!tree)
        return error_set(s->e, ERROR_FAILED, "%s: memory ran out while reading", s->place);
    struct json *root = adopt(tree);
    cJSON_Delete(tree);
    const struct json *repeated = find_repeated(root);
    if (repeated) {
        refuse_repeated(root, repeated, s);
        json_destroy(&root);
        return -1;
    }
    *ret = root;
    return 0;
}

static int parse(struct json **ret, const char *text, size_t size, const char *place, size_t line, bool lenient, struct error *e)
{
    if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
        text += 3;
        size -= 3;
    }
    struct scan s = {.text = text,
                     .at = text,
                     .end = text + size,
                     .place = place,
                     .first_line = line,
                     .lenient = lenient,
                     .copied = text,
                     .e = e};
    int result = scan_document(&s);
    if (!result)
        result = build(ret, &s);
    buffer_free(&s.rewritten);
    return result;
}

int json_parse(struct json **ret, const char *text, size_t size, const char *place, struct error *e)
{
    return parse(ret, text, size, place, 1, false, e);
}

int json_parse_line(struct json **ret, const char *text, size_t size, const char *place, size_t line, struct error *e)
{
    return parse(ret, text, size, place, line, true, e);
}

int json_read(struct json **ret, const char *path, struct error *e)
{
    char *text;
    size_t size;
    if (file_read(&text, &size, path, e))
        return -1;
    int result = json_parse(ret, text, size, path, e);
    free(text);
    return result;
}

/* ---- reading a tree ---- */

enum json_type json_type(const struct json *j)
{
    return j ? j->type : JSON_NULL;
}

const char *json_type_name(enum json_type type)
{
    static const char *const names[] = {"null", "true or false", "a number", "a text", "a list", "an object"};
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

double json_number(const struct json *j)
{
    return j ? j->number : 0;
}

bool json_boolean(const struct json *j)
{
    return j && j->boolean;
}

const char *json_text(const struct json *j)
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
        size_t size = utf8_size(p, end);
        buffer_append(&b, size ? p : "\xef\xbf\xbd", size ? size : 3);
        p += size ? size : 1;
    }
    return b.data;
}

struct json *json_of_text(const char *text)
{
    struct json *j = create(text ? JSON_TEXT : JSON_NULL);
    j->text = text ? valid_utf8(text) : NULL;
    return j;
}

struct json *json_of_number(double value)
{
    struct json *j = create(isfinite(value) ? JSON_NUMBER : JSON_NULL);
    j->number = isfinite(value) ? value : 0;
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

void json_set_text(struct json *object, const char *key, const char *text)
{
    json_set(object, key, json_of_text(text));
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

static void print_number(struct buffer *b, double value)
{
    if (fabs(value) <= 9007199254740992.0 && value == floor(value)) {
        buffer_printf(b, "%.0f", value);
        return;
    }
    char text[32];
    /* 15 digits always survive, so fewer need no trying, but for numbers that have fewer bits than others */
    int digits = fabs(value) < DBL_MIN ? 1 : DBL_DIG;
    do {
        snprintf(text, sizeof text, "%.*g", digits, value);
    } while (digits++ < 17 && strtod(text, NULL) != value);
    buffer_text(b, text);
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
        print_number(b, j->number);
    else if (j->type == JSON_TEXT)
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
    char *text = json_print(j, true), *lines = format_text("%s\n", text);
    int result = file_write(path, lines, strlen(lines), e);
    free(lines);
    free(text);
    return result;
}
