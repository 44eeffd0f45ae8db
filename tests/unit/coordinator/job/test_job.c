/* SPDX-License-Identifier: Apache-2.0 */
/* The job file: values and defaults, every refusal with its words, overrides, the claim of a run directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "coordinator/job/job_fields.h"
#include "coordinator/job/job_lines.h"
#include "coordinator/job/job_variant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MINIMAL "\"model\": \"m\", \"data\": {\"path\": \"p.jsonl\", \"text_a\": [\"a\"]}"

static char directory[] = "/tmp/test_job.XXXXXX";

static int enter(void **state)
{
    (void)state;
    return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    struct error e;
    return chdir("/") == 0 ? directory_remove(directory, &e) : -1;
}

static void write_job(const char *text)
{
    struct error e = {0};
    assert_int_equal(file_write("j.json", text, strlen(text), &e), 0);
}

/* Reads j.json holding `text`; overrides: NULL-terminated. */
static int read_with(struct job *j, const char *text, const char *const *overrides, struct error *e)
{
    size_t count = 0;
    while (overrides && overrides[count])
        count++;
    write_job(text);
    return job_read(j, "j.json", overrides, count, e);
}

static void accepted(struct job *j, const char *text, const char *const *overrides)
{
    struct error e = {0};
    if (read_with(j, text, overrides, &e) != 0)
        fail_msg("expected a job, found: %s", e.message);
}

static void defaults_of_w1(void **state)
{
    (void)state;
    struct job j;
    accepted(&j, "{" MINIMAL "}", NULL);
    assert_string_equal(j.name, "j");
    assert_string_equal(j.out, "runs/j");
    assert_int_equal(j.seed, 42);
    assert_true(j.split.train == 0.70 && j.split.validation == 0.15);
    assert_true(j.train.lr == 2e-5 && j.train.weight_decay == 0.01 && j.train.clip == 1 && j.train.warmup == 0 &&
                j.train.dropout < 0);
    assert_int_equal(j.train.epochs, 5);
    assert_int_equal(j.train.batch, 8);
    assert_int_equal(j.train.micro_batch, 8);
    assert_int_equal(j.train.max_length, 512);
    assert_int_equal(j.train.truncation, TRUNCATE_ONLY_SECOND);
    assert_string_equal(j.train.class_weights, "balanced");
    assert_string_equal(j.train.select, "loss");
    assert_int_equal(j.train.patience, 0);
    assert_true(j.tune.grid.rule == RULE_F1 && j.tune.grid.from == 0.1 && j.tune.grid.to == 0.9 && j.tune.grid.points == 33);
    assert_true(j.tune.per_trial);
    assert_null(j.sweep);
    assert_null(j.data.id);
    assert_string_equal(j.data.joiner, ". ");
    job_free(&j);
}

/* The example of the design, with every key there is. */
static void every_key(void **state)
{
    (void)state;
    struct job j;
    accepted(
        &j,
        "{ \"name\": \"citations\", \"out\": \"runs/citations\", \"model\": \"PATH\", \"seed\": 7,"
        "  \"task\": \"single_label_classification\","
        "  \"data\":  { \"path\": \"pairs.jsonl\", \"id\": null, \"group\": \"original_paper_id\", \"label\": \"label\","
        "             \"text_a\": [\"sentence\"], \"text_b\": [\"ref_paper_title\",\"ref_paper_authors\",\"ref_paper_text\"],"
        "             \"joiner\": \". \", \"required\": [\"sentence\",\"ref_paper_text\"], \"labels\": "
        "[\"NOT_CITATION\",\"CITATION\"],"
        "             \"positive\": \"CITATION\" },"
        "  \"split\": { \"train\": 0.70, \"validation\": 0.15, \"method\": \"numpy\", \"file\": null },"
        "  \"train\": { \"lr\": 2e-5, \"epochs\": 5, \"batch\": 8, \"micro_batch\": 8, \"max_length\": 512,"
        "             \"truncation\": \"longest_first\", \"class_weights\": [1, 2.5], \"pos_weight\": null,"
        "             \"weight_decay\": 0.01, \"clip\": null, \"warmup\": 0.1, \"dropout\": 0.2, \"precision\": \"bf16\","
        "             \"select\": \"macro_f1\", \"patience\": 2, \"checkpoint_every\": \"500 steps\" },"
        "  \"sweep\": { \"lr\": [1e-5,2e-5,3e-5], \"epochs\": [3,4] },"
        "  \"tune\":  { \"rule\": \"f_beta\", \"from\": 0.1, \"to\": 0.9, \"points\": 33, \"beta\": 2, \"per\": \"baseline\" },"
        "  \"cluster\": { \"launcher\": \"local\", \"groups\": 1, \"ranks_per_group\": 1, \"threads\": 0,"
        "               \"device\": \"auto\", \"hostfile\": null, \"heartbeat_timeout\": 30, \"restarts\": 3 } }",
        NULL);
    assert_int_equal(j.data.text_b.count, 3);
    assert_string_equal(j.data.text_b.names[2], "ref_paper_text");
    assert_string_equal(j.split.method, "numpy");
    assert_null(j.train.class_weights);
    assert_int_equal(j.train.class_weight_count, 2);
    assert_true(j.train.class_weight_list[1] == 2.5 && j.train.clip == 0 && j.train.dropout == 0.2);
    assert_int_equal(j.train.truncation, TRUNCATE_LONGEST_FIRST);
    assert_int_equal(j.train.patience, 2);
    assert_true(j.train.checkpoint_steps == 500 && j.train.checkpoint_minutes == 0);
    assert_int_equal(j.tune.grid.rule, RULE_F_BETA);
    assert_false(j.tune.per_trial);
    assert_int_equal(json_size(json_get(j.sweep, "lr")), 3);
    /* What is resolved is a job again, and the same one. */
    struct error e = {0};
    struct job again;
    assert_int_equal(json_write("again.json", j.resolved, &e), 0);
    assert_int_equal(job_read(&again, "again.json", NULL, 0, &e), 0);
    char *a = json_print(j.resolved, true), *b = json_print(again.resolved, true);
    assert_string_equal(a, b);
    assert_string_equal(j.hash, again.hash);
    free(a);
    free(b);
    job_free(&again);
    job_free(&j);
}

