/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of whole trials on tiny models. Such a program starts itself again (under mpirun where ranks are more than one):
 * `PROGRAM run FOLDER key=value ...` is one trial in FOLDER. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/fault.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/operation.h"
#include "common/base/sha256.h"
#include "common/base/stop.h"
#include "common/base/trace.h"
#include "common/format/results.h"
#include "common/json/json.h"
#include "tests/unit/worker/train/late_device.h"
#include "worker/train/trainer.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LABELS = 3, STEPS = 12 /* of two epochs of 45 rows by 8 */ };

/* ---- the child: one trial ---- */

static int option_count;
static char **options;

static inline const char *option(const char *name, const char *otherwise)
{
    size_t size = strlen(name);
    for (int i = 0; i < option_count; i++)
        if (!strncmp(options[i], name, size) && options[i][size] == '=')
            return options[i] + size + 1;
    return otherwise;
}

static inline double number(const char *name, double otherwise)
{
    const char *text = option(name, NULL);
    return text ? atof(text) : otherwise;
}

/* Since counting began: what this program asked for itself, and blocks held by anybody. */
struct accounts {
    long long own, held;
};

static struct accounts accounts, accounts_before, accounts_of_steps;

int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *)) __attribute__((weak));

static inline void on_free(const volatile void *pointer)
{
    accounts.held -= pointer != NULL;
}

/* Libraries may ask for memory within an operation (oneDNN wraps the arguments of a product, its sgemm packs them), but must give
 * it back. */
static inline void on_malloc(const volatile void *pointer, size_t size)
{
    (void)pointer, (void)size;
    static bool inside;
    void *frames[16];
    accounts.held++;
    if (inside)
        return;
    inside = true;
    Dl_info own, of;
    dladdr((void *)(uintptr_t)on_free, &own);
    int count = backtrace(frames, 16), i = 2; /* behind backtrace and this function */
    while (i < count && dladdr(frames[i], &of) && strstr(of.dli_fname, "libasan"))
        i++;
    accounts.own += i < count && dladdr(frames[i], &of) && !strcmp(of.dli_fname, own.dli_fname);
    inside = false;
}

/* Many files where the checkpoint is to be written, which are removed first: it is not in files before the next step's gradients
 * are there. */
static inline void delay_save(const char *directory)
{
    struct error e;
    char *parent = format_string("%s/checkpoint.new", directory);
    if (directory_create(parent, &e))
        abort();
    for (int i = 0; i < 20000; i++) {
        char *path = format_string("%s/%d", parent, i);
        FILE *f = fopen(path, "w");
        if (!f || fclose(f))
            abort();
        free(path);
    }
    free(parent);
}

/* context: the trial's directory. */
static inline void observe_step(void *context, const struct step_report *r)
{
    bool training = !strcmp(operation_now(), "optimizer"); /* the last of a step */
    if (training && r->step == (uint64_t)number("stop", 0))
        stop_request();
    if (training && r->step == (uint64_t)number("delay_save", 0))
        delay_save(context);
    if (training && r->step == (uint64_t)number("kill", 0))
        kill(getpid(), SIGKILL);
    if (!strcmp(operation_now(), "evaluate") && r->epoch == (uint32_t)number("stop_validation", 0))
        stop_request();
    if (training && r->step > 3 && r->step < 9) {
        accounts_of_steps.own += accounts.own - accounts_before.own;
        accounts_of_steps.held += accounts.held - accounts_before.held;
    }
    accounts_before = accounts;
}

static double lowest = INFINITY;

static inline int observe_epoch(void *context, const struct epoch_report *r, struct epoch_decision *ret, struct error *e)
{
    (void)context;
    struct logits l;
    /* A resumed run must judge as the first did, so the lowest loss so far comes from the file. */
    lowest = INFINITY;
    for (uint32_t epoch = 1; epoch <= r->epoch; epoch++) {
        if (logits_read(&l, r->logits, PART_VALIDATION, (int)epoch, NULL, e))
            return -1;
        ret->best = l.loss < lowest;
        lowest = ret->best ? l.loss : lowest;
        logits_free(&l);
    }
    ret->stop = r->epoch == (uint32_t)number("last_epoch", 0);
    ret->metrics = format_string("{\"accuracy\":%g}", 0.5);
    return 0;
}

static const struct communicator_operations *true_operations;
static struct communicator_operations counted_operations;

