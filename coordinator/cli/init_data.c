/* SPDX-License-Identifier: Apache-2.0 */
/* Fields, labels, parts and repeats of the data. */
#include "common/base/memory.h"
#include "coordinator/cli/init_draft.h"
#include "coordinator/cli/init_repeats.h"
#include "coordinator/data/data_problems.h"
#include "coordinator/data/row_facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LABELS_WRITTEN 64
#define DROPPED_MOST 0.1 /* of the rows, for disagreeing labels */

static struct json *list_of(const struct guess *g, const size_t *list, size_t count)
{
    struct json *names = json_array();
    for (size_t i = 0; i < count; i++)
        json_append(names, json_of_string(guess_name(g, list[i])));
    return names;
}

static void print_list(const char *key, const struct guess *g, const size_t *list, size_t count, const char *why)
{
    printf("  %-22s ", key);
    for (size_t i = 0; i < count; i++)
        printf("%s%s (%.0f words)", i ? ", " : "", guess_name(g, list[i]), guess_words(g, list[i]));
    printf("%s%s\n", why ? ": " : "", why ? why : "");
}

/* Names are written where they are few, so that every part of the data means the same by an index; numbers with gaps (stars from
 * 1 to 5) become names. */
static void choose_labels(struct init_draft *d)
{
    size_t count = d->records.label_count, used = count - init_rarer_than(d, 1), rare;
    uint64_t least = init_rarest(d, &rare);
    init_because("data.label", "%s: %s, %zu labels in %zu rows, the rarest '%s' in %llu",
                 d->g.pattern        ? d->g.pattern
                 : d->g.column_count ? "columns"
                                     : guess_name(&d->g, d->g.label),
                 d->g.column_count  ? "one column per label, 1 where a row has it (--label FIELD to choose another)"
                 : d->g.label_named ? "recognized by its name and values"
                                    : "few distinct values (--label FIELD to choose another)",
                 used, d->records.count, d->records.labels[rare], (unsigned long long)least);
    if (d->g.separator) {
        json_set_string(d->section, "label_separator", d->g.separator);
        init_because("data.label_separator", "'%s': %s", d->g.separator,
                     d->g.sets ? "what stands on both sides of it are labels of other rows" : "found in many cells");
    }
    if (count > LABELS_WRITTEN || (d->g.column_count && !d->g.pattern))
        return;
    struct json *names = json_set(d->section, "labels", json_array());
    for (size_t c = 0; c < count; c++)
        if (d->label_rows[c])
            json_append(names, json_of_string(d->records.labels[c]));
}

static void choose_positive(struct init_draft *d)
{
    static const char *const words[] = {"1",    "yes",    "true",     "positive",  "pos",
                                        "spam", "linked", "relevant", "duplicate", "entailment"};
    size_t rare, found = SIZE_MAX;
    if (d->g.multi || d->records.label_count != 2)
        return;
    init_rarest(d, &rare);
    for (size_t k = 0; k < sizeof words / sizeof *words && found == SIZE_MAX; k++)
        for (size_t c = 0; c < 2; c++)
            if (!strcasecmp(d->records.labels[c], words[k]))
                found = c;
    json_set_string(d->section, "positive", d->records.labels[found == SIZE_MAX ? rare : found]);
    init_because("data.positive", "%s: %s", d->records.labels[found == SIZE_MAX ? rare : found],
                 found == SIZE_MAX ? "the rarer of the two labels" : "by its name");
}

/* Whether the row has a label left when rare ones are dropped. */
static bool is_kept(const struct init_draft *d, const struct record *row)
{
    if (row->class >= 0 || !row->label_count)
        return row->class < 0 || d->label_rows[row->class] >= d->least;
    for (uint32_t k = 0; k < row->label_count; k++)
        if (d->label_rows[row->labels[k]] >= d->least)
            return true;
    return false;
}

/* Rows of the most frequent label, of one a row, that given parts have no row to train on; *label: which. */
static uint64_t most_untrained(const struct init_draft *d, size_t *label)
{
    bool *trained = allocate(d->records.label_count, sizeof *trained);
    uint64_t most = 0;
    for (size_t i = 0; i < d->records.count; i++)
        if (d->part[i] == PART_TRAIN && d->records.rows[i].class >= 0)
            trained[d->records.rows[i].class] = true;
    for (size_t c = 0; c < d->records.label_count && !d->g.multi; c++)
        if (!trained[c] && d->label_rows[c] > most) {
            *label = c;
            most = d->label_rows[c];
        }
    free(trained);
    return most;
}

/* Leaves out the rows whose labels are rarer than d->least, unless they are more than `most`. */
static bool leave_out(struct init_draft *d, double most)
{
    size_t rows = 0;
    for (size_t i = 0; i < d->records.count; i++)
        rows += !is_kept(d, &d->records.rows[i]);
    if ((double)rows > most)
        return false;
    for (size_t i = 0; i < d->records.count; i++)
        if (!is_kept(d, &d->records.rows[i]))
            d->part[i] = PART_COUNT;
    json_set_number(d->section, "min_label_count", d->least);
    return true;
}