/* The value of a string key is the string, whatever JSON it looks like; the value of another key is JSON. */
static void overrides_of_strings(void **state)
{
    (void)state;
    struct job j;
    accepted(&j, "{" MINIMAL "}",
             (const char *const[]){"name=2024", "data.group=1", "data.id=true", "out=1e5", "data.positive=[x]", "data.label=3",
                                   "data.joiner=\" \"", "split.file={}", "train.checkpoint_every=2.5 minutes", "tune.points=41",
                                   "train.class_weights=[1, 2]", NULL});
    assert_string_equal(j.name, "2024");
    assert_string_equal(j.data.group, "1");
    assert_string_equal(j.data.id, "true");
    assert_string_equal(j.out, "1e5");
    assert_string_equal(j.data.positive, "[x]");
    assert_string_equal(j.data.label, "3");
    assert_string_equal(j.data.joiner, " ");
    assert_string_equal(j.split.file, "{}");
    assert_true(j.train.checkpoint_minutes == 2.5 && j.train.checkpoint_steps == 0);
    assert_int_equal(j.tune.grid.points, 41);
    assert_int_equal(j.train.class_weight_count, 2);
    job_free(&j);
    accepted(&j, "{" MINIMAL ", \"task\": \"multi_label_classification\"}",
             (const char *const[]){"data.group=null", "name=\"7\"", "data.label=[\"u\", \"v\"]", NULL});
    assert_null(j.data.group);
    assert_string_equal(j.name, "7");
    assert_int_equal(j.data.label_columns.count, 2);
    job_free(&j);
}

struct refusal {
    const char *job, *override, *words;
};