/* Asks for a stop on a rank that is not rank 0, in the middle of some step. */
static inline int counted_doubles(struct communicator *c, double *data, size_t count, struct error *e)
{
    static int calls;
    if (++calls == (int)number("stop_call", 0) && c->rank == 1)
        stop_request();
    return true_operations->all_reduce_doubles(c, data, count, e);
}

/* A fault that never comes: with planned ones, what was saved before a kill is on the disk. */
static inline void save_at_once(void)
{
    struct error e;
    if (fault_plan("kill op=load step=1000000", NULL, &e))
        abort();
}

static inline int run_trial(const char *directory, struct device *d, struct communicator *c, struct error *e)
{
    double weights[LABELS] = {number("w0", 0.7), number("w1", 1.5), number("w2", 1.1)};
    bool multi = number("multi", 0) != 0;
    char *parent = format_string("%.*s", (int)(strrchr(directory, '/') - directory), directory);
    struct trial t = {
        .kind = number("score", 0) != 0 ? TRIAL_SCORE : TRIAL_TRAIN,
        .key = duplicate("tiny"),
        .directory = duplicate(directory),
        .dataset = format_string("%s/%s.rows", parent, multi ? "multi" : "single"),
        .split = number("split", 1) != 0 ? format_string("%s/%s.split.json", parent, multi ? "multi" : "single") : NULL,
        .model = duplicate(option("model", TEST_GOLDEN "/train_model")),
        .weights = duplicate(option("weights", NULL)),
        .score_train = number("parts", 1) != 0,
        .score_validation = true,
        .score_test = number("parts", 1) != 0,
        .multi = multi,
        .labels = LABELS,
        .weights_by_class = weights,
        .seed = 42,
        .lr = number("lr", 2e-3),
        .weight_decay = number("decay", 0.01),
        .clip = number("clip", 1),
        .warmup = number("warmup", 0.1),
        .schedule = schedule_kind_find(option("schedule", "linear")),
        .layer_decay = number("layer_decay", 0),
        .freeze = option("freeze", NULL) ? duplicate(option("freeze", NULL)) : NULL,
        .lora_rank = (uint32_t)number("r", 0),
        .lora_alpha = number("alpha", 16),
        .lora_dropout = number("lora_dropout", 0),
        .lora_rslora = number("rslora", 0) != 0,
        .lora_freeze_head = number("freeze_head", 0) != 0,
        .lora_bias = (enum lora_bias)number("bias", 0),
        .lora_targets = option("targets", NULL) ? duplicate(option("targets", NULL)) : NULL,
        .checkpointing = number("checkpointing", 0) != 0,
        .label_smoothing = number("smoothing", 0),
        .focal_gamma = number("gamma", 0),
        .dropout = number("dropout", 0),
        .epochs = (uint32_t)number("epochs", 2),
        .batch = (uint32_t)number("batch", 8),
        .micro_batch = (uint32_t)number("micro", 8),
        .max_length = 32,
        .resume = (int)number("resume", 1),
        .checkpoint_steps = (uint32_t)number("checkpoint_steps", 0),
        .checkpoint_minutes = number("checkpoint_minutes", 0),
    };
    snprintf(t.precision, sizeof t.precision, "%s", option("precision", "f32"));
    if (number("kill", 0) > 0)
        save_at_once();
    const struct observer o = {t.directory, observe_step, observe_epoch}, *watching = c->rank ? NULL : &o;
    struct trainer_result r = {0};
    int result = t.kind == TRIAL_SCORE ? scorer_run(&t, d, c, watching, e) : trainer_run(&r, &t, d, c, watching, e);
    if (!result && !c->rank)
        printf("epochs %u best %u steps %llu\n", r.epochs_done, r.best_epoch, (unsigned long long)r.steps);
    if (!result && t.kind == TRIAL_TRAIN && number("count", 0) != 0)
        printf("allocations %lld, kept %lld\n", accounts_of_steps.own, accounts_of_steps.held);
    free(r.best_weights);
    t.weights_by_class = NULL;
    trial_free(&t);
    free(parent);
    return result;
}