/* Labels that are too rare to learn go, and those that given parts have no row to train on: a run would stop at them. */
static void choose_rare(struct init_draft *d)
{
    size_t label = 0, labels = d->records.label_count;
    uint32_t usual = d->records.count >= 5000 && d->g.multi ? 50 : 10;
    uint64_t untrained = most_untrained(d, &label);
    if (labels <= 2 && !d->g.multi)
        return;
    d->least = (uint32_t)untrained + 1;
    if (untrained >= usual && labels - init_rarer_than(d, d->least) >= 2 &&
        leave_out(d, DROPPED_MOST * (double)d->records.count)) {
        init_because("data.min_label_count", "%u: no row of label '%s' is in train, and the parts are given", d->least,
                     d->records.labels[label]);
        return;
    }
    size_t rare = init_rarer_than(d, usual);
    d->least = 0;
    if (!rare || labels - rare < 2)
        return;
    d->least = usual;
    leave_out(d, (double)d->records.count);
    init_because("data.min_label_count", "%u: %zu labels have fewer rows, too few to learn or to measure", usual, rare);
}

static void set_data_paths(struct init_draft *d)
{
    static const char *const keys[PART_COUNT] = {"train_path", "validation_path", "test_path"};
    char *const *files = d->files.paths;
    for (int p = 0; p < PART_COUNT; p++)
        if (files[p])
            init_set_path(d, d->section, keys[p], files[p], true);
    if (files[PART_VALIDATION])
        init_because("data.train_path", "%s, and %s and %s next to it: files named for their parts are the split",
                     files[PART_TRAIN], files[PART_VALIDATION], files[PART_TEST]);
    else if (files[PART_TRAIN])
        init_because("data.train_path",
                     "%s, and %s next to it: files named for their parts are the split; without a file for validation, validation "
                     "rows are drawn from train",
                     files[PART_TRAIN], files[PART_TEST]);
    if (files[PART_TRAIN])
        return;
    init_set_path(d, d->section, "path", d->data, true);
    if (d->files.unused)
        init_because("data.path", "%s alone: %s is not used, as there is no file for %s; with train and test they would be the split",
                     d->data, d->files.unused, d->files.missing);
}

/* A split that somebody made is not passed over in silence. */
static void tell_unused_part(const struct guess *g)
{
    if (g->part != SIZE_MAX || g->unused_part == SIZE_MAX || g->unused_part == g->label)
        return;
    if (g->no_part[0])
        init_because("data.path", "its column '%s' is not the split: '%.60s' is no part; with train, validation and test alone it would be",
                     guess_name(g, g->unused_part), g->no_part);
    else
        init_because("data.path", "its column '%s' is not the split: some rows have no value there; without them it would be",
                     guess_name(g, g->unused_part));
}

static void choose_fields(struct init_draft *d)
{
    const struct guess *g = &d->g;
    d->section = json_set(d->job, "data", json_object());
    set_data_paths(d);
    tell_unused_part(g);
    if (g->table.encoding) {
        json_set_string(d->section, "encoding", g->table.encoding);
        init_because("data.encoding", "%s: the file is not UTF-8, and can be read so; look at letters with accents",
                     g->table.encoding);
    }
    if (g->id != SIZE_MAX) {
        json_set_string(d->section, "id", guess_name(g, g->id));
        init_because("data.id", "%s: recognized by its name; unique in every row", guess_name(g, g->id));
    }
    if (g->part != SIZE_MAX) {
        init_because("data.group", "none: the column '%s' decides about parts", guess_name(g, g->part));
    } else if (g->group != SIZE_MAX) {
        json_set_string(d->section, "group", guess_name(g, g->group));
        init_because("data.group", "%s: %zu repeated values; a group stays in one part", guess_name(g, g->group),
                     guess_distinct(g, g->group));
    } else {
        init_because("data.group", "none: no field with repeated values is named like a group");
    }
    json_set(d->section, "label",
             g->pattern        ? json_of_string(g->pattern)
             : g->column_count ? list_of(g, g->columns, g->column_count)
                               : json_of_string(guess_name(g, g->label)));
    json_set(d->section, "text_a", list_of(g, g->text_a, g->a_count));
    print_list("data.text_a", g, g->text_a, g->a_count, g->pair_reason);
    if (g->b_count) {
        json_set(d->section, "text_b", list_of(g, g->text_b, g->b_count));
        print_list("data.text_b", g, g->text_b, g->b_count, NULL);
    }
    const size_t required[2] = {g->main_a, g->main_b};
    json_set(d->section, "required", list_of(g, required, g->b_count ? 2 : 1));
    init_because("data.required", "%s%s%s: a row without it cannot be classified", guess_name(g, g->main_a),
                 g->b_count ? ", " : "", g->b_count ? guess_name(g, g->main_b) : "");
    choose_labels(d);
    choose_positive(d);
    choose_rare(d);
}

/* ---- split ---- */

/* "job.json": "job.split.json". Caller frees. */
static char *split_path(const char *output)
{
    size_t size = strlen(output);
    if (size > 5 && strcmp(output + size - 5, ".json") == 0)
        size -= 5;
    return format_string("%.*s.split.json", (int)size, output);
}