static const struct refusal refusals[] = {
    /* what a new user types */
    {"{" MINIMAL ",\n \"train\": {\n  \"learning_rate\": 1e-5}}", NULL,
     "j.json:3: unknown key \"train.learning_rate\"; did you mean \"train.lr\"?"},
    {"{" MINIMAL ", \"train\": {\"batch_size\": 8}}", NULL,
     "j.json:1: unknown key \"train.batch_size\"; did you mean \"train.batch\"?"},
    {"{" MINIMAL ", \"train\": {\"epoch\": 8}}", NULL, "j.json:1: unknown key \"train.epoch\"; did you mean \"train.epochs\"?"},
    {"{" MINIMAL ", \"lr\": 1e-5}", NULL, "j.json:1: unknown key \"lr\"; did you mean \"train.lr\"?"},
    {"{" MINIMAL ", \"output\": \"x\"}", NULL, "j.json:1: unknown key \"output\"; did you mean \"out\"?"},
    {"{" MINIMAL ", \"data.\": 1}", NULL, "j.json:1: unknown key \"data.\"; `muster run --help` lists the keys of a job"},
    {"{" MINIMAL ", \"zzzzzz\": 1}", NULL, "j.json:1: unknown key \"zzzzzz\"; `muster run --help` lists the keys of a job"},
    {"{" MINIMAL "}", "lr=1e-5", "command line: unknown key \"lr\"; did you mean \"train.lr\"?"},
    {"{" MINIMAL "}", "train.lr", "command line: \"train.lr\": expected key=value, such as train.lr=1e-5"},
    {"{" MINIMAL "}", "=1", "command line: \"=1\": expected key=value, such as train.lr=1e-5"},
    /* types */
    {"{" MINIMAL ", \"train\": {\"lr\": \"2e-5\"}}", NULL, "j.json:1: train.lr: expected a number, found \"2e-5\" (a string)"},
    {"{" MINIMAL ", \"train\": {\"epochs\": 2.5}}", NULL,
     "j.json:1: train.epochs: expected a whole number from 1 to 10000, found 2.5 (a number)"},
    {"{" MINIMAL ", \"train\": {\"epochs\": true}}", NULL,
     "j.json:1: train.epochs: expected a whole number, found true (true or false)"},
    {"{" MINIMAL ", \"train\": {\"lr\": null}}", NULL, "j.json:1: train.lr: expected a number, found null"},
    {"{" MINIMAL ", \"train\": [1]}", NULL, "j.json:1: train: expected an object with keys such as \"...\", found a list"},
    {"{\"model\": 3, \"data\": {\"path\": \"p\", \"text_a\": [\"a\"]}}", NULL,
     "j.json:1: model: expected a non-empty string, found 3 (a number)"},
    {"{\"model\": \"m\", \"data\": {\"path\": \"p\", \"text_a\": \"a\"}}", NULL,
     "j.json:1: data.text_a: expected a list of strings such as [\"title\", \"text\"], found \"a\" (a string)"},
    {"{\"model\": \"m\", \"data\": {\"path\": \"p\", \"text_a\": [\"a\", \"a\"]}}", NULL,
     "j.json:1: data.text_a: \"a\" is in the list twice"},
    {"{\"model\": \"m\", \"data\": {\"path\": \"p\", \"text_a\": [1]}}", NULL,
     "j.json:1: data.text_a: expected a list of non-empty strings, found [1] (a list)"},
    {"{" MINIMAL ", \"train\": {\"checkpoint_every\": 500}}", NULL,
     "j.json:1: train.checkpoint_every: expected \"epoch\", \"N steps\" or \"N minutes\", such as \"500 steps\", found 500 (a "
     "number)"},
    {"{" MINIMAL "}", "train.checkpoint_every=2 hours",
     "command line: train.checkpoint_every: expected \"epoch\", \"N steps\" or \"N minutes\", such as \"500 steps\", found \"2 "
     "hours\" (a string)"},
    {"{" MINIMAL "}", "train.checkpoint_every=10 minutes, or 5 steps",
     "command line: train.checkpoint_every: expected \"epoch\", \"N steps\" or \"N minutes\", such as \"500 steps\", found \"10 "
     "minutes, or 5 steps\" (a string)"},
    {"{" MINIMAL "}", "train.checkpoint_every=5 steps, or 10 minutes",
     "command line: train.checkpoint_every: expected \"epoch\", \"N steps\" or \"N minutes\", such as \"500 steps\", found \"5 "
     "steps, or 10 minutes\" (a string)"},
    {"{" MINIMAL "}", "train.checkpoint_every=10 minutes5",
     "command line: train.checkpoint_every: expected \"epoch\", \"N steps\" or \"N minutes\", such as \"500 steps\", found \"10 "
     "minutes5\" (a string)"},
    {"{" MINIMAL "}", "train.checkpoint_every=0x10 steps",
     "command line: train.checkpoint_every: expected \"epoch\", \"N steps\" or \"N minutes\", such as \"500 steps\", found "
     "\"0x10 steps\" (a string)"},
    {"{" MINIMAL "}", "train.checkpoint_every=1.5 steps",
     "command line: train.checkpoint_every: expected \"epoch\", \"N steps\" or \"N minutes\", such as \"500 steps\", found \"1.5 "
     "steps\" (a string)"},
    {"{" MINIMAL "}", "train.checkpoint_every=steps",
     "command line: train.checkpoint_every: expected \"epoch\", \"N steps\" or \"N minutes\", such as \"500 steps\", found "
     "\"steps\" (a string)"},
    {"{" MINIMAL "}", "train.checkpoint_every=nan minutes",
     "command line: train.checkpoint_every: expected \"epoch\", \"N steps\" or \"N minutes\", such as \"500 steps\", found \"nan "
     "minutes\" (a string)"},
    {"{" MINIMAL "}", "train.checkpoint_every= 5 steps",
     "command line: train.checkpoint_every: expected \"epoch\", \"N steps\" or \"N minutes\", such as \"500 steps\", found \" 5 "
     "steps\" (a string)"},
    {"{" MINIMAL "}", "train.checkpoint_every=5 steps ",
     "command line: train.checkpoint_every: expected \"epoch\", \"N steps\" or \"N minutes\", such as \"500 steps\", found \"5 "
     "steps \" (a string)"},
    {"[1]", NULL, "j.json: expected a job, a JSON object, found a list"},
    {"{" MINIMAL ", \"seed\": -1}", NULL,
     "j.json:1: seed: expected a whole number from 0 to 9007199254740991, found -1 (a number)"},
    {"{" MINIMAL "}", "seed=1e300",
     "command line: seed: expected a whole number from 0 to 9007199254740991, found 1e+300 (a number)"},
    /* bounds */
    {"{" MINIMAL "}", "train.lr=0", "command line: train.lr: expected a number above 0 to 1, found 0 (a number)"},
    {"{" MINIMAL "}", "train.lr=fast", "command line: train.lr: expected a number, found \"fast\" (a string)"},
    {"{" MINIMAL "}", "train.dropout=1",
     "command line: train.dropout: expected a number from 0 and below 1 or null, found 1 (a number)"},
    {"{" MINIMAL "}", "train.max_length=2",
     "command line: train.max_length: expected a whole number from 8 to 1048576, found 2 (a number)"},
    {"{" MINIMAL "}", "tune.points=1",
     "command line: tune.points: expected a whole number from 2 to 100001 or null, found 1 (a number)"},
    {"{" MINIMAL "}", "train.pos_weight=2",
     "command line: train.pos_weight: expected [low, high] such as [1, 50], with 0 < low <= high or null, found 2 (a number)"},
    {"{" MINIMAL "}", "train.pos_weight=[50,1]",
     "command line: train.pos_weight: expected [low, high] such as [1, 50], with 0 < low <= high or null, found [50, 1] (a "
     "list)"},
    {"{" MINIMAL "}", "train.pos_weight=[1,50]",
     "j.json: train.pos_weight is for multi-label tasks; for single-label use train.class_weights"},
    {"{" MINIMAL ", \"train\": {\"select\": \"f1\"}}", "task=multi_label_classification",
     "j.json: train.select: f1 is for single-label tasks; for multi-label use micro_f1 or macro_f1"},
    {"{" MINIMAL ", \"train\": {\"class_weights\": [1, 2]}}", "task=multi_label_classification",
     "j.json: train.class_weights is for single-label tasks; for multi-label use train.pos_weight"},
    {"{" MINIMAL ", \"tune\": {\"rule\": \"cost\", \"false_positive_cost\": 0}}", "tune.false_negative_cost=0",
     "j.json: tune.rule cost: tune.false_positive_cost and tune.false_negative_cost are both 0; set one above 0"},
    /* words */
    {"{" MINIMAL "}", "tune.rule=f1_score",
     "command line: tune.rule: expected \"f1\", \"f_beta\", \"recall_at_precision\", \"precision_at_recall\" or \"cost\", found "
     "\"f1_score\" (a string)"},
    {"{" MINIMAL "}", "tune.rule=fbeta",
     "command line: tune.rule: expected \"f1\", \"f_beta\", \"recall_at_precision\", \"precision_at_recall\" or \"cost\", found "
     "\"fbeta\" (a string); did you mean \"f_beta\"?"},
    {"{" MINIMAL "}", "train.precision=fp32",
     "command line: train.precision: expected \"f32\", \"bf16\" or \"tf32\", found \"fp32\" (a string); did you mean \"f32\"?"},
    {"{" MINIMAL "}", "train.schedule=cosin",
     "command line: train.schedule: expected \"linear\", \"cosine\" or \"constant\", found \"cosin\" (a string); did you mean "
     "\"cosine\"?"},
    {"{" MINIMAL "}", "train.label_smoothing=1",
     "command line: train.label_smoothing: expected a number from 0 and below 1, found 1 (a number)"},
    {"{" MINIMAL "}", "train.label_smoothing_factor=0.1",
     "command line: unknown key \"train.label_smoothing_factor\"; did you mean \"train.label_smoothing\"?"},
    {"{" MINIMAL "}", "train.lr_scheduler_type=cosine",
     "command line: unknown key \"train.lr_scheduler_type\"; did you mean \"train.schedule\"?"},
    {"{" MINIMAL "}", "train.focal_gamma=3",
     "j.json: train.focal_gamma has no effect on train.loss \"cross_entropy\"; set train.loss \"focal\", or remove it"},
    {"{" MINIMAL ", \"sweep\": {\"focal_gamma\": [1, 2]}}", NULL,
     "j.json: sweep.focal_gamma has no effect on train.loss \"cross_entropy\"; set train.loss \"focal\", or remove it"},
    {"{" MINIMAL ", \"sweep\": {\"loss\": [\"cross_entropy\", \"focal\"], \"scheduler\": \"median\"}}", NULL,
     "j.json: sweep.scheduler compares trials by train.select \"loss\", which sweep.loss changes; use another train.select, such "
     "as \"macro_f1\""},
    {"{" MINIMAL "}", "split.folds=1",
     "command line: split.folds: expected a whole number from 2 to 1000 or null, found 1 (a number)"},
    {"{" MINIMAL ", \"split\": {\"n_splits\": 5}}", NULL,
     "j.json:1: unknown key \"split.n_splits\"; did you mean \"split.folds\"?"},
    {"{" MINIMAL ", \"split\": {\"folds\": 5, \"method\": \"time\"}}", "data.time=t",
     "j.json: split.folds and split.method \"time\" are mutually exclusive: a fold would be validated by a model that has seen "
     "later "
     "rows; remove one"},
    {"{" MINIMAL "}", "publish.of=best",
     "j.json: publish.of \"best\" has no effect without split.folds; set it, or remove publish.of"},
    {"{" MINIMAL "}", "train.seeds=[]",
     "command line: train.seeds: expected a list of seeds such as [1, 2, 3] or null, found [] (a list)"},
    {"{" MINIMAL "}", "train.seeds=3",
     "command line: train.seeds: expected a list of seeds such as [1, 2, 3] or null, found 3 (a number)"},
    {"{" MINIMAL ", \"train\": {\"seeds\": [1, 2, 1]}}", NULL, "j.json:1: train.seeds: the seed 1 is in the list twice"},
    {"{" MINIMAL "}", "train.seeds=[1,-2]",
     "command line: train.seeds: expected whole numbers from 0 to 9007199254740991 in the list or null, found -2 (a number)"},
    {"{" MINIMAL "}", "train.seeds=[1,2.5]",
     "command line: train.seeds: expected whole numbers from 0 to 9007199254740991 in the list or null, found 2.5 (a number)"},
    {"{" MINIMAL "}", "train.seeds=[\"1\"]",
     "command line: train.seeds: expected whole numbers from 0 to 9007199254740991 in the list or null, found \"1\" (a string)"},
    {"{" MINIMAL ", \"train\": {\"seed\": 1, \"seeds\": [1, 2]}}", NULL,
     "j.json:1: unknown key \"train.seed\"; did you mean \"seed\"?"},
    {"{" MINIMAL ", \"train\": {\"seeds\": [1, 2]}, \"sweep\": {\"seed\": [3, 4]}}", NULL,
     "j.json: train.seeds and sweep.seed are mutually exclusive: both vary the seed; remove one"},
    {"{" MINIMAL ", \"train\": {\"seeds\": [1, 2]}, \"sweep\": {\"lr\": [1e-5, 2e-5], \"scheduler\": \"asha\"}}", NULL,
     "j.json: train.seeds and sweep.scheduler \"asha\" are mutually exclusive: a seed that is pruned would be missing from the "
     "mean of its configuration; remove one"},
    {"{" MINIMAL "}", "train.lora_r=0",
     "command line: train.lora_r: expected a whole number from 1 to 65536, found 0 (a number)"},
    {"{" MINIMAL ", \"train\": {\"method\": \"lora\", \"lora\": {\"alhpa\": 4}}}", NULL,
     "j.json: unknown key \"train.lora_alhpa\"; did you mean \"train.lora_alpha\"?"},
    {"{" MINIMAL "}", "train.method=loar",
     "command line: train.method: expected \"full\" or \"lora\", found \"loar\" (a string); did you mean \"lora\"?"},
    {"{" MINIMAL ", \"train\": {\"lora\": {\"targets\": [\"query\"]}}}", NULL,
     "j.json: train.lora_targets has no effect on train.method \"full\"; set train.method \"lora\""},
    {"{" MINIMAL ", \"train\": {\"method\": \"lora\"}}", "train.freeze=[\"embeddings\"]",
     "j.json: train.freeze and train.method \"lora\" are mutually exclusive: with LoRA the whole base is frozen; remove one"},
    {"{" MINIMAL "}", "train.class_weights=balance",
     "command line: train.class_weights: expected \"balanced\" or \"none\" or a list of numbers, found \"balance\" (a string); "
     "did you mean \"balanced\"?"},
    {"{" MINIMAL "}", "train.class_weights=[1,-2]",
     "command line: train.class_weights: expected a list of numbers above 0, found [1, -2] (a list)"},
    {"{" MINIMAL "}", "task=multilabel_classification",
     "command line: task: expected \"single_label_classification\" or \"multi_label_classification\", found "
     "\"multilabel_classification\" (a string); did you mean \"multi_label_classification\"?"},
    /* what is missing, what does not go together */
    {"{\"data\": {\"path\": \"p\", \"text_a\": [\"a\"]}}", NULL,
     "j.json: \"model\" is missing: directory of a Hugging Face model, or a Hub name that is in the local cache"},
    {"{\"model\": \"m\", \"data\": {\"path\": \"p\"}}", NULL,
     "j.json: \"data.text_a\" is missing: fields joined into the first text"},
    {"{\"model\": \"m\", \"data\": {\"text_a\": [\"a\"]}}", NULL,
     "j.json: \"data.path\" is missing: the file with the data (JSON Lines, CSV or TSV)"},
    {"{" MINIMAL "}", "data.test_path=t", "j.json: data.path and data.test_path are mutually exclusive: remove one"},
    {"{\"model\": \"m\", \"data\": {\"train_path\": \"p\", \"text_a\": [\"a\"]}}", NULL,
     "j.json: \"data.test_path\" is missing: data that comes already split needs train_path and test_path; without "
     "validation_path validation rows are drawn from train"},
    {"{" MINIMAL "}", "split.validation=0.3",
     "j.json: split.train 0.7 and split.validation 0.3 leave no rows for the test part: their sum must be below 1"},
    {"{" MINIMAL "}", "tune.per_class=0",
     "command line: tune.per_class: expected \"auto\", \"true\" or \"false\", found 0 (a number)"},
    {"{" MINIMAL "}", "tune.from=0.9", "j.json: tune.from 0.9 must be below tune.to 0.9"},
    {"{" MINIMAL "}", "name=a/b",
     "j.json: name: \"a/b\" is used as a file name: expected letters, digits, '-', '_' and '.', starting with a letter or digit"},
    {"{" MINIMAL "}", "data.labels=[\"x\"]", "j.json: data.labels: expected at least two names, found one"},
    {"{\"model\": \"m\", \"data\": {\"path\": \"p\", \"text_a\": [\"a\"], \"labels\": [\"N\", \"Y\"], \"positive\": \"YES\"}}",
     NULL, "j.json: data.positive: \"YES\" is not in data.labels"},
    {"{" MINIMAL "}", "cluster.ranks_per_group=3",
     "j.json: cluster.ranks_per_group: expected a power of two (1, 2, 4, ...), found 3"},
    {"{" MINIMAL "}", "train.micro_batch=16", "j.json: train.micro_batch 16 is more than train.batch 8"},
    {"{" MINIMAL ", \"train\": {\"micro_batch\": 8}}", "cluster.ranks_per_group=2",
     "j.json: more ranks than micro-batches: train.batch 8 in micro-batches of 8 makes 1 for cluster.ranks_per_group 2; use a "
     "smaller "
     "train.micro_batch"},
    /* sweep */
    {"{" MINIMAL ", \"sweep\": {\"learning_rate\": [1]}}", NULL,
     "j.json:1: sweep.learning_rate: unknown key \"train.learning_rate\"; did you mean \"train.lr\"?"},
    {"{" MINIMAL ", \"sweep\": {\"lr\": 1e-5}}", NULL,
     "j.json:1: sweep.lr: expected a list of values such as [1e-5, 2e-5], found a number"},
    {"{" MINIMAL ", \"sweep\": {\"lr\": []}}", NULL,
     "j.json:1: sweep.lr: expected a list of values such as [1e-5, 2e-5], found a list"},
    {"{" MINIMAL ", \"sweep\": {\"lr\": [1e-5, 5]}}", NULL,
     "j.json:1: sweep.lr: train.lr: expected a number above 0 to 1, found 5 (a number)"},
    {"{" MINIMAL ", \"sweep\": {\"lr\": [1e-5, 0.00001]}}", NULL, "j.json:1: sweep.lr: the value 1e-05 is in the list twice"},
    {"{" MINIMAL ", \"sweep\": {\"max_length\": [64]}}", NULL,
     "j.json:1: sweep.max_length: train.max_length cannot be swept: all trials share it"},
    {"{" MINIMAL ", \"sweep\": {\"class_weights\": [[1, 2]]}}", NULL,
     "j.json:1: sweep.class_weights: train.class_weights: expected single values in the list, found a list"},
    {"{" MINIMAL ", \"sweep\": [1]}", NULL,
     "j.json:1: sweep: expected an object such as {\"lr\": [1e-5, 2e-5]} or null, found [1] (a list)"},
    {"{" MINIMAL ", \"sweep\": {\"micro_batch\": [8, 16]}}", NULL,
     "j.json: sweep: train.micro_batch 16 is more than train.batch 8"},
    {"{" MINIMAL ", \"sweep\": {\"schedular\": \"asha\"}}", NULL,
     "j.json:1: sweep.schedular: unknown key \"train.schedular\"; did you mean \"sweep.scheduler\"?"},
    {"{" MINIMAL ", \"sweep\": {\"drop_out\": [0.1]}}", NULL,
     "j.json:1: sweep.drop_out: unknown key \"train.drop_out\"; did you mean \"train.dropout\"?"},
    {"{" MINIMAL ", \"sweep\": {\"grace_period\": [1]}}", NULL,
     "j.json:1: sweep.grace_period: unknown key \"train.grace_period\"; did you mean \"sweep.grace_epochs\"?"},
    {"{" MINIMAL ", \"sweep\": {\"scheduler\": \"aska\"}}", NULL,
     "j.json:1: sweep.scheduler: expected \"none\", \"median\" or \"asha\", found \"aska\" (a string); did you mean \"asha\"?"},
    {"{" MINIMAL ", \"sweep\": {\"lr\": [1e-5], \"scheduler\": \"asha\", \"reduction\": 1}}", NULL,
     "j.json:1: sweep.reduction: expected a whole number from 2 to 1000, found 1 (a number)"},
    {"{" MINIMAL ", \"sweep\": {\"lr\": {\"from\": 1e-6, \"to\": 1e-4}}}", NULL,
     "j.json: sweep.lr: a range needs sweep.sample \"random\": set it, or give a list"},
    {"{" MINIMAL ", \"sweep\": {\"lr\": {\"from\": 1e-6, \"to\": 1e-4}, \"sample\": \"random\"}}", NULL,
     "j.json: sweep.count is missing: the number of trials that sweep.sample \"random\" draws"},
    {"{" MINIMAL ", \"sweep\": {\"sample\": \"random\", \"count\": 3}}", NULL,
     "j.json: sweep.sample \"random\" has nothing to draw from: give keys such as sweep.lr a list or a range"},
    {"{" MINIMAL ", \"sweep\": {\"lr\": [1e-5], \"count\": 3}}", NULL,
     "j.json: sweep.count needs sweep.sample \"random\"; a grid has all combinations"},
    {"{" MINIMAL ", \"sweep\": {\"lr\": {\"from\": 1e-4, \"to\": 1e-6}}}", NULL,
     "j.json:1: sweep.lr: \"from\" must be below \"to\""},
    {"{" MINIMAL ", \"sweep\": {\"lr\": {\"from\": 1e-4, \"to\": 2}}}", NULL,
     "j.json:1: sweep.lr: train.lr: expected a number above 0 to 1, found 2 (a number)"},
    {"{" MINIMAL ", \"sweep\": {\"lr\": {\"low\": 1e-6, \"to\": 1e-4}}}", NULL,
     "j.json:1: sweep.lr: a range has \"from\", \"to\" and \"log\", found \"low\""},
    {"{" MINIMAL ", \"sweep\": {\"lr\": {\"from\": 1e-6}}}", NULL,
     "j.json:1: sweep.lr: expected a range such as {\"from\": 1e-6, \"to\": 1e-4, \"log\": true}"},
    {"{" MINIMAL ", \"sweep\": {\"epochs\": {\"from\": 1.5, \"to\": 4}}}", NULL,
     "j.json:1: sweep.epochs: train.epochs: expected a whole number from 1 to 10000, found 1.5 (a number)"},
    {"{" MINIMAL ", \"sweep\": {\"dropout\": {\"from\": 0, \"to\": 0.5, \"log\": true}}}", NULL,
     "j.json:1: sweep.dropout: a logarithmic range must start above 0; raise \"from\", or set \"log\": false"},
    {"{" MINIMAL ", \"sweep\": {\"precision\": {\"from\": 0, \"to\": 1}}}", NULL,
     "j.json:1: sweep.precision: only numeric keys take a range; give a list of values"},
    {"{" MINIMAL ", \"sweep\": {\"class_weights\": [\"balanced\", \"none\"], \"scheduler\": \"median\"}}", NULL,
     "j.json: sweep.scheduler compares trials by train.select \"loss\", which sweep.class_weights changes; use another "
     "train.select, such as \"macro_f1\""},
};