static inline int be_a_rank(const char *directory)
{
    struct error e = {0};
    struct device *d = NULL;
    struct communicator *c = NULL;
    if (number("trace", 0) != 0)
        trace_start();
    if (__sanitizer_install_malloc_and_free_hooks && number("count", 0) != 0)
        __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
    rlim_t limit = (rlim_t)number("limit", 0); /* of a file, in bytes */
    signal(SIGXFSZ, SIG_IGN);
    if (limit && (!getenv("OMPI_COMM_WORLD_RANK") || !strcmp(getenv("OMPI_COMM_WORLD_RANK"), "0")))
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){limit, limit});
    enum precision precision = (enum precision)precision_find(option("precision", "f32"));
    int result =
        communicator_create(&c, getenv("OMPI_COMM_WORLD_SIZE") ? option("comm", "mpi") : "self", 0, number("timeout", 60), &e);
    if (!result) {
        c->fast = number("fast", 0) != 0;
        result = device_create(&d, option("device", "cpu_reference"), precision, (int)number("threads", 1), &e);
    }
    if (!result && number("late", 0) != 0)
        late_take(d, (struct late_plan){.silent = number("silent", 0) != 0,
                                        .prompt = number("prompt", 0) != 0,
                                        .fails_at = c->rank == c->size - 1 ? (uint64_t)number("fails_at", 0) : 0,
                                        .left_out = (int)number("left_out", 0),
                                        .bad_loss = c->rank == c->size - 1 ? (int)number("bad_loss", 0) : 0});
    if (!result) {
        true_operations = c->run;
        counted_operations = *c->run;
        counted_operations.all_reduce_doubles = counted_doubles;
        c->run = &counted_operations;
        result = run_trial(directory, d, c, &e);
    }
    if (result)
        printf("rank %d: kind %d: %s\n", c ? c->rank : -1, e.kind, e.message);
    fflush(stdout);
    if (d)
        d->run->destroy(d);
    if (c)
        c->run->destroy(c);
    return result ? (int)e.kind : 0;
}

/* ---- the parent ---- */

static char self_path[4096];
static char work[] = "/tmp/test_trial.XXXXXX";
static struct json *golden;
static char said[1 << 16]; /* by the last child */

static inline char *directory_of(const char *name)
{
    return format_string("%s/%s", work, name);
}

/* Runs one trial and returns its exit code. */
static inline int run(int ranks, const char *name, const char *words)
{
    /* MPI unloads modules that leak, so no list of suppressions can name them: leaks are looked for on one rank alone. */
    char *launcher = ranks > 1 ? format_string("ASAN_OPTIONS=detect_leaks=0 mpirun --oversubscribe --bind-to none -np %d ", ranks)
                               : duplicate("");
    char *command = format_string("%s'%s' run '%s/%s' %s 2>&1", launcher, self_path, work, name, words);
    FILE *output = popen(command, "r");
    assert_non_null(output);
    size_t size = fread(said, 1, sizeof said - 1, output);
    said[size] = 0;
    while (fgetc(output) != EOF)
        ;
    int status = pclose(output);
    free(command);
    free(launcher);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static inline void run_well(int ranks, const char *name, const char *words)
{
    int code = run(ranks, name, words);
    if (code)
        fail_msg("%s, %d ranks, %s: exit code %d:\n%s", name, ranks, words, code, said);
}

static inline void assert_said(const char *words)
{
    if (!strstr(said, words))
        fail_msg("expected to be told: %s\nfound: %s", words, said);
}

/* metrics.jsonl: the steps in order, each once. */
struct metrics {
    double loss[64], norm[64], speed[64]; /* speed: tokens per second */
    int steps, epochs;
};

static inline struct metrics read_metrics(const char *name)
{
    struct metrics m = {0};
    struct error e = {0};
    char *path = format_string("%s/%s/metrics.jsonl", work, name), *text;
    size_t size;
    if (file_read(&text, &size, path, &e))
        fail_msg("%s", e.message);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        struct json *j;
        if (json_parse(&j, line, (size_t)(end - line), path, &e))
            fail_msg("%s", e.message);
        if (json_get(j, "train_loss")) {
            m.epochs++;
            assert_int_equal(json_number(json_get(j, "epoch")), m.epochs);
            assert_true(json_number(json_get(json_get(j, "validation"), "accuracy")) == 0.5);
        } else {
            assert_int_equal(json_number(json_get(j, "step")), m.steps + 1);
            m.loss[m.steps] = json_number(json_get(j, "loss"));
            m.speed[m.steps] = json_number(json_get(j, "tokens_per_second"));
            m.norm[m.steps++] = json_number(json_get(j, "grad_norm"));
        }
        json_destroy(&j);
    }
    free(text);
    free(path);
    return m;
}

static inline struct logits read_logits(const char *name, enum part part, int epoch)
{
    struct error e = {0};
    struct logits l;
    char *path = format_string("%s/%s/logits.h5", work, name);
    if (logits_read(&l, path, part, epoch, NULL, &e))
        fail_msg("%s", e.message);
    free(path);
    return l;
}