/* Parts that a column gives become a split file next to the job file. */
static int write_parts(struct init_draft *d, struct error *e)
{
    char *path = split_path(d->output);
    int status = init_write_split(path, &d->records, d->part, e);
    if (status == 0) {
        const char *slash = strrchr(path, '/');
        json_set_string(json_set(d->job, "split", json_object()), "file", slash ? slash + 1 : path);
        bool no_validation = d->drawn[PART_VALIDATION], no_test = d->drawn[PART_TEST];
        init_because("split.file", "%s: by the column '%s', %zu rows to train, %zu to validate, %zu to test%s%s%s%s%s", path,
                     guess_name(&d->g, d->g.part), init_part_rows(d, PART_TRAIN), init_part_rows(d, PART_VALIDATION),
                     init_part_rows(d, PART_TEST), no_validation || no_test ? "; there is no " : "",
                     no_validation ? "validation" : "", no_validation && no_test ? " or " : "", no_test ? "test" : "",
                     no_validation || no_test ? " part, so 15 % of the training rows, at random" : "");
    }
    free(path);
    return status;
}

static void choose_split(struct init_draft *d)
{
    size_t rare;
    if (init_parts_given(d))
        return;
    double share = (double)init_rarest(d, &rare) / (double)d->records.count;
    if (!d->g.multi && d->records.label_count <= 2 && share >= 0.1)
        return;
    json_set_string(json_set(d->job, "split", json_object()), "method", "stratified");
    init_because("split.method", "stratified: every part needs rows of the rare labels");
}

/* ---- repeats ---- */

static void accept(struct init_draft *d, enum data_problem problem)
{
    if (!d->accept)
        d->accept = json_set(d->section, "accept", json_array());
    json_append(d->accept, json_of_string(data_problem_name(problem)));
}

/* Repeats stay in one part. Where some disagree about the label all but the first go, unless that would be many rows. */
static void treat_repeats(struct init_draft *d, const struct init_repeats *c)
{
    if (c->near < PROBLEM_COUNT)
        return;
    bool disagree = data_problem_stops(PROBLEM_CONFLICTING_DUPLICATES, (double)c->conflicts, (double)c->rows);
    bool drop = disagree && (double)c->near <= DROPPED_MOST * (double)c->rows;
    json_set_string(d->section, "repeats", drop ? "drop" : "group");
    init_because("data.repeats", "%s: %zu rows repeat another's text (%zu exactly, %zu of them with another label); %s",
                 drop ? "drop" : "group", c->near, c->exact, c->conflicts,
                 drop ? "the first of each stays" : "they stay in one part with it");
    if (!disagree || drop)
        return;
    accept(d, PROBLEM_CONFLICTING_DUPLICATES);
    init_because("data.accept", "conflicting_duplicates: to drop all repeats would cost %.0f %% of the rows",
                 100 * (double)c->near / (double)c->rows);
}

/* Parts that are given stay as they are: what a run would stop at is accepted. */
static void accept_repeats(struct init_draft *d, const struct init_repeats *c)
{
    bool leaks = false;
    for (int p = PART_VALIDATION; p < PART_COUNT; p++)
        leaks |= data_problem_stops(PROBLEM_LEAKS, (double)c->leaks[p], (double)c->part_rows[p]);
    if (leaks) {
        accept(d, PROBLEM_LEAKS);
        init_because("data.accept",
                     "leaks: the texts of %zu validation and %zu test rows are in train, too; scores flatter by them, but the "
                     "parts are given",
                     c->leaks[PART_VALIDATION], c->leaks[PART_TEST]);
    }
    if (data_problem_stops(PROBLEM_CONFLICTING_DUPLICATES, (double)c->conflicts, (double)c->rows)) {
        accept(d, PROBLEM_CONFLICTING_DUPLICATES);
        init_because("data.accept",
                     "conflicting_duplicates: %zu rows have another's text with another label; look at them, but the parts are "
                     "given",
                     c->conflicts);
    }
    if (d->files.paths[0] && d->g.group != SIZE_MAX &&
        data_problem_stops(PROBLEM_SHARED_GROUPS, (double)c->shared_groups, (double)c->groups)) {
        accept(d, PROBLEM_SHARED_GROUPS);
        init_because("data.accept", "shared_groups: %zu values of '%s' are in more than one part; but the parts are given",
                     c->shared_groups, guess_name(&d->g, d->g.group));
    }
}

/* What `check` and `split` would stop at is settled here. */
static int choose_repeats(struct init_draft *d, struct error *e)
{
    struct init_repeats found;
    if (init_find_repeats(&found, &d->records, d->part, e))
        return -1;
    if (init_parts_given(d))
        accept_repeats(d, &found);
    else
        treat_repeats(d, &found);
    return 0;
}

int init_choose_data(struct init_draft *d, struct error *e)
{
    choose_fields(d);
    choose_split(d);
    if (d->g.part != SIZE_MAX && write_parts(d, e))
        return -1;
    return choose_repeats(d, e);
}