static void refusals_say_what_where_and_what_to_do(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct refusal *r = &refusals[i];
        struct job j;
        struct error e = {0};
        int status = read_with(&j, r->job, (const char *const[]){r->override, NULL}, &e);
        if (status != -1 || e.kind != ERROR_USAGE || strcmp(e.message, r->words) != 0)
            fail_msg("row %zu: expected (2) %s\n      found (%d) %s", i, r->words, status == 0 ? 0 : (int)e.kind, e.message);
    }
}

static void many_labels_a_row(void **state)
{
    (void)state;
    struct job j;
    struct error e = {0};
    if (read_with(&j, "{" MINIMAL ", \"task\": \"multi_label_classification\", \"train\": {\"pos_weight\": [1, 50]}}",
                  (const char *const[]){"tune.per_class=false", NULL}, &e) != 0)
        fail_msg("%s", e.message);
    const struct threshold_grid *g = &j.tune.grid;
    assert_true(j.multi && j.train.pos_weight_low == 1 && j.train.pos_weight_high == 50);
    assert_int_equal(j.tune.per_class, PER_CLASS_FALSE);
    assert_true(g->from == 0.05 && g->to == 0.95 && g->points == 91 && g->decimals == 2);
    /* W2: 0.05, 0.06 ... 0.95, the decimals themselves */
    for (int i = 0; i < g->points; i++)
        assert_true(threshold_value(g, i) == (5 + i) / 100.0);
    job_free(&j);
}

