/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/data/label_form.h"

#include "common/base/memory.h"
#include "common/base/near.h"
#include "common/text/fold.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static size_t count_of(const struct label_question *q)
{
    return label_values_count(q->values);
}

static bool asked_for(const struct label_question *q, const char *form)
{
    return strcmp(q->form, form) == 0;
}

static int refuse(const struct label_question *q, uint32_t value, const char *what, struct error *e)
{
    const struct label_value *v = &q->values->values[value];
    return error_set(e, ERROR_DATA, "%s:%u: field '%.60s': label '%.80s' %s", q->paths[v->file], v->line, q->field,
                     label_text(q->values, value), what);
}

static void note(struct label_answer *a, char *text)
{
    json_append(a->notes, json_of_string(text));
    free(text);
}

/* "1.0" is "1": the text that numbers of the same value share. Caller frees. */
static char *number_text(double number)
{
    struct json *j = json_of_number(number + 0.0); /* -0 is 0 */
    char *text = json_print(j, false);
    json_destroy(&j);
    return text;
}

/* ---- vectors ---- */

static bool all_bits(const struct label_question *q)
{
    for (size_t i = 0; i < count_of(q); i++) {
        const struct label_value *v = &q->values->values[i];
        if (!(v->numeric || v->boolean) || (v->number != 0 && v->number != 1))
            return false;
    }
    return true;
}

static bool looks_like_vectors(const struct label_question *q)
{
    const struct label_values *v = q->values;
    return !q->columns && v->lists > 0 && !v->scalars && !v->objects && !v->sizes_differ && v->list_size > 1 && all_bits(q);
}

static int answer_vector(struct label_answer *a, const struct label_question *q, struct error *e)
{
    size_t size = q->values->list_size, given = q->given->count;
    if (!looks_like_vectors(q))
        return error_set(e, ERROR_DATA,
                         "%s: field '%.60s': data.label_form is \"vector\", but the rows are not lists of 0 and 1 of one length",
                         q->paths[0], q->field);
    if (given && given != size)
        return error_set(
            e, ERROR_DATA,
            "%s: field '%.60s': every row is a list of %zu values of 0 and 1, data.labels names %zu labels; if they are "
            "vectors, name %zu labels; if they are indexes, set data.label_form to \"index\"",
            q->paths[0], q->field, size, given, size);
    a->form = "vector";
    a->vector = true;
    a->count = size;
    a->names = allocate(size, sizeof *a->names);
    for (size_t i = 0; i < size; i++)
        a->names[i] = given ? duplicate(q->given->names[i]) : format_string("%zu", i);
    for (size_t i = 0; i < count_of(q); i++)
        a->class_of[i] = q->values->values[i].number == 1;
    return 0;
}

/* ---- names that the job gives ---- */

/* Blanks around a name that the job gives count as little as those around a value. */
static bool same_name(const char *given, const char *text)
{
    given += strspn(given, " \t\r\n");
    size_t size = strlen(given);
    while (size > 0 && strchr(" \t\r\n", given[size - 1]))
        size--;
    return strlen(text) == size && memcmp(given, text, size) == 0;
}

/* The given name that a value spells: as a text, as a number of the same value, or true and false in any case. */
static uint32_t named(const struct label_question *q, uint32_t value)
{
    const char *text = label_text(q->values, value);
    const struct label_value *v = &q->values->values[value];
    for (size_t i = 0; i < q->given->count; i++)
        if (same_name(q->given->names[i], text))
            return (uint32_t)i;
    char *number = v->numeric ? number_text(v->number) : NULL;
    uint32_t found = UINT32_MAX;
    for (size_t i = 0; i < q->given->count && found == UINT32_MAX; i++)
        if ((number && !strcmp(q->given->names[i], number)) || (v->boolean && !strcasecmp(q->given->names[i], text)))
            found = (uint32_t)i;
    free(number);
    return found;
}

static bool is_ignored(const struct label_question *q, uint32_t value)
{
    for (size_t i = 0; i < q->ignored->count; i++)
        if (same_name(q->ignored->names[i], label_text(q->values, value)))
            return true;
    return false;
}

static int unknown_name(const struct label_question *q, uint32_t value, struct error *e)
{
    char hint[160], words[240];
    snprintf(words, sizeof words, "is not one of data.labels%s",
             near_hint(hint, sizeof hint, label_text(q->values, value), (const char *const *)q->given->names, q->given->count));
    return refuse(q, value, words, e);
}

