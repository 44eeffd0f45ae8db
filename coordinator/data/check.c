/* SPDX-License-Identifier: Apache-2.0 */
/* The check stage: rows file, facts of rows, check.json. */
#include "coordinator/data/check.h"
#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/memory_bound.h"
#include "common/base/sha256.h"
#include "common/base/stop.h"
#include "common/format/model_family.h"
#include "common/format/split.h"
#include "common/text/tokenizer.h"
#include "coordinator/data/data_problems.h"
#include "coordinator/data/data_report.h"
#include "coordinator/data/protocol.h"
#include "coordinator/data/repeats.h"
#include "coordinator/data/tokenize.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT_VERSION "rows 2"

/* The input files; where the data comes already split, its files are its parts. */
struct inputs {
    size_t count;
    const char *path[PART_COUNT];
    char sha256[PART_COUNT][SHA256_HEX];
    uint32_t rows[PART_COUNT]; /* kept */
};

static struct inputs inputs_of_job(const struct job *j)
{
    struct inputs in = {0};
    in.count = job_data_files(in.path, j);
    return in;
}

static struct json *describe_inputs(const struct inputs *in)
{
    struct json *files = json_array();
    for (size_t i = 0; i < in->count; i++) {
        struct json *file = json_append(files, json_object());
        json_set_string(file, "path", in->path[i]);
        json_set_string(file, "sha256", in->sha256[i]);
        json_set_number(file, "rows", in->rows[i]);
    }
    return files;
}

/* What rows are made of: the files' content, the part of the job that shapes rows, a frozen protocol, and the tokenizer. */
static int hash_inputs(char hash[SHA256_HEX], struct inputs *in, const struct job *j, const struct protocol *p,
                       const struct tokenizer *t, struct error *e)
{
    static const char *const places[] = {"path", "train_path", "validation_path", "test_path", "accept"};
    for (size_t i = 0; i < in->count; i++)
        if (sha256_file_polling(in->path[i], in->sha256[i], e))
            return -1;
    struct json *data = job_data_options(j);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (json_get(data, places[i]))
            json_set(data, places[i], json_null()); /* the content counts, not where it lies or what is thought of it */
    char *spec = json_print(data, false);
    struct buffer all = {0};
    buffer_printf(&all, FORMAT_VERSION " %s %d %u %d %s", spec, j->multi, j->train.max_length, (int)j->train.truncation,
                  tokenizer_sha256(t));
    for (size_t i = 0; i < in->count; i++)
        buffer_printf(&all, " %s", in->sha256[i]);
    if (p->root)
        buffer_printf(&all, " protocol %s", p->sha256);
    sha256_bytes(all.data, all.size, hash);
    buffer_free(&all);
    free(spec);
    json_destroy(&data);
    return 0;
}

/* One class is no classification; a blank report would hide it until the first F1 of 0. */
static int check_labels(const struct job *j, const struct records *r, struct error *e)
{
    if (!j->multi && r->label_count < 2)
        return error_set(e, ERROR_DATA, "%s: field '%s' has only one label, '%s'; a classifier needs at least two",
                         j->data.path ? j->data.path : j->data.train_path, j->data.label, r->labels[0]);
    return 0;
}

static char *facts_path(const struct job *j, const char *hash)
{
    return format_string("%s/tokens/%.16s.facts", j->out, hash);
}

static int find_repeats(uint32_t **exact, struct near_duplicates *near, const struct records *r, struct error *e)
{
    return exact_duplicates(exact, r, e) || near_duplicates_find(near, r, *exact, e) ? -1 : 0;
}

/* *exact and *near of the rows that are left after data.repeats. */
static int treat_repeats(struct repeats *done, uint32_t **exact, struct near_duplicates *near, const struct job *j,
                         struct records *r, struct error *e)
{
    if (find_repeats(exact, near, r, e))
        return -1;
    if (!r->by_protocol || strcmp(j->data.repeats, "drop") != 0) /* a protocol has dropped them itself */
        *done = repeats_apply(r, j->data.repeats, near);
    if (!done->dropped)
        return 0;
    free(*exact);
    near_duplicates_free(near);
    *exact = NULL;
    return find_repeats(exact, near, r, e);
}

