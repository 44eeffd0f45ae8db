/* SPDX-License-Identifier: Apache-2.0 */
/* The model card. */
#include "coordinator/bundle/model_card.h"

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/version.h"
#include "coordinator/bundle/adapter.h"
#include "coordinator/job/job_variant.h"

#include <stdlib.h>
#include <string.h>

/* YAML takes a JSON text as it is. */
static void add_quoted(struct buffer *b, const char *text)
{
    struct json *j = json_of_string(text);
    char *quoted = json_print(j, false);
    buffer_text(b, quoted);
    free(quoted);
    json_destroy(&j);
}

/* As a code span, whatever the text holds: between more backticks than it has in a row, on one line. */
static void add_code(struct buffer *b, const char *text)
{
    size_t longest = 0, size = strlen(text);
    for (const char *p = text; *p; p++) {
        size_t run = strspn(p, "`");
        longest = run > longest ? run : longest;
        p += run ? run - 1 : 0;
    }
    bool padded = size > 0 && (text[0] == '`' || text[size - 1] == '`');
    for (size_t i = 0; i <= longest; i++)
        buffer_text(b, "`");
    buffer_text(b, padded ? " " : "");
    for (; *text; text++)
        buffer_append(b, (unsigned char)*text < ' ' ? " " : text, 1);
    buffer_text(b, padded ? " " : "");
    for (size_t i = 0; i <= longest; i++)
        buffer_text(b, "`");
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static void add_metric(struct buffer *b, const char *type, const char *name, double value)
{
    buffer_printf(b, "    - type: %s\n      value: %.6f\n      name: ", type, value);
    add_quoted(b, name);
    buffer_text(b, "\n");
}

static void add_front_matter(struct buffer *b, const struct bundle_source *s)
{
    const struct job *j = s->place->job;
    const struct binary_metrics *m = &s->score->test.metrics;
    buffer_text(b, "---\nlibrary_name: transformers\npipeline_tag: text-classification\n");
    if (!directory_exists(j->model)) {
        buffer_text(b, "base_model: ");
        add_quoted(b, j->model);
        buffer_text(b, "\n");
    }
    buffer_text(
        b, "tags:\n- text-classification\n- muster\nmetrics:\n- f1\n- precision\n- recall\n- accuracy\nmodel-index:\n- name: ");
    add_quoted(b, j->name);
    buffer_text(b, "\n  results:\n  - task:\n      type: text-classification\n    dataset:\n      name: ");
    add_quoted(b, base_name(j->data.path ? j->data.path : j->data.test_path));
    buffer_text(b, "\n      type: json\n      split: test\n    metrics:\n");
    if (s->data->kind != DECISION_BINARY) {
        add_metric(b, "f1", "Micro F1 by the bundle's rule", s->score->test.all.micro_f1);
        add_metric(b, "f1", "Macro F1 by the bundle's rule", s->score->test.all.macro_f1);
        add_metric(b, "accuracy", "Accuracy by the bundle's rule", s->score->test.all.accuracy);
        buffer_text(b, "---\n\n");
        return;
    }
    add_metric(b, "f1", "F1 at the bundle's threshold", m->f1);
    add_metric(b, "precision", "Precision at the bundle's threshold", m->precision);
    add_metric(b, "recall", "Recall at the bundle's threshold", m->recall);
    add_metric(b, "accuracy", "Accuracy at the bundle's threshold", m->accuracy);
    buffer_text(b, "---\n\n");
}

static void add_row(struct buffer *b, const struct bundle_source *s, const char *name, const struct part_metrics *p)
{
    const struct binary_metrics *m = &p->metrics;
    const struct averaged_metrics *all = &p->all;
    if (s->data->kind == DECISION_BINARY)
        buffer_printf(b, "| %s | %u | %.4f | %.4f | %.4f | %.4f | %.4f |\n", name, p->rows, p->loss, m->accuracy, m->precision,
                      m->recall, m->f1);
    else
        buffer_printf(b, "| %s | %u | %.4f | %.4f | %.4f | %.4f | %.4f | %.4f |\n", name, p->rows, p->loss, all->accuracy,
                      all->micro_precision, all->micro_recall, all->micro_f1, all->macro_f1);
}

static void add_metrics(struct buffer *b, const struct bundle_source *s)
{
    if (s->data->kind == DECISION_BINARY) {
        buffer_text(b, "## Metrics\n\nPrecision, recall and F1 of ");
        add_code(b, s->data->label_names[s->data->positive]);
        buffer_text(b, " at that threshold.\n\n| part | rows | loss | accuracy | precision | recall | F1 |\n"
                       "|---|---|---|---|---|---|---|\n");
    } else {
        buffer_text(b, "## Metrics\n\nAccuracy is the share of rows that are all right; precision and recall are those of all "
                       "labels together.\n\n| part | rows | loss | accuracy | precision | recall | micro F1 | macro F1 |\n"
                       "|---|---|---|---|---|---|---|---|\n");
    }
    add_row(b, s, "validation", &s->score->validation);
    add_row(b, s, "test", &s->score->test);
    if (s->comparison)
        buffer_printf(b, "\n%s", s->comparison);
    if (s->configurations)
        buffer_printf(b, "\n%s", s->configurations);
}

/* Labels whose rows support no threshold, or temperature, of their own. */
static void add_neutral_labels(struct buffer *b, const struct bundle_source *s)
{
    const struct tuned_trial *winner = decision_winner(s->decision);
    const struct label_thresholds *t = s->place->job->tune.per_trial ? &winner->by_label : &s->decision->trials[0].by_label;
    char *cross = label_cross_summary(&t->cross, &s->place->job->tune.grid);
    if (cross)
        buffer_printf(b, "%s: %s, within validation.\n\n",
                      t->cross.better ? "Thresholds by label" : "One threshold for all labels", cross);
    free(cross);
    for (uint32_t l = 0; s->data->kind == DECISION_LABELS && t->each && l < t->labels; l++)
        if (t->each[l].neutral)
            buffer_printf(b, "- `%s`: threshold 0.5, not tuned: %s\n", s->data->label_names[l], t->each[l].why);
    for (uint32_t l = 0; winner->fit.own > 0 && l < s->data->labels; l++)
        if (winner->temperature_why[l])
            buffer_printf(b, "- `%s`: temperature %.6g: %s\n", s->data->label_names[l], winner->temperatures[l],
                          winner->temperature_why[l]);
    buffer_text(b, "\n");
}

static void add_rule(struct buffer *b, const struct bundle_source *s)
{
    const char *rule = threshold_rule_names[s->place->job->tune.grid.rule];
    buffer_text(b, "## Decision rule\n\n");
    if (s->data->kind == DECISION_BINARY) {
        buffer_text(b, "A row is ");
        add_code(b, s->data->label_names[s->data->positive]);
        buffer_printf(b, " if its probability (softmax) is at least **%.6g**", s->decision->threshold);
        if (s->decision->neutral)
            buffer_printf(b, ". The threshold was not tuned: %s.\n\n", s->decision->neutral);
        else
            buffer_printf(b, ", the threshold that the rule `%s` chose on the validation part. The test part chose nothing.\n\n",
                          rule);
    } else if (s->data->kind == DECISION_CLASS)
        buffer_text(b, "A row is of the class that is the most probable.\n\n");
    else
        buffer_printf(b,
                      "A row has a label if the label's probability (sigmoid) is at least its threshold (`thresholds` of "
                      "inference_config.json; %.6g for labels without one of their own), which the rule `%s` chose on the "
                      "validation part. The test part chose nothing.\n\n",
                      s->decision->threshold, rule);
    if (s->data->kind == DECISION_LABELS && s->decision->neutral)
        buffer_printf(b, "The threshold %.6g was not tuned: %s.\n\n", s->decision->threshold, s->decision->neutral);
    if (decision_temperature_why(s->decision))
        buffer_printf(b, "The temperature is 1: %s.\n\n", decision_temperature_why(s->decision));
    add_neutral_labels(b, s);
}

static void add_fields(struct buffer *b, const char *name, const struct text_fields *f, const struct json *limits,
                       const char *joiner)
{
    if (f->count == 0)
        return;
    buffer_printf(b, "- %s: ", name);
    for (size_t i = 0; i < f->count; i++) {
        double words = json_number(json_get(limits, f->names[i]));
        buffer_text(b, i ? ", " : "");
        add_code(b, f->names[i]);
        if (words > 0)
            buffer_printf(b, " (first %.0f words)", words);
    }
    if (f->count > 1)
        buffer_printf(b, ", the non-empty ones joined with `%s`", joiner);
    buffer_text(b, "\n");
}

/* How a row's logits become a decision, in Python. */
static char *decision_in_python(const struct bundle_source *s)
{
    const char *temperature = decision_winner(s->decision)->fit.own > 0 ? "torch.tensor(list(rule[\"temperatures\"].values()))"
                                                                        : "rule[\"temperature\"]";
    if (s->data->kind == DECISION_CLASS)
        return format_string("print(rule[\"id2label\"][str((logits / %s)[0].argmax().item())])\n", temperature);
    if (s->data->kind == DECISION_LABELS)
        return format_string(
            "probability = torch.sigmoid(logits / %s)[0]\n"
            "print([l for i, l in rule[\"id2label\"].items() if probability[int(i)] >= rule[\"thresholds\"][l]])\n",
            temperature);
    return format_string("probability = torch.softmax(logits / %s, -1)[0, %d].item()\n"
                         "print(probability, rule[\"id2label\"][\"%d\" if probability >= rule[\"threshold\"] else \"%d\"])\n",
                         temperature, s->data->positive, s->data->positive, 1 - s->data->positive);
}

static char *model_in_python(const struct bundle_source *s)
{
    if (!adapter_is_separate(s))
        return duplicate("model = AutoModelForSequenceClassification.from_pretrained(directory).eval()\n");
    return format_string("from peft import PeftModel\n"
                         "base = AutoModelForSequenceClassification.from_pretrained(\"%s\", num_labels=%u)\n"
                         "model = PeftModel.from_pretrained(base, f\"{directory}/adapter\").eval()\n",
                         adapter_base_name(s), s->data->labels);
}

static void add_usage(struct buffer *b, const struct bundle_source *s)
{
    bool pair = s->place->job->data.text_b.count > 0;
    char *decision = decision_in_python(s), *model = model_in_python(s);
    buffer_printf(
        b,
        "## Use\n\n```python\nimport json, torch\nfrom transformers import AutoModelForSequenceClassification, AutoTokenizer\n\n"
        "directory = \"bundle\"\ntokenizer = AutoTokenizer.from_pretrained(directory)\n%s"
        "rule = json.load(open(f\"{directory}/inference_config.json\"))\n\n"
        "inputs = tokenizer(%s, truncation=\"%s\", max_length=rule[\"max_length\"], return_tensors=\"pt\")\n"
        "with torch.no_grad():\n    logits = model(**inputs).logits\n%s```\n\n"
        "Or without Python: `muster predict bundle rows.jsonl`.\n",
        model, pair ? "text_a, text_b" : "text_a", truncation_names[s->place->job->train.truncation], decision);
    free(decision);
    free(model);
}

char *model_card(const struct bundle_source *s)
{
    const struct job *j = s->place->job;
    const struct trial_run *t = s->trial;
    struct buffer b = {0};
    add_front_matter(&b, s);
    buffer_printf(&b, "# %s\n\nA text classifier, fine-tuned from ", j->name);
    add_code(&b, j->model);
    buffer_text(&b, ". Labels: ");
    for (uint32_t c = 0; c < s->data->labels; c++) {
        buffer_text(&b, c ? ", " : "");
        add_code(&b, s->data->label_names[c]);
    }
    buffer_text(&b, ".\n\n");
    add_rule(&b, s);
    add_metrics(&b, s);
    buffer_printf(&b, "\n## Input\n\nAt most %u tokens, truncation `%s`; white space is collapsed.\n\n", j->train.max_length,
                  truncation_names[j->train.truncation]);
    add_fields(&b, "text A", &j->data.text_a, j->data.word_limits, j->data.joiner);
    add_fields(&b, "text B", &j->data.text_b, j->data.word_limits, j->data.joiner);
    buffer_text(&b, "\n");
    add_usage(&b, s);
    if (s->origin)
        buffer_printf(
            &b,
            "\n## Cross-validation\n\nThe rows of train and validation were dealt into %u folds. What stands under "
            "validation is of out-of-fold predictions: of each row by the model of its fold, which has not seen it. The "
            "weights of this bundle were trained on %s; its metrics on test are of these weights.\n",
            s->data->fold_count, s->origin);
    char *training = job_training_summary(&t->job);
    buffer_printf(
        &b,
        "\n## Training\n\nTrial `%s`, epoch %u of %u: %s, seed %.0f.\nData sha256 `%s`, "
        "split sha256 `%s`. Made by muster %s.\n\n`known_rows.bin` holds eight bytes of a hash for each row of the train, "
        "validation and test parts, so that `muster evaluate` can tell rows that the model has seen from new ones; no "
        "text can be read from it.\n",
        t->key, t->best_epoch, t->job.train.epochs, training, (double)t->job.seed, dataset_sha256(s->data->data),
        s->data->split.sha256, MUSTER_VERSION);
    free(training);
    return b.data;
}