static int index_out_of_range(const struct label_question *q, uint32_t value, size_t limit, struct error *e)
{
    char words[120];
    snprintf(words, sizeof words, "is out of range; an index is a whole number from 0 to %zu", limit - 1);
    return refuse(q, value, words, e);
}

static bool is_index(const struct label_value *v, size_t limit)
{
    return (v->numeric || v->boolean) && v->number >= 0 && v->number == floor(v->number) && v->number < (double)limit;
}

/* Numbers are all indexes or all names: a mixture is a question. */
static int check_mixture(const struct label_question *q, uint32_t a_name, uint32_t an_index, struct error *e)
{
    if (a_name == UINT32_MAX || an_index == UINT32_MAX)
        return 0;
    return error_set(e, ERROR_DATA,
                     "%s:%u: field '%.60s': is %s an index into data.labels? then %s would be one too, and not the label of that "
                     "name; set data.label_form to \"index\" or \"name\"",
                     q->paths[q->values->values[an_index].file], q->values->values[an_index].line, q->field,
                     label_text(q->values, an_index), label_text(q->values, a_name));
}

static int answer_given(struct label_answer *a, const struct label_question *q, struct error *e)
{
    uint32_t a_name = UINT32_MAX, an_index = UINT32_MAX;
    for (uint32_t i = 0; i < count_of(q); i++) {
        const struct label_value *v = &q->values->values[i];
        bool number = v->numeric || v->boolean;
        uint32_t class = number && asked_for(q, "index") ? UINT32_MAX : named(q, i);
        a->class_of[i] = class != UINT32_MAX ? class : LABEL_IGNORED;
        if (class != UINT32_MAX && number)
            a_name = i;
        if (class != UINT32_MAX || is_ignored(q, i))
            continue;
        if (!number || asked_for(q, "name") || q->columns)
            return unknown_name(q, i, e);
        if (!is_index(v, q->given->count))
            return a_name != UINT32_MAX ? unknown_name(q, i, e) : index_out_of_range(q, i, q->given->count, e);
        a->class_of[i] = (uint32_t)v->number;
        an_index = i;
    }
    if (check_mixture(q, a_name, an_index, e))
        return -1;
    a->form = an_index != UINT32_MAX ? "index" : "name";
    a->count = q->given->count;
    a->names = allocate(a->count, sizeof *a->names);
    for (size_t i = 0; i < a->count; i++)
        a->names[i] = duplicate(q->given->names[i]);
    return 0;
}

/* ---- names as found ---- */

struct found_name {
    char *text;
    double number;
    uint32_t value;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct found_name *)a)->text, ((const struct found_name *)b)->text);
}

static int by_number(const void *a, const void *b)
{
    double x = ((const struct found_name *)a)->number, y = ((const struct found_name *)b)->number;
    return x != y ? (x > y) - (x < y) : by_text(a, b);
}

/* Values of the same name are one class; classes stand in the order of `compare`. */
static void answer_names(struct label_answer *a, const struct label_question *q, bool numbers, bool booleans)
{
    size_t count = count_of(q);
    struct found_name *found = allocate(count, sizeof *found);
    for (uint32_t i = 0; i < count; i++) {
        const struct label_value *v = &q->values->values[i];
        char *text = booleans  ? duplicate(v->number == 1 ? "true" : "false")
                     : numbers ? number_text(v->number)
                               : duplicate(label_text(q->values, i));
        found[i] = (struct found_name){text, v->number, i};
    }
    if (count)
        qsort(found, count, sizeof *found, numbers ? by_number : by_text);
    a->names = allocate(count, sizeof *a->names);
    for (size_t i = 0; i < count; i++) {
        if (a->count && !strcmp(a->names[a->count - 1], found[i].text))
            free(found[i].text);
        else
            a->names[a->count++] = found[i].text;
        a->class_of[found[i].value] = (uint32_t)a->count - 1;
    }
    free(found);
}

static int answer_indexes(struct label_answer *a, const struct label_question *q, struct error *e)
{
    for (uint32_t i = 0; i < count_of(q); i++) {
        const struct label_value *v = &q->values->values[i];
        if (!is_index(v, LABEL_VALUES_MOST))
            return index_out_of_range(q, i, LABEL_VALUES_MOST, e);
        a->class_of[i] = (uint32_t)v->number;
        a->count = a->class_of[i] + 1 > a->count ? a->class_of[i] + 1 : a->count;
    }
    a->form = "index";
    a->names = allocate(a->count, sizeof *a->names);
    for (size_t i = 0; i < a->count; i++)
        a->names[i] = format_string("%zu", i);
    return 0;
}