/* The rows file and the facts of its rows. */
static int write_rows(const struct job *j, const struct tokenizer *t, struct records *r, const char *rows, const char *facts,
                      struct json **ret, struct error *e)
{
    struct token_lengths lengths = {.tokens = allocate(r->count, sizeof *lengths.tokens)};
    struct near_duplicates near = {0};
    struct row_facts f = {0};
    struct repeats repeats = {0};
    char fingerprint[FINGERPRINT_HEX];
    uint32_t *exact = NULL;
    int result = treat_repeats(&repeats, &exact, &near, j, r, e);
    if (!result)
        result = tokenize_records(rows, r, t, j->train.max_length, j->train.truncation, (uint32_t)r->label_count, j->multi,
                                  &lengths, e);
    if (!result)
        result = row_facts_make(&f, r, exact, &near, e);
    if (!result)
        result = row_facts_write(facts, &f, e);
    if (!result)
        result = row_facts_fingerprint(fingerprint, &f, NULL, f.count, e);
    if (!result) {
        *ret = data_report(j, r, &lengths, exact, &near);
        if (repeats.dropped)
            json_set_number(*ret, "repeats_dropped", (double)repeats.dropped);
        if (repeats.joined)
            json_set_number(*ret, "repeats_grouped", (double)repeats.joined);
        json_set_string(*ret, "fingerprint", fingerprint);
        result = stop_check(e);
        if (result)
            json_destroy(ret);
    }
    row_facts_free(&f);
    near_duplicates_free(&near);
    free(exact);
    free(lengths.tokens);
    return result;
}

/* Cleans, tokenises, reports; *ret is the new check.json. */
static int make_rows(struct json **ret, const struct job *j, const struct protocol *p, const struct tokenizer *t,
                     struct inputs *in, const char *rows, const char *facts, struct error *e)
{
    struct records records;
    struct input input = input_of_job(j);
    if (records_read(&records, in->path, in->count, &input, false, e))
        return -1;
    int result =
        p->root ? protocol_select(&records, p, e) : records_prune(&records, j->data.min_label_count, j->data.min_words, e);
    if (result && !p->root)
        error_prefix(e, "%s: ", in->path[0]);
    if (!result)
        result = check_labels(j, &records, e);
    if (!result)
        result = write_rows(j, t, &records, rows, facts, ret, e);
    for (size_t i = 0; i < records.count && !result; i++) {
        in->rows[records.rows[i].file]++;
        records_walked(&records, i + 1);
    }
    records_free(&records);
    return result;
}

/* *check is the report that is there and still true, or NULL. */
static void load_check(struct json **check, const char *path, const char *hash, const char *rows, const char *facts)
{
    struct error ignored;
    *check = NULL;
    if (!file_exists(path) || !file_exists(rows) || !file_exists(facts) || json_read(check, path, &ignored))
        return;
    const char *made_from = json_string(json_get(*check, "made_from"));
    if (!made_from || strcmp(made_from, hash))
        json_destroy(check);
}

/* Training would meet a token, or a type of token, that the model has no vector for. */
static int check_vocabulary(const struct job *j, const char *model, const struct tokenizer *t, struct error *e)
{
    struct model_config c;
    if (model_config_read(&c, model, e))
        return -1;
    if (j->data.text_b.count && c.types == 1 && model_family_of(&c)->pair_types)
        return error_set(
            e, ERROR_USAGE,
            "data.text_b: rows are pairs of texts, but %s has one token type (type_vocab_size 1 in config.json); put all "
            "fields into data.text_a",
            j->model);
    if (tokenizer_size(t) <= c.vocabulary)
        return 0;
    return error_set(e, ERROR_USAGE,
                     "model: the tokenizer of %s has %u tokens, its config.json says vocab_size %u; they belong to different "
                     "models: use the tokenizer that came with the weights",
                     j->model, tokenizer_size(t), c.vocabulary);
}

/* A row needs room for its special tokens and some text. */
static int check_length(const struct job *j, const struct tokenizer *t, struct error *e)
{
    uint32_t specials = tokenizer_templates(t)->pair.all;
    if (j->train.max_length > specials)
        return 0;
    return error_set(e, ERROR_USAGE,
                     "train.max_length is %u, but the tokenizer of %s puts %u special tokens into a row; raise train.max_length",
                     j->train.max_length, j->model, specials);
}

/* Which of the files is not what the report was made from; NULL: none. */
static const char *changed_file(const struct inputs *in, const struct json *check)
{
    const struct json *files = json_get(check, "files");
    for (size_t i = 0; i < in->count; i++) {
        const char *before = json_string(json_get(json_at(files, i), "sha256"));
        if (!before || strcmp(before, in->sha256[i]) != 0)
            return in->path[i];
    }
    return NULL;
}

