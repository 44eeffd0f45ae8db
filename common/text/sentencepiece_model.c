/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/sentencepiece_model.h"

#include "common/base/base64.h"
#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/text/unigram.h"
#include "common/text/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WORDS 16000000
#define SPACE "\xE2\x96\x81" /* U+2581 */

/* Kinds of words, and of models. */
enum { WORD_NORMAL = 1, WORD_CONTROL = 3, WORD_USER_DEFINED = 4 };
enum { MODEL_UNIGRAM = 1, MODEL_BPE, MODEL_WORD, MODEL_CHAR };

struct word {
    const uint8_t *text; /* in the file */
    size_t size;
    float score;
    uint64_t kind;
};

struct model {
    struct word *words;
    size_t count, capacity;
    uint64_t type, unknown;
    const uint8_t *map; /* precompiled_charsmap, in the file */
    size_t map_size;
};

/* Protobuf: fields of a number and one of four wire types. */

struct span {
    const uint8_t *at, *end;
};

struct field {
    uint64_t number;
    unsigned wire;
    uint64_t value;    /* varint, or the bits of a fixed number */
    struct span bytes; /* wire type 2 */
};

static bool read_varint(struct span *s, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; s->at < s->end && shift < 64; shift += 7) {
        uint8_t byte = *s->at++;
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

static bool read_fixed(struct span *s, size_t size, uint64_t *value)
{
    *value = 0;
    if ((size_t)(s->end - s->at) < size)
        return false;
    memcpy(value, s->at, size);
    s->at += size;
    return true;
}

static bool read_field(struct span *s, struct field *f)
{
    uint64_t tag;
    if (!read_varint(s, &tag))
        return false;
    *f = (struct field){.number = tag >> 3, .wire = tag & 7};
    switch (f->wire) {
    case 0:
        return read_varint(s, &f->value);
    case 1:
        return read_fixed(s, 8, &f->value);
    case 5:
        return read_fixed(s, 4, &f->value);
    case 2:
        if (!read_varint(s, &f->value) || f->value > (uint64_t)(s->end - s->at))
            return false;
        f->bytes = (struct span){s->at, s->at + f->value};
        s->at += f->value;
        return true;
    default:
        return false;
    }
}

static bool read_word(struct model *m, struct span s)
{
    struct word w = {.kind = WORD_NORMAL};
    struct field f;
    while (s.at < s.end) {
        if (!read_field(&s, &f))
            return false;
        if (f.number == 1 && f.wire == 2) {
            w.text = f.bytes.at;
            w.size = (size_t)(f.bytes.end - f.bytes.at);
        } else if (f.number == 2 && f.wire == 5) {
            uint32_t bits = (uint32_t)f.value;
            memcpy(&w.score, &bits, sizeof w.score);
        } else if (f.number == 3 && f.wire == 0) {
            w.kind = f.value;
        }
    }
    if (m->count == MAX_WORDS || !isfinite(w.score) || (w.size && (!utf8_is_valid(w.text, w.size) || memchr(w.text, 0, w.size))))
        return false;
    m->words = grow(m->words, &m->capacity, m->count + 1, sizeof *m->words);
    m->words[m->count++] = w;
    return true;
}

static bool read_trainer(struct model *m, struct span s)
{
    struct field f;
    while (s.at < s.end) {
        if (!read_field(&s, &f))
            return false;
        if (f.number == 3 && f.wire == 0)
            m->type = f.value;
        else if (f.number == 40 && f.wire == 0)
            m->unknown = f.value;
    }
    return true;
}

static bool read_normalizer(struct model *m, struct span s)
{
    struct field f;
    while (s.at < s.end) {
        if (!read_field(&s, &f))
            return false;
        if (f.number == 2 && f.wire == 2) {
            m->map = f.bytes.at;
            m->map_size = (size_t)(f.bytes.end - f.bytes.at);
        }
    }
    return true;
}

static int read_model(struct model *m, struct span s, const char *path, struct error *e)
{
    const uint8_t *start = s.at;
    *m = (struct model){.type = MODEL_UNIGRAM};
    while (s.at < s.end) {
        const uint8_t *at = s.at;
        struct field f;
        bool good = read_field(&s, &f);
        if (good && f.wire == 2)
            good = f.number == 1   ? read_word(m, f.bytes)
                   : f.number == 2 ? read_trainer(m, f.bytes)
                   : f.number == 3 ? read_normalizer(m, f.bytes)
                                   : true;
        if (!good)
            return error_set(e, ERROR_DATA, "%s: cut or broken at byte %zu; is this a sentencepiece model?", path,
                             (size_t)(at - start));
    }
    return 0;
}

static int check_model(const struct model *m, struct sentencepiece_options options, const char *path, struct error *e)
{
    static const char *const types[] = {[MODEL_BPE] = "BPE", [MODEL_WORD] = "word", [MODEL_CHAR] = "character"};
    size_t least = options.family == SENTENCEPIECE_XLM ? 3 : 1; /* <unk> <s> </s> */
    if (m->type != MODEL_UNIGRAM)
        return error_set(e, ERROR_USAGE,
                         "%s: it is a %s model of sentencepiece, and only Unigram is supported; save a tokenizer.json beside it",
                         path, m->type <= MODEL_CHAR && types[m->type] ? types[m->type] : "strange");
    if (m->count < least)
        return error_set(e, ERROR_DATA, "%s: it has %zu words; is this a sentencepiece model?", path, m->count);
    if (options.family == SENTENCEPIECE_DEBERTA && m->unknown >= m->count)
        return error_set(e, ERROR_DATA, "%s: its unknown token %llu is none of its %zu words", path,
                         (unsigned long long)m->unknown, m->count);
    return 0;
}

/* The tokenizer.json. */

/* The number that is read as `score` where it stands in a file (unigram_json_score). */
static double number_of(double score)
{
    double up = score, down = score;
    for (int i = 0; i < 8; i++) {
        if (unigram_json_score(up) == score)
            return up;
        if (unigram_json_score(down) == score)
            return down;
        up = nextafter(up, INFINITY);
        down = nextafter(down, -INFINITY);
    }
    return score;
}

static char *word_text(const struct word *w)
{
    char *text = allocate(w->size + 1, 1);
    if (w->size)
        memcpy(text, w->text, w->size);
    return text;
}

static void add_entry(struct json *vocabulary, const char *text, double score)
{
    struct json *entry = json_append(vocabulary, json_array());
    json_append(entry, json_of_string(text));
    json_append(entry, json_of_number(number_of(score)));
}

static void add_words(struct json *vocabulary, const struct model *m, size_t from)
{
    for (size_t i = from; i < m->count; i++) {
        char *text = word_text(&m->words[i]);
        add_entry(vocabulary, text, m->words[i].score);
        free(text);
    }
}

static const char *const xlm_words[] = {"<s>", "<pad>", "</s>", "<unk>"};

static struct json *model_json(const struct model *m, enum sentencepiece_family family)
{
    bool xlm = family == SENTENCEPIECE_XLM;
    struct json *j = json_object();
    json_set_string(j, "type", "Unigram");
    json_set_number(j, "unk_id", xlm ? 3 : (double)m->unknown);
    struct json *vocabulary = json_set(j, "vocab", json_array());
    for (size_t i = 0; xlm && i < sizeof xlm_words / sizeof *xlm_words; i++)
        add_entry(vocabulary, xlm_words[i], 0);
    add_words(vocabulary, m, xlm ? 3 : 0);
    if (xlm)
        add_entry(vocabulary, "<mask>", 0);
    json_set_boolean(j, "byte_fallback", false);
    return j;
}

static int64_t find_word(const struct json *vocabulary, const char *text)
{
    for (size_t i = json_size(vocabulary); i--;) /* of equal words the last counts */
        if (!strcmp(json_string(json_at(json_at(vocabulary, i), 0)), text))
            return (int64_t)i;
    return -1;
}

struct added_list {
    struct json *list;
    const struct json *vocabulary;
    size_t next; /* id of a token that is no word */
};

static void add_token(struct added_list *a, const char *text, bool special, bool left, bool normalized)
{
    for (size_t i = 0; i < json_size(a->list); i++)
        if (!strcmp(json_string(json_get(json_at(a->list, i), "content")), text))
            return;
    int64_t id = find_word(a->vocabulary, text);
    struct json *j = json_append(a->list, json_object());
    json_set_number(j, "id", id >= 0 ? (double)id : (double)a->next++);
    json_set_string(j, "content", text);
    json_set_boolean(j, "single_word", false);
    json_set_boolean(j, "lstrip", left);
    json_set_boolean(j, "rstrip", false);
    json_set_boolean(j, "normalized", normalized);
    json_set_boolean(j, "special", special);
}

/* The family's own come first, since their flags hold; then the words that the model marks as control or user-defined. */
static struct json *added_json(const struct model *m, enum sentencepiece_family family, const struct json *vocabulary)
{
    static const char *const deberta_words[] = {"[PAD]", "[CLS]", "[SEP]"};
    struct added_list a = {json_array(), vocabulary, json_size(vocabulary)};
    if (family == SENTENCEPIECE_XLM) {
        for (size_t i = 0; i < sizeof xlm_words / sizeof *xlm_words; i++)
            add_token(&a, xlm_words[i], true, false, false);
        add_token(&a, "<mask>", true, true, false);
    } else {
        for (size_t i = 0; i < sizeof deberta_words / sizeof *deberta_words; i++)
            add_token(&a, deberta_words[i], true, false, false);
        add_token(&a, "[UNK]", true, false, true);
    }
    for (size_t i = 0; i < m->count; i++)
        if (m->words[i].size && (m->words[i].kind == WORD_CONTROL || m->words[i].kind == WORD_USER_DEFINED)) {
            char *text = word_text(&m->words[i]);
            add_token(&a, text, m->words[i].kind == WORD_CONTROL, false, false);
            free(text);
        }
    if (family == SENTENCEPIECE_DEBERTA)
        add_token(&a, "[MASK]", true, false, false);
    return a.list;
}

static struct json *step(struct json *steps, const char *type)
{
    struct json *j = json_append(steps, json_object());
    json_set_string(j, "type", type);
    return j;
}

static void add_precompiled(struct json *steps, const struct model *m)
{
    if (!m->map_size)
        return;
    char *text = base64_encode(m->map, m->map_size);
    json_set_string(step(steps, "Precompiled"), "precompiled_charsmap", text);
    free(text);
}

static void add_strip(struct json *steps, bool left)
{
    struct json *strip = step(steps, "Strip");
    json_set_boolean(strip, "strip_left", left);
    json_set_boolean(strip, "strip_right", true);
}

static struct json *normalizer_json(const struct model *m, struct sentencepiece_options options)
{
    bool xlm = options.family == SENTENCEPIECE_XLM;
    struct json *j = json_object();
    json_set_string(j, "type", "Sequence");
    struct json *steps = json_set(j, "normalizers", json_array());
    if (!xlm && options.lower)
        step(steps, "Lowercase");
    if (!xlm)
        add_strip(steps, true);
    add_precompiled(steps, m);
    if (xlm)
        add_strip(steps, false);
    struct json *spaces = step(steps, "Replace");
    json_set_string(json_set(spaces, "pattern", json_object()), "Regex", " {2,}");
    json_set_string(spaces, "content", xlm ? SPACE : " ");
    return j;
}

/* In both spellings: `tokenizers` before 0.15 knows add_prefix_space alone. */
static void set_metaspace(struct json *j)
{
    json_set_string(j, "replacement", SPACE);
    json_set_boolean(j, "add_prefix_space", true);
    json_set_string(j, "prepend_scheme", "always");
    json_set_boolean(j, "split", true);
}

static struct json *pre_tokenizer_json(struct sentencepiece_options options)
{
    struct json *j = json_object();
    json_set_string(j, "type", "Sequence");
    struct json *steps = json_set(j, "pretokenizers", json_array());
    if (options.family == SENTENCEPIECE_DEBERTA && options.split_punctuation)
        json_set_string(step(steps, "Punctuation"), "behavior", "Isolated");
    set_metaspace(step(steps, "Metaspace"));
    return j;
}

static void add_piece(struct json *list, const char *kind, const char *id, double type)
{
    struct json *j = json_set(json_append(list, json_object()), kind, json_object());
    json_set_string(j, "id", id);
    json_set_number(j, "type_id", type);
}

static void add_special(struct json *specials, const char *text, const struct json *added)
{
    struct json *j = json_set(specials, text, json_object());
    json_set_string(j, "id", text);
    struct json *ids = json_set(j, "ids", json_array());
    for (size_t i = 0; i < json_size(added); i++)
        if (!strcmp(json_string(json_get(json_at(added, i), "content")), text))
            json_append(ids, json_of_number(json_number(json_get(json_at(added, i), "id"))));
    json_append(json_set(j, "tokens", json_array()), json_of_string(text));
}

/* <s> A </s> </s> B </s>, or [CLS] A [SEP] B [SEP] with the second text's type. */
static struct json *post_processor_json(enum sentencepiece_family family, const struct json *added)
{
    bool xlm = family == SENTENCEPIECE_XLM;
    const char *first = xlm ? "<s>" : "[CLS]", *last = xlm ? "</s>" : "[SEP]";
    static const char *const lists[] = {"single", "pair"};
    struct json *j = json_object();
    json_set_string(j, "type", "TemplateProcessing");
    for (size_t i = 0; i < 2; i++) {
        struct json *list = json_set(j, lists[i], json_array());
        add_piece(list, "SpecialToken", first, 0);
        add_piece(list, "Sequence", "A", 0);
        add_piece(list, "SpecialToken", last, 0);
        if (i && xlm)
            add_piece(list, "SpecialToken", last, 0);
        if (i) {
            add_piece(list, "Sequence", "B", !xlm);
            add_piece(list, "SpecialToken", last, !xlm);
        }
    }
    struct json *specials = json_set(j, "special_tokens", json_object());
    add_special(specials, first, added);
    add_special(specials, last, added);
    return j;
}

static struct json *decoder_json(void)
{
    struct json *j = json_object();
    json_set_string(j, "type", "Metaspace");
    set_metaspace(j);
    return j;
}

static struct json *tokenizer_json(const struct model *m, struct sentencepiece_options options)
{
    struct json *j = json_object(), *model = model_json(m, options.family),
                *added = added_json(m, options.family, json_get(model, "vocab"));
    json_set_string(j, "version", "1.0");
    json_set(j, "truncation", json_null());
    json_set(j, "padding", json_null());
    json_set(j, "added_tokens", added);
    json_set(j, "normalizer", normalizer_json(m, options));
    json_set(j, "pre_tokenizer", pre_tokenizer_json(options));
    json_set(j, "post_processor", post_processor_json(options.family, added));
    json_set(j, "decoder", decoder_json());
    json_set(j, "model", model);
    return j;
}

int sentencepiece_parse(struct json **ret, const void *bytes, size_t size, const char *path, struct sentencepiece_options options,
                        struct error *e)
{
    struct model m;
    struct span s = {bytes, (const uint8_t *)bytes + size};
    int result = read_model(&m, s, path, e) || check_model(&m, options, path, e) ? -1 : 0;
    if (!result)
        *ret = tokenizer_json(&m, options);
    free(m.words);
    return result;
}

int sentencepiece_read(struct json **ret, const char *path, struct sentencepiece_options options, struct error *e)
{
    char *bytes;
    size_t size;
    if (file_read(&bytes, &size, path, e))
        return -1;
    int result = sentencepiece_parse(ret, bytes, size, path, options, e);
    free(bytes);
    return result;
}