/* Whether the numbers are 0, 1, .. without a gap. */
static bool is_sequence(const struct label_question *q, bool numbers)
{
    size_t count = count_of(q), seen = 0;
    bool *met = allocate(count, sizeof *met);
    bool whole = numbers && count > 0;
    for (size_t i = 0; i < count && whole; i++) {
        const struct label_value *v = &q->values->values[i];
        whole = is_index(v, count);
        if (whole && !met[(size_t)v->number]) {
            met[(size_t)v->number] = true;
            seen++;
        }
    }
    for (size_t i = 0; i < seen && whole; i++)
        whole = met[i];
    free(met);
    return whole;
}

static int answer_found(struct label_answer *a, const struct label_question *q, struct error *e)
{
    bool numbers = true, booleans = true;
    for (size_t i = 0; i < count_of(q); i++) {
        const struct label_value *v = &q->values->values[i];
        numbers = numbers && (v->numeric || v->boolean);
        booleans = booleans && v->boolean;
    }
    if (asked_for(q, "index") || (asked_for(q, "auto") && !booleans && !q->columns && is_sequence(q, numbers)))
        return answer_indexes(a, q, e);
    bool asked = asked_for(q, "name");
    answer_names(a, q, numbers && !(asked && booleans), booleans && !q->columns);
    a->form = booleans && !q->columns ? "boolean" : "name";
    if (numbers && !booleans && !asked && !q->columns)
        note(a, format_string("the numbers %s .. %s are read as %zu names, not as indexes: they are not 0, 1, .. without a gap "
                              "(if they are indexes, name the labels in data.labels or set data.label_form to \"index\")",
                              a->names[0], a->names[a->count - 1], a->count));
    return 0;
}

/* ---- notes ---- */

struct folded_name {
    char *text;
    size_t class;
};

static int by_folded(const void *a, const void *b)
{
    const struct folded_name *x = a, *y = b;
    int order = strcmp(x->text, y->text);
    return order ? order : (x->class > y->class) - (x->class < y->class);
}

/* The names, folded and sorted: those that look alike stand together. Caller frees it and its texts. */
static struct folded_name *fold_names(const struct label_answer *a)
{
    struct folded_name *folded = allocate(a->count, sizeof *folded);
    for (size_t i = 0; i < a->count; i++) {
        struct buffer text = {0};
        fold_text(&text, a->names[i]);
        folded[i] = (struct folded_name){text.data ? text.data : duplicate(""), i};
    }
    if (a->count)
        qsort(folded, a->count, sizeof *folded, by_folded);
    return folded;
}

static void note_alike(struct label_answer *a)
{
    struct folded_name *folded = fold_names(a);
    size_t pairs = 0, first = 0;
    for (size_t i = 0, start = 0; i < a->count; i++) {
        if (strcmp(folded[start].text, folded[i].text) != 0)
            start = i;
        if (i > start && pairs == 0)
            first = start;
        pairs += i - start;
    }
    if (pairs)
        note(a,
             format_string("%zu pair%s of labels differ only in case, blanks or how their characters are written, as \"%s\" and "
                           "\"%s\": are they one?",
                           pairs, pairs == 1 ? "" : "s", a->names[folded[first].class], a->names[folded[first + 1].class]));
    for (size_t i = 0; i < a->count; i++)
        free(folded[i].text);
    free(folded);
}

int label_form_decide(struct label_answer *ret, const struct label_question *q, struct error *e)
{
    struct label_answer a = {.notes = json_array(), .class_of = allocate(count_of(q), sizeof(uint32_t))};
    bool vector = asked_for(q, "vector") || (asked_for(q, "auto") && looks_like_vectors(q));
    int result = vector ? answer_vector(&a, q, e) : q->given->count ? answer_given(&a, q, e) : answer_found(&a, q, e);
    if (result) {
        label_answer_free(&a);
        return -1;
    }
    if (q->columns)
        a.form = "columns";
    if (q->values->trimmed)
        note(&a, format_string("%llu labels had blanks around them, which do not count", (unsigned long long)q->values->trimmed));
    note_alike(&a);
    *ret = a;
    return 0;
}

void label_answer_free(struct label_answer *a)
{
    for (size_t i = 0; i < a->count; i++)
        free(a->names[i]);
    free(a->names);
    free(a->class_of);
    json_destroy(&a->notes);
    *a = (struct label_answer){0};
}