/* Trials belong to the rows they learned from: other rows are another run, as another job would be. Before the first trial the
 * data may change as it likes. */
static int refuse_other_rows(const struct job *j, const struct inputs *in, const char *path, const char *hash, struct error *e)
{
    char *trials = path_join(j->out, "trials");
    struct json *check = NULL;
    struct error ignored;
    int result = 0;
    if (directory_exists(trials) && file_exists(path) && json_read(&check, path, &ignored) == 0) {
        const char *made_from = json_string(json_get(check, "made_from")), *file = changed_file(in, check);
        if (made_from && strcmp(made_from, hash) != 0)
            result = error_set(e, ERROR_USAGE,
                               "%s holds trials trained on other rows: %s has changed since; use another out=DIRECTORY, restore "
                               "the old %s, or remove %s to train again",
                               j->out, file ? file : "the model's tokenizer", file ? "file" : "one", trials);
    }
    json_destroy(&check);
    free(trials);
    return result;
}

/* The report and the place of the rows file, made unless they are there. */
static int provide(struct json **check, char **rows, const struct job *j, struct error *e)
{
    char hash[SHA256_HEX], *path = path_join(j->out, "check.json"), *directory = path_join(j->out, "tokens"), *model = NULL,
                           *facts = NULL;
    struct tokenizer *tokenizer = NULL;
    struct inputs in = inputs_of_job(j);
    struct protocol protocol = {0};
    int result = -1;
    *rows = NULL;
    if (memory_bound_check(e) || protocol_open(&protocol, j, e) || model_directory_find(&model, j->model, e) ||
        tokenizer_open(&tokenizer, model, e) || check_vocabulary(j, model, tokenizer, e) || check_length(j, tokenizer, e) ||
        hash_inputs(hash, &in, j, &protocol, tokenizer, e) || protocol_check_files(&protocol, in.path, in.sha256, in.count, e) ||
        refuse_other_rows(j, &in, path, hash, e) || directory_create(directory, e))
        goto done;
    *rows = data_rows_path(j->out, hash);
    facts = facts_path(j, hash);
    load_check(check, path, hash, *rows, facts);
    if (*check) {
        result = 0;
        goto done;
    }
    if (make_rows(check, j, &protocol, tokenizer, &in, *rows, facts, e))
        goto done;
    json_set_string(*check, "made_from", hash);
    if (tokenizer_disagreement(tokenizer)) {
        json_set_string(*check, "tokenizer", tokenizer_disagreement(tokenizer));
        log_warn("%s", tokenizer_disagreement(tokenizer));
    }
    json_set(*check, "files", describe_inputs(&in));
    result = json_write(path, *check, e);
    if (result)
        json_destroy(check);
done:
    if (result) {
        free(*rows);
        *rows = NULL;
    }
    protocol_close(&protocol);
    tokenizer_close(&tokenizer);
    free(facts);
    free(model);
    free(directory);
    free(path);
    return result;
}

/* What the report says against a run. */
static int judge(const struct job *j, const struct json *check, struct error *e)
{
    const struct json *repeats = json_get(check, "duplicates");
    char *where = path_join(j->out, "check.json");
    int result = data_problem_check(PROBLEM_CONFLICTING_DUPLICATES, j, json_number(json_get(repeats, "with_other_label")),
                                    json_number(json_get(check, "kept")),
                                    "rows have the same text as another row but a different label", where, e);
    free(where);
    if (result)
        data_print_check(check);
    return result;
}

int data_check(const struct job *j, struct error *e)
{
    struct json *check;
    struct dataset *d;
    if (data_open(&d, &check, j, e))
        return -1;
    dataset_close(&d);
    json_destroy(&check);
    return 0;
}

int data_open(struct dataset **ret, struct json **check, const struct job *j, struct error *e)
{
    char *rows;
    struct json *found;
    if (provide(&found, &rows, j, e))
        return -1;
    int result = judge(j, found, e);
    if (!result)
        result = dataset_open(ret, rows, e);
    free(rows);
    if (result)
        json_destroy(&found);
    else
        *check = found;
    return result;
}

int data_facts(struct row_facts *ret, const struct job *j, const struct json *check, uint32_t rows, struct error *e)
{
    char *path = facts_path(j, json_string(json_get(check, "made_from")));
    int result = row_facts_read(ret, path, rows, e);
    free(path);
    return result;
}