static inline void assert_same_result(const char *expected, const char *found)
{
    struct error e = {0};
    char *paths[2] = {format_string("%s/%s/best.safetensors", work, expected),
                      format_string("%s/%s/best.safetensors", work, found)};
    char digest[2][SHA256_HEX];
    for (int i = 0; i < 2; i++) {
        if (sha256_file(paths[i], digest[i], &e))
            fail_msg("%s", e.message);
        free(paths[i]);
    }
    struct metrics a = read_metrics(expected), b = read_metrics(found);
    assert_int_equal(a.steps, b.steps);
    assert_int_equal(a.epochs, b.epochs);
    for (int i = 0; i < a.steps; i++)
        if (a.loss[i] != b.loss[i] || a.norm[i] != b.norm[i])
            fail_msg("%s and %s, step %d: expected loss %.9g and norm %.9g, found %.9g and %.9g", expected, found, i + 1,
                     a.loss[i], a.norm[i], b.loss[i], b.norm[i]);
    if (strcmp(digest[0], digest[1]))
        fail_msg("%s and %s: other best weights", expected, found);
    for (int epoch = 1; epoch <= a.epochs; epoch++) {
        struct logits l = read_logits(expected, PART_VALIDATION, epoch), m = read_logits(found, PART_VALIDATION, epoch);
        assert_int_equal(l.rows, m.rows);
        assert_memory_equal(l.values, m.values, l.rows * LABELS * sizeof(float));
        assert_true(l.loss == m.loss);
        logits_free(&l);
        logits_free(&m);
    }
}

/* Rows and parts of the golden file, as the coordinator would write them. */
static inline void write_data(const char *name, bool multi)
{
    struct error e = {0};
    char *path = format_string("%s/%s.rows", work, name);
    struct dataset_writer *w;
    struct dataset *d;
    if (dataset_writer_create(&w, path, LABELS, multi, &e))
        fail_msg("%s", e.message);
    const struct json *rows = json_get(golden, "rows");
    for (size_t i = 0; i < json_size(rows); i++) {
        const struct json *row = json_at(rows, i), *words = json_get(row, "ids");
        int32_t ids[64];
        float targets[LABELS];
        for (size_t k = 0; k < json_size(words); k++)
            ids[k] = (int32_t)json_number(json_at(words, k));
        for (size_t l = 0; l < LABELS; l++)
            targets[l] = (float)json_number(json_at(json_get(row, "targets"), l));
        struct token_row tokens = {ids, (uint32_t)json_size(words), (uint32_t)json_number(json_get(row, "first"))};
        char id[24];
        snprintf(id, sizeof id, "r%zu", i);
        int32_t class = multi ? -1 : (int32_t)json_number(json_get(row, "class"));
        if (dataset_writer_append(w, id, id, class, targets, tokens, &e))
            fail_msg("%s", e.message);
    }
    if (dataset_writer_commit(&w, &e) || dataset_open(&d, path, &e))
        fail_msg("%s", e.message);
    struct split s = {.method = "file"};
    for (int part = 0; part < PART_COUNT; part++) {
        const struct json *numbers = json_get(golden, part_names[part]);
        s.part[part].count = (uint32_t)json_size(numbers);
        s.part[part].rows = allocate(json_size(numbers), sizeof(uint32_t));
        for (size_t i = 0; i < json_size(numbers); i++)
            s.part[part].rows[i] = (uint32_t)json_number(json_at(numbers, i));
    }
    char *split_path = format_string("%s/%s.split.json", work, name);
    if (split_write(split_path, &s, d, &e))
        fail_msg("%s", e.message);
    split_free(&s);
    dataset_close(&d);
    free(split_path);
    free(path);
}

static inline int trial_set_up(void **state)
{
    (void)state;
    struct error e = {0};
    if (!mkdtemp(work) || json_read(&golden, TEST_GOLDEN "/train_runs.json", &e))
        return -1;
    write_data("single", false);
    write_data("multi", true);
    return 0;
}

static inline int trial_tear_down(void **state)
{
    (void)state;
    struct error e = {0};
    json_destroy(&golden);
    return directory_remove(work, &e);
}

/* Whether this program is one trial, which has then run; *code: its exit code. */
static inline bool trial_is_child(int *code, int count, char **arguments)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    option_count = count;
    options = arguments;
    if (count > 2) {
        *code = be_a_rank(arguments[2]);
        return true;
    }
    ssize_t size = readlink("/proc/self/exe", self_path, sizeof self_path - 1);
    self_path[size > 0 ? size : 0] = 0;
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    return false;
}