static void broken_files(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "", "{", "{\"model\": \"m\",}", "{\"model\": \"\xff\"}", "{\"model\": \"a\", \"model\": \"b\"}", "nonsense"};
    struct job j;
    struct error e = {0};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        assert_int_equal(read_with(&j, broken[i], NULL, &e), -1);
        assert_int_equal(e.kind, ERROR_USAGE);
        assert_non_null(strstr(e.message, "j.json"));
    }
    assert_int_equal(job_read(&j, "absent.json", NULL, 0, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_non_null(strstr(e.message, "absent.json"));
    assert_int_equal(job_read(&j, ".", NULL, 0, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
}

static void overrides(void **state)
{
    (void)state;
    struct job j;
    accepted(&j, "{" MINIMAL ", \"train\": {\"lr\": 1e-4}, \"sweep\": {\"lr\": [1e-5], \"epochs\": [2]}}",
             (const char *const[]){"train.lr=3e-5", "model=a b", "data.text_b=[\"x\",\"y\"]", "sweep.lr=[1e-5,2e-5]",
                                   "data.joiner=", NULL});
    assert_true(j.train.lr == 3e-5);
    assert_string_equal(j.model, "a b");
    assert_string_equal(j.data.joiner, "");
    assert_int_equal(j.data.text_b.count, 2);
    assert_int_equal(json_size(json_get(j.sweep, "lr")), 2);
    assert_int_equal(j.search.scheduler, SCHEDULER_NONE);
    assert_int_equal(json_size(json_get(j.sweep, "epochs")), 1);
    job_free(&j);
}

static void micro_batch_follows_ranks(void **state)
{
    (void)state;
    static const struct {
        const char *ranks, *batch;
        uint32_t micro_batch;
    } rows[] = {{"cluster.ranks_per_group=2", "train.batch=8", 4},
                {"cluster.ranks_per_group=4", "train.batch=10", 2},
                {"cluster.ranks_per_group=1", "train.batch=7", 7}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct job j;
        accepted(&j, "{" MINIMAL "}", (const char *const[]){rows[i].ranks, rows[i].batch, NULL});
        assert_int_equal(j.train.micro_batch, rows[i].micro_batch);
        job_free(&j);
    }
}

static void a_run_directory_belongs_to_one_job(void **state)
{
    (void)state;
    struct job j;
    struct error e = {0};
    accepted(&j, "{" MINIMAL "}", (const char *const[]){"out=folder", NULL});
    assert_int_equal(job_claim_directory(&j, &e), 0);
    assert_int_equal(job_claim_directory(&j, &e), 0);
    job_free(&j);

    /* Nothing was done there yet: what was mistyped may be put right. */
    accepted(&j, "{" MINIMAL "}", (const char *const[]){"out=folder", "train.lr=1e-4", NULL});
    assert_int_equal(job_claim_directory(&j, &e), 0);
    job_free(&j);
    accepted(&j, "{" MINIMAL "}", (const char *const[]){"out=folder", NULL});
    assert_int_equal(job_claim_directory(&j, &e), 0);
    job_free(&j);
    assert_int_equal(file_write("folder/events.jsonl", "{}\n", 3, &e), 0);

    accepted(&j, "{" MINIMAL "}", (const char *const[]){"out=folder", "train.lr=1e-4", "train.epochs=9", NULL});
    assert_int_equal(job_claim_directory(&j, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_string_equal(e.message, "folder holds the run of another job: train.lr is 2e-05 there and 0.0001 here; use another "
                                   "out=DIRECTORY, or the same value");
    job_free(&j);

    /* Where it runs and how it is tuned may change; an open micro_batch stays what it was. */
    accepted(&j, "{" MINIMAL "}",
             (const char *const[]){"out=folder", "cluster.threads=2", "tune.rule=f_beta", "sweep.lr=[1e-5]", NULL});
    assert_int_equal(job_claim_directory(&j, &e), 0);
    job_free(&j);
    accepted(&j, "{" MINIMAL "}", (const char *const[]){"out=other", "cluster.ranks_per_group=2", NULL});
    assert_int_equal(job_claim_directory(&j, &e), 0);
    assert_int_equal(file_write("other/events.jsonl", "{}\n", 3, &e), 0);
    job_free(&j);
    accepted(&j, "{" MINIMAL "}", (const char *const[]){"out=other", NULL});
    assert_int_equal(job_claim_directory(&j, &e), 0);
    assert_int_equal(j.train.micro_batch, 4);
    job_free(&j);

    /* An unwritable place is said as such, and a file in the way too. */
    assert_int_equal(file_write("file", "x", 1, &e), 0);
    accepted(&j, "{" MINIMAL "}", (const char *const[]){"out=file", NULL});
    assert_int_equal(job_claim_directory(&j, &e), -1);
    job_free(&j);
}

static void trials_of_a_sweep(void **state)
{
    (void)state;
    struct job j, trial;
    struct error e = {0};
    accepted(&j, "{" MINIMAL "}", NULL);
    struct json *values = json_object();
    json_set_number(values, "lr", 1e-5);
    json_set_number(values, "epochs", 4);
    json_set_number(values, "batch", 16);
    json_set_string(values, "precision", "bf16");
    assert_int_equal(job_variant(&trial, &j, values, &e), 0);
    assert_true(trial.train.lr == 1e-5 && j.train.lr == 2e-5);
    assert_int_equal(trial.train.micro_batch, 16);
    char *key = job_trial_key(&trial, values);
    assert_string_equal(key, "lr-1e-05_epochs-4_batch-16_precision-bf16");
    free(key);
    key = job_trial_key(&j, NULL);
    assert_string_equal(key, "lr-2e-05_epochs-5");
    free(key);
    struct json *options = job_train_options(&trial);
    char *text = json_print(options, false);
    assert_non_null(strstr(text, "\"lr\": 1e-05, \"epochs\": 4, \"batch\": 16"));
    free(text);
    json_destroy(&options);
    json_destroy(&values);
    job_free(&j);
}

/* repr() of Python 3 for the same numbers. */
static void keys_are_spelled_as_python_does(void **state)
{
    (void)state;
    static const struct {
        double lr;
        const char *key;
    } rows[] = {{1e-5, "lr-1e-05_epochs-5"},  {2e-05, "lr-2e-05_epochs-5"},     {0.0001, "lr-0.0001_epochs-5"},
                {0.001, "lr-0.001_epochs-5"}, {1.5e-05, "lr-1.5e-05_epochs-5"}, {1.2345678e-05, "lr-1.2345678e-05_epochs-5"},
                {0.1, "lr-0.1_epochs-5"}};
    struct job j = {.train.epochs = 5};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        j.train.lr = rows[i].lr;
        char *key = job_trial_key(&j, NULL);
        assert_string_equal(key, rows[i].key);
        free(key);
    }
}

static void lines(void **state)
{
    (void)state;
    const char *text = "{\n \"a\": {\"b\": [1, {\"c\": 2}],\n  \"d\": \"x: {\\\"\"},\n \"d\": 1\n}";
    assert_int_equal(job_line_of(text, "a"), 2);
    assert_int_equal(job_line_of(text, "a.b"), 2);
    assert_int_equal(job_line_of(text, "a.d"), 3);
    assert_int_equal(job_line_of(text, "d"), 4);
    assert_int_equal(job_line_of(text, "c"), 0);
}

/* Every row of the table has a default that its own checks take, and help. */
static void the_table_agrees_with_itself(void **state)
{
    (void)state;
    for (size_t i = 0; i < job_field_count; i++) {
        const struct job_field *f = &job_fields[i];
        struct job j = {0};
        struct json *value = NULL;
        struct error e = {0};
        assert_non_null(f->help);
        assert_int_equal(json_parse(&value, f->fallback, strlen(f->fallback), f->key, &e), 0);
        int status = job_field_store(f, &j, value, &e);
        if (status != (f->flags & JOB_REQUIRED ? -1 : 0))
            fail_msg("%s: %s", f->key, e.message);
        job_field_free(f, &j);
        json_destroy(&value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overrides_of_strings),
        cmocka_unit_test(defaults_of_w1),
        cmocka_unit_test(every_key),
        cmocka_unit_test(many_labels_a_row),
        cmocka_unit_test(refusals_say_what_where_and_what_to_do),
        cmocka_unit_test(broken_files),
        cmocka_unit_test(overrides),
        cmocka_unit_test(micro_batch_follows_ranks),
        cmocka_unit_test(a_run_directory_belongs_to_one_job),
        cmocka_unit_test(trials_of_a_sweep),
        cmocka_unit_test(keys_are_spelled_as_python_does),
        cmocka_unit_test(lines),
        cmocka_unit_test(the_table_agrees_with_itself),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
