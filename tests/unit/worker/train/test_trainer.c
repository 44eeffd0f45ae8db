/* SPDX-License-Identifier: Apache-2.0 */
/* Whole trials on a tiny BERT: against PyTorch, on several ranks, stopped, killed, resumed, damaged. This program starts itself
 * again (under mpirun where ranks are more than one): `test_trainer run FOLDER key=value ...` is one trial in FOLDER. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/operation.h"
#include "common/base/sha256.h"
#include "common/base/stop.h"
#include "common/base/trace.h"
#include "common/format/results.h"
#include "common/json/json.h"
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

static const char *option(const char *name, const char *otherwise)
{
    size_t size = strlen(name);
    for (int i = 0; i < option_count; i++)
        if (!strncmp(options[i], name, size) && options[i][size] == '=')
            return options[i] + size + 1;
    return otherwise;
}

static double number(const char *name, double otherwise)
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

static void on_free(const volatile void *pointer)
{
    accounts.held -= pointer != NULL;
}

/* Libraries may ask for memory within an operation (oneDNN wraps the arguments of a product, its sgemm packs them), but must give
 * it back. */
static void on_malloc(const volatile void *pointer, size_t size)
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

static void observe_step(void *context, const struct step_report *r)
{
    (void)context;
    bool training = !strcmp(operation_now(), "optimizer"); /* the last of a step */
    if (training && r->step == (uint64_t)number("stop", 0))
        stop_request();
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

static int observe_epoch(void *context, const struct epoch_report *r, struct epoch_decision *ret, struct error *e)
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
static int counted_doubles(struct communicator *c, double *data, size_t count, struct error *e)
{
    static int calls;
    if (++calls == (int)number("stop_call", 0) && c->rank == 1)
        stop_request();
    return true_operations->all_reduce_doubles(c, data, count, e);
}

static int run_trial(const char *directory, struct device *d, struct communicator *c, struct error *e)
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
        .score_train = true,
        .score_validation = true,
        .score_test = true,
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
    const struct observer o = {NULL, observe_step, observe_epoch}, *watching = c->rank ? NULL : &o;
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

static int be_a_rank(const char *directory)
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
    enum precision precision = strcmp(option("precision", "f32"), "bf16") ? PRECISION_F32 : PRECISION_BF16;
    int result = communicator_create(&c, getenv("OMPI_COMM_WORLD_SIZE") ? "mpi" : "self", 0, 60, &e);
    if (!result)
        result = device_create(&d, option("device", "cpu_reference"), precision, 1, &e);
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
static char work[] = "/tmp/test_trainer.XXXXXX";
static struct json *golden, *golden_losses, *golden_lora;
static char said[1 << 16]; /* by the last child */

static char *directory_of(const char *name)
{
    return format_string("%s/%s", work, name);
}

/* Runs one trial and returns its exit code. */
static int run(int ranks, const char *name, const char *words)
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

static void run_well(int ranks, const char *name, const char *words)
{
    int code = run(ranks, name, words);
    if (code)
        fail_msg("%s, %d ranks, %s: exit code %d:\n%s", name, ranks, words, code, said);
}

static void assert_said(const char *words)
{
    if (!strstr(said, words))
        fail_msg("expected to be told: %s\nfound: %s", words, said);
}

/* metrics.jsonl: the steps in order, each once. */
struct metrics {
    double loss[64], norm[64];
    int steps, epochs;
};

static struct metrics read_metrics(const char *name)
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
            m.norm[m.steps++] = json_number(json_get(j, "grad_norm"));
        }
        json_destroy(&j);
    }
    free(text);
    free(path);
    return m;
}

static struct logits read_logits(const char *name, enum part part, int epoch)
{
    struct error e = {0};
    struct logits l;
    char *path = format_string("%s/%s/logits.h5", work, name);
    if (logits_read(&l, path, part, epoch, NULL, &e))
        fail_msg("%s", e.message);
    free(path);
    return l;
}

static void assert_same_result(const char *expected, const char *found)
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

static void against_pytorch(const struct json *from, size_t i, const char *name, const char *words)
{
    run_well(1, name, words);
    const struct json *expected = json_at(json_get(from, "runs"), i), *losses = json_get(expected, "losses");
    struct metrics found = read_metrics(name);
    assert_int_equal(found.steps, json_size(losses));
    for (int s = 0; s < found.steps; s++) {
        double loss = json_number(json_at(losses, (size_t)s)),
               norm = json_number(json_at(json_get(expected, "norms"), (size_t)s));
        if (!(fabs(found.loss[s] - loss) < 1e-4) || !(fabs(found.norm[s] - norm) < 1e-3 * norm))
            fail_msg("%s, step %d: PyTorch's loss %.7g and norm %.7g, found %.7g and %.7g", words, s + 1, loss, norm,
                     found.loss[s], found.norm[s]);
    }
    for (int epoch = 1; epoch <= 2; epoch++) {
        struct logits l = read_logits(name, PART_VALIDATION, epoch);
        const struct json *values = json_at(json_get(expected, "validation"), (size_t)epoch - 1);
        double loss = json_number(json_at(json_get(expected, "validation_losses"), (size_t)epoch - 1));
        assert_int_equal(l.rows * LABELS, json_size(values));
        if (!(fabs(l.loss - loss) < 1e-4))
            fail_msg("%s, epoch %d: PyTorch's validation loss %.7g, found %.7g", words, epoch, loss, l.loss);
        for (size_t k = 0; k < json_size(values); k++)
            if (!(fabs((double)l.values[k] - json_number(json_at(values, k))) < 2e-3))
                fail_msg("%s, epoch %d, logit %zu: PyTorch's %.7g, found %.7g", words, epoch, k, json_number(json_at(values, k)),
                         (double)l.values[k]);
        logits_free(&l);
    }
}

static void losses_are_those_of_pytorch(void **state)
{
    (void)state;
    against_pytorch(golden, 0, "plain", "");
    against_pytorch(golden, 1, "multi", "multi=1 w0=1 w1=3 w2=2 clip=0.3 decay=3");
    against_pytorch(golden, 2, "whole", "batch=45 micro=45 warmup=0 clip=1e9 decay=0.1");
    against_pytorch(golden, 0, "plain_cpu", "device=cpu");
}

static const char *const shaped[] = {"schedule=cosine smoothing=0.1", "schedule=constant gamma=2",
                                     "multi=1 w0=1 w1=3 w2=2 smoothing=0.2 gamma=1.5"};

static void schedules_and_losses_are_those_of_pytorch(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shaped / sizeof *shaped; i++) {
        char *name = format_string("shaped.%zu", i), *fast = format_string("%s device=cpu", shaped[i]);
        against_pytorch(golden_losses, i, name, shaped[i]);
        against_pytorch(golden_losses, i, fast, fast);
        free(name);
        free(fast);
    }
}

static const char *const tuned[] = {"layer_decay=0.5", "'freeze=embeddings layers.0'", "freeze=embeddings", "freeze=layers.1",
                                    "'freeze=embeddings layers.0-1'"};

static void frozen_parts_and_layer_decay_are_those_of_pytorch(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof tuned / sizeof *tuned; i++) {
        char *name = format_string("tuned.%zu", i), *fast = format_string("tuned_cpu.%zu", i),
             *words = format_string("%s device=cpu", tuned[i]);
        against_pytorch(golden_losses, 3 + i, name, tuned[i]);
        against_pytorch(golden_losses, 3 + i, fast, words);
        free(name);
        free(fast);
        free(words);
    }
}

#define LONGFORMER "model=" TEST_GOLDEN "/train_longformer"
#define MODERNBERT "model=" TEST_GOLDEN "/train_modernbert"

static const char *const loras[] = {"r=8",
                                    "r=1 alpha=4 'targets=query value'",
                                    "r=64 rslora=1",
                                    "r=8 alpha=8 rslora=1 'targets=key intermediate.dense'",
                                    "r=3 targets=output.dense",
                                    LONGFORMER " r=8",
                                    LONGFORMER " r=1 alpha=4 'targets=query value_global'",
                                    LONGFORMER " r=8 rslora=1 'targets=key_global query_global output.dense'",
                                    MODERNBERT " r=8",
                                    MODERNBERT " r=1 alpha=4 targets=Wqkv",
                                    MODERNBERT " r=8 rslora=1 'targets=Wi attn.Wo'"};

static const char *model_of(const char *words)
{
    return strncmp(words, "model=", 6) ? "" : strstr(words, "longformer") ? LONGFORMER : MODERNBERT;
}

/* Twelve steps as PEFT takes them, and the merged weights scored by themselves. */
static void lora_is_that_of_peft(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * (sizeof loras / sizeof *loras); i++) {
        char *name = format_string("lora.%zu", i),
             *words = format_string("%s lr=5e-3%s", loras[i / 2], i % 2 ? " device=cpu" : "");
        against_pytorch(golden_lora, i / 2, name, words);
        const struct json *merged = json_get(json_at(json_get(golden_lora, "runs"), i / 2), "merged");
        char *scored = format_string("lora_scored.%zu", i),
             *score = format_string("score=1 weights=%s/%s/best.safetensors %s", work, name, model_of(loras[i / 2]));
        run_well(1, scored, score);
        struct logits l = read_logits(scored, PART_VALIDATION, 1), of_best = read_logits(name, PART_VALIDATION, 1),
                      of_last = read_logits(name, PART_VALIDATION, 2);
        bool last = of_last.loss < of_best.loss;
        for (size_t k = 0; k < json_size(merged); k++) {
            double trained = (double)(last ? of_last : of_best).values[k], peft = json_number(json_at(merged, k));
            if (!(fabs((double)l.values[k] - trained) < 2e-5) || (last && !(fabs((double)l.values[k] - peft) < 2e-3)))
                fail_msg("%s, merged, logit %zu: adapters %.7g, PEFT's merged (last epoch) %.7g, found %.7g", words, k, trained,
                         peft, (double)l.values[k]);
        }
        logits_free(&l);
        logits_free(&of_best);
        logits_free(&of_last);
        free(name);
        free(words);
        free(scored);
        free(score);
    }
}

static size_t size_of_checkpoint(const char *name, const char *file)
{
    struct error e = {0};
    size_t size;
    char *path = format_string("%s/%s/checkpoint/%s", work, name, file), *text;
    if (file_read(&text, &size, path, &e))
        fail_msg("%s", e.message);
    free(text);
    free(path);
    return size;
}

/* Trial <name>.<i> once more, with checkpointing on and off across a resume: the same bytes. */
static void recomputed_as(const char *name, size_t i, const char *kind)
{
    char *expected = format_string("%s.%zu", name, i), *found = format_string("again_%s.%zu", name, i),
         *stopped = format_string("%s stop=7 checkpointing=1", kind), *words = format_string("%s checkpointing=1", kind);
    for (int ranks = 1; ranks <= 4; ranks *= 2) {
        char *each = format_string("again%d_%s.%zu", ranks, name, i);
        run_well(ranks, each, words);
        assert_same_result(expected, each);
        free(each);
    }
    assert_int_equal(run(2, found, stopped), ERROR_STOPPED);
    run_well(1, found, kind);
    assert_same_result(expected, found);
    free(expected);
    free(found);
    free(stopped);
    free(words);
}

static void checkpointed_trials_are_the_same(void **state)
{
    (void)state;
    static const char *const kinds[] = {"micro=2 dropout=0.1", "micro=2 dropout=0.1 device=cpu precision=bf16"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char *name = format_string("kept.%zu", i);
        run_well(1, name, kinds[i]);
        recomputed_as("kept", i, kinds[i]);
        free(name);
    }
}

/* A frozen trial stopped and resumed, on 1, 2 and 4 ranks, on every device: the same bytes; its checkpoint has what is trained.
 */
static void frozen_trials_resume_and_spread(void **state)
{
    (void)state;
    static const char *const kinds[] = {"micro=2 dropout=0.1 'freeze=embeddings layers.0'",
                                        "micro=2 dropout=0.1 freeze=layers.1 device=cpu layer_decay=0.7",
                                        "micro=2 dropout=0.1 'freeze=embeddings layers.0-1' device=guarded precision=bf16",
                                        "micro=2 dropout=0.1 r=4 lora_dropout=0.2 device=cpu",
                                        "micro=2 r=2 lora_dropout=0.2 'targets=query output.dense' freeze_head=1",
                                        "micro=2 dropout=0.1 r=8 device=guarded precision=bf16",
                                        LONGFORMER " micro=2 dropout=0.1 r=4 lora_dropout=0.2 device=cpu",
                                        MODERNBERT " micro=2 dropout=0.1 r=4 lora_dropout=0.2 device=guarded precision=bf16"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char *names[4], *stopped = format_string("%s stop=7", kinds[i]);
        for (int n = 0; n < 4; n++)
            names[n] = format_string("frozen%d.%zu", n, i);
        run_well(1, names[0], kinds[i]);
        run_well(2, names[1], kinds[i]);
        run_well(4, names[2], kinds[i]);
        assert_int_equal(run(1, names[3], stopped), ERROR_STOPPED);
        run_well(2, names[3], kinds[i]);
        for (int n = 1; n < 4; n++)
            assert_same_result(names[0], names[n]);
        for (int n = 0; n < 4; n++)
            free(names[n]);
        free(stopped);
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        recomputed_as("frozen0", i, kinds[i]);
    run_well(1, "all_trained", "epochs=1");
    for (int i = 0; i < 2; i++) {
        const char *file = i ? "optimizer.safetensors" : "model.safetensors";
        size_t all = size_of_checkpoint("all_trained", file), trained = size_of_checkpoint("frozen0.2", file);
        if (trained * 4 > all)
            fail_msg("%s: %zu bytes with all but the head frozen, %zu with nothing frozen", file, trained, all);
    }
    assert_int_equal(run(1, "misspelled", "freeze=embedings"), ERROR_USAGE);
    assert_said("train.freeze: \"embedings\": expected embeddings, layers.N or layers.N-M, with layers 0 to 1; did you mean "
                "'embeddings'?");
    assert_int_equal(run(1, "no_map", "r=4 'targets=query valeu'"), ERROR_USAGE);
    assert_said("train.lora_targets: \"valeu\" matches no linear map of a layer (attention.self.query, attention.self.key, "
                "attention.self.value, attention.output.dense, intermediate.dense, output.dense); did you mean 'value'?");
    assert_int_equal(run(1, "too_far", "freeze=layers.1-2"), ERROR_USAGE);
    assert_said("train.freeze: \"layers.1-2\"");
}

/* In bf16 the classifier and the losses are f32; what the steps come to stays near. */
static void shaped_losses_train_in_bf16(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shaped / sizeof *shaped; i++) {
        char *name = format_string("half.%zu", i), *words = format_string("%s device=cpu precision=bf16", shaped[i]);
        run_well(1, name, words);
        struct metrics found = read_metrics(name);
        const struct json *losses = json_get(json_at(json_get(golden_losses, "runs"), i), "losses");
        for (int s = 0; s < found.steps; s++) {
            double expected = json_number(json_at(losses, (size_t)s));
            if (!(fabs(found.loss[s] - expected) < 0.03 * fmax(1, expected)))
                fail_msg("%s, step %d: PyTorch's loss in f32 %.7g, found %.7g", words, s + 1, expected, found.loss[s]);
        }
        free(name);
        free(words);
    }
}

static void accumulation_equals_the_big_batch(void **state)
{
    (void)state;
    run_well(1, "big", "");
    static const char *const micro[] = {"1", "2", "4"};
    for (size_t i = 0; i < 3; i++) {
        char *words = format_string("micro=%s", micro[i]);
        run_well(1, micro[i], words);
        struct metrics a = read_metrics("big"), b = read_metrics(micro[i]);
        assert_int_equal(a.steps, STEPS);
        if (!(fabs(a.loss[0] - b.loss[0]) < 1e-6) || !(fabs(a.norm[0] - b.norm[0]) < 1e-6 * a.norm[0]))
            fail_msg("%s: expected loss %.9g and norm %.9g, found %.9g and %.9g", words, a.loss[0], a.norm[0], b.loss[0],
                     b.norm[0]);
        for (int s = 1; s < STEPS; s++)
            if (!(fabs(a.loss[s] - b.loss[s]) < 2e-5))
                fail_msg("%s, step %d: expected loss %.9g, found %.9g", words, s + 1, a.loss[s], b.loss[s]);
        free(words);
    }
}

/* With a learning rate of 0 and all rows in one step, only the masks tell the epochs apart. */
static void masks_change_with_the_epoch(void **state)
{
    (void)state;
    run_well(1, "no_masks", "batch=45 micro=45 lr=0");
    run_well(1, "masks", "batch=45 micro=45 lr=0 dropout=0.3");
    struct metrics without = read_metrics("no_masks"), with = read_metrics("masks");
    if (!(fabs(without.loss[0] - without.loss[1]) < 1e-5) || !(fabs(with.loss[0] - with.loss[1]) > 1e-3))
        fail_msg("losses of two epochs: without dropout %.9g and %.9g, with dropout %.9g and %.9g", without.loss[0],
                 without.loss[1], with.loss[0], with.loss[1]);
    struct logits a = read_logits("masks", PART_VALIDATION, 1), b = read_logits("no_masks", PART_VALIDATION, 2);
    assert_memory_equal(a.values, b.values, a.rows * LABELS * sizeof(float)); /* none in evaluation */
    logits_free(&a);
    logits_free(&b);
}

/* The last step of an epoch has 5 rows: 3 micro-batches of 2, fewer than 4 ranks. */
static void ranks_do_not_change_a_bit(void **state)
{
    (void)state;
    static const char *const kinds[] = {"micro=2",
                                        "micro=2 dropout=0.1",
                                        "micro=1 dropout=-1",
                                        "micro=2 multi=1 dropout=0.2",
                                        "micro=2 dropout=0.1 device=cpu",
                                        "micro=2 dropout=0.1 schedule=cosine smoothing=0.1 gamma=2"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char *names[3] = {format_string("ranks1.%zu", i), format_string("ranks2.%zu", i), format_string("ranks4.%zu", i)};
        run_well(1, names[0], kinds[i]);
        run_well(2, names[1], kinds[i]);
        run_well(4, names[2], kinds[i]);
        assert_same_result(names[0], names[1]);
        assert_same_result(names[0], names[2]);
        for (int n = 0; n < 3; n++)
            free(names[n]);
    }
    struct metrics without = read_metrics("ranks1.0"), with = read_metrics("ranks1.1");
    assert_true(without.loss[0] != with.loss[0]); /* dropout does something */
    run_well(3, "ranks3", "micro=2");
    struct metrics three = read_metrics("ranks3");
    for (int s = 0; s < STEPS; s++)
        if (!(fabs(without.loss[s] - three.loss[s]) < 2e-5))
            fail_msg("3 ranks, step %d: expected loss %.9g, found %.9g", s + 1, without.loss[s], three.loss[s]);
}

static void too_many_ranks_are_refused(void **state)
{
    (void)state;
    int code = run(4, "crowd", "micro=4");
    assert_int_not_equal(code, 0);
    assert_said("4 ranks, but a step has only 2 micro-batches (train.batch 8 / train.micro_batch 4); set train.micro_batch to 2 "
                "or less, or "
                "cluster.ranks_per_group to 2");
    assert_said("kind 2");
}

/* Stopped anywhere, resumed: the same bytes as never stopped. */
static void a_stopped_trial_resumes_to_the_same_bytes(void **state)
{
    (void)state;
    run_well(1, "whole_way", "micro=2 dropout=0.1");
    static const char *const stops[] = {"stop=1", "stop=3", "stop=6", "stop=7", "stop_validation=1", "stop=12"};
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        char *name = format_string("stopped.%zu", i), *words = format_string("micro=2 dropout=0.1 %s", stops[i]);
        int code = run(1, name, words);
        if (code != ERROR_STOPPED)
            fail_msg("%s: expected exit code 75, found %d: %s", words, code, said);
        run_well(i % 2 ? 2 : 1, name, "micro=2 dropout=0.1"); /* on another number of ranks, for once */
        assert_same_result("whole_way", name);
        free(name);
        free(words);
    }
}

/* Another schedule or loss is another trial; the same one resumes to the same bytes. */
static void schedule_and_loss_are_part_of_a_trial(void **state)
{
    (void)state;
    static const char *const others[] = {"", "smoothing=0.1", "schedule=cosine smoothing=0.1 gamma=1",
                                         "schedule=cosine smoothing=0.2 gamma=2"};
    const char *words = "micro=2 dropout=0.1 schedule=cosine smoothing=0.1 gamma=2";
    run_well(1, "shaped_whole", words);
    char *stopped = format_string("%s stop=7", words);
    assert_int_equal(run(1, "shaped_stopped", stopped), ERROR_STOPPED);
    free(stopped);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char *other = format_string("micro=2 dropout=0.1 %s", others[i]);
        assert_int_equal(run(1, "shaped_stopped", other), ERROR_USAGE);
        assert_said("is a checkpoint of a trial with other options or data");
        free(other);
    }
    run_well(2, "shaped_stopped", words);
    assert_same_result("shaped_whole", "shaped_stopped");
}

static void a_stop_on_any_rank_stops_all(void **state)
{
    (void)state;
    int code = run(2, "other_rank", "micro=2 dropout=0.1 stop_call=9");
    assert_int_not_equal(code, 0);
    assert_said("rank 0: kind 75");
    assert_said("rank 1: kind 75");
    run_well(1, "other_rank", "micro=2 dropout=0.1");
    assert_same_result("whole_way", "other_rank");
}

/* Epochs have 6 steps: saved after steps 4 and 8 of 12 besides. */
static void a_killed_trial_goes_on_from_its_last_steps(void **state)
{
    (void)state;
    assert_int_not_equal(run(2, "steps", "micro=2 dropout=0.1 checkpoint_steps=4 kill=11"), 0);
    run_well(2, "steps", "micro=2 dropout=0.1 checkpoint_steps=4");
    assert_said("resuming at step 4 of epoch 2");
    assert_same_result("whole_way", "steps");
    run_well(2, "minutes", "micro=2 dropout=0.1 checkpoint_minutes=1e-9"); /* after every step */
    assert_said("12 checkpoints took");
    assert_same_result("whole_way", "minutes");
}

static void a_killed_trial_goes_on_from_its_last_epoch(void **state)
{
    (void)state;
    assert_int_not_equal(run(1, "killed", "micro=2 dropout=0.1 kill=9"), 0);
    run_well(1, "killed", "micro=2 dropout=0.1");
    assert_said("resuming at step 0 of epoch 2");
    assert_same_result("whole_way", "killed");
    run_well(1, "killed", "micro=2 dropout=0.1"); /* a finished trial: nothing to do, the same answer */
    assert_said("epochs 2 best");
    assert_same_result("whole_way", "killed");
}

static void an_early_stop_ends_the_trial(void **state)
{
    (void)state;
    run_well(2, "early", "micro=2 epochs=4 last_epoch=2");
    assert_said("epochs 2 best");
    assert_int_equal(read_metrics("early").epochs, 2);
}

static void flip_byte(const char *name, const char *file)
{
    char *path = format_string("%s/%s/checkpoint/%s", work, name, file);
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    fseek(f, -9, SEEK_END);
    int byte = fgetc(f);
    fseek(f, -1, SEEK_CUR);
    fputc(byte ^ 1, f);
    fclose(f);
    free(path);
}

static void rename_inside(const char *name, const char *from, const char *to)
{
    char *a = format_string("%s/%s/%s", work, name, from), *b = format_string("%s/%s/%s", work, name, to);
    struct error e;
    assert_int_equal(directory_remove(b, &e), 0);
    assert_int_equal(rename(a, b), 0);
    free(a);
    free(b);
}

static void damaged_checkpoints_are_said_and_not_used(void **state)
{
    (void)state;
    static const char *const files[] = {"model.safetensors", "optimizer.safetensors", "state.json"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(run(1, "damaged", "micro=2 dropout=0.1 stop=8 resume=0"), ERROR_STOPPED);
        flip_byte("damaged", files[i]);
        run_well(1, "damaged", "micro=2 dropout=0.1");
        assert_said("falling back to the previous checkpoint");
        assert_said("resuming at step 0 of epoch 2"); /* the one before it is there */
        assert_same_result("whole_way", "damaged");
    }
    assert_int_equal(run(1, "damaged", "micro=2 dropout=0.1 stop=8 resume=0"), ERROR_STOPPED);
    rename_inside("damaged", "best.safetensors", "lost");
    run_well(1, "damaged", "micro=2 dropout=0.1");
    assert_said("best.safetensors is missing");
    assert_same_result("whole_way", "damaged");
}

/* The two places where a crash between the renames leaves the whole set. */
static void half_swapped_checkpoints_are_found(void **state)
{
    (void)state;
    static const char *const places[] = {"checkpoint.new", "checkpoint.old"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(run(1, "swapped", "micro=2 dropout=0.1 stop=8 resume=0"), ERROR_STOPPED);
        rename_inside("swapped", "checkpoint", places[i]);
        run_well(1, "swapped", "micro=2 dropout=0.1");
        assert_said("resuming at step 3 of epoch 2");
        assert_same_result("whole_way", "swapped");
    }
}

/* A disk that is full in the middle of a checkpoint: said, and the checkpoint before it still counts. */
static void a_failed_save_loses_nothing(void **state)
{
    (void)state;
    assert_int_equal(run(1, "full", "micro=2 dropout=0.1 stop=8"), ERROR_STOPPED);
    assert_int_equal(run(1, "full", "micro=2 dropout=0.1 stop=10 limit=60000"), ERROR_FAILED);
    assert_said("optimizer.safetensors");
    run_well(1, "full", "micro=2 dropout=0.1");
    assert_said("resuming at step 3 of epoch 2");
    assert_same_result("whole_way", "full");
    int code = run(2, "full2", "micro=2 dropout=0.1 limit=60000"); /* every rank hears of it */
    assert_int_not_equal(code, 0);
    assert_said("rank 1: kind 1: rank 0: ");
}

static void a_checkpoint_of_another_trial_is_refused(void **state)
{
    (void)state;
    assert_int_equal(run(1, "other", "micro=2 stop=2"), ERROR_STOPPED);
    assert_int_equal(run(1, "other", "micro=2 lr=1e-3"), ERROR_USAGE);
    assert_said("is a checkpoint of a trial with other options or data");
    run_well(1, "other", "micro=2"); /* and is still there */
    assert_said("resuming at step 3 of epoch 1");
}

static void device_memory_is_touched_by_the_device_alone(void **state)
{
    (void)state;
    run_well(1, "guarded", "micro=2 dropout=0.1 device=guarded");
    run_well(1, "not_guarded", "micro=2 dropout=0.1 device=cpu");
    assert_same_result("not_guarded", "guarded");
    run_well(2, "guarded2", "micro=2 dropout=0.1 device=guarded");
    assert_same_result("not_guarded", "guarded2");
}

static void every_row_is_scored_once(void **state)
{
    (void)state;
    char *best = directory_of("whole_way/best.safetensors"), *words = format_string("score=1 weights='%s'", best);
    run_well(1, "scored1", words);
    run_well(3, "scored3", words);
    char *all = format_string("%s split=0", words);
    run_well(2, "scored_all", all);
    struct logits everything = read_logits("scored_all", PART_TEST, 1);
    assert_int_equal(everything.rows, json_size(json_get(golden, "rows")));
    uint32_t rows = 0;
    for (int part = 0; part < PART_COUNT; part++) {
        struct logits a = read_logits("scored1", (enum part)part, 1), b = read_logits("scored3", (enum part)part, 1);
        const struct json *numbers = json_get(golden, part_names[part]);
        assert_int_equal(a.rows, json_size(numbers));
        assert_int_equal(a.rows, b.rows);
        assert_memory_equal(a.values, b.values, a.rows * LABELS * sizeof(float));
        for (uint32_t i = 0; i < a.rows; i++) {
            size_t row = (size_t)json_number(json_at(numbers, i));
            for (int l = 0; l < LABELS; l++) {
                double expected = (double)everything.values[row * LABELS + (size_t)l],
                       found = (double)a.values[i * LABELS + (uint32_t)l];
                if (!(fabs(expected - found) < 1e-5))
                    fail_msg("%s, row %zu: expected %.7g, found %.7g", part_names[part], row, expected, found);
            }
        }
        rows += a.rows;
        logits_free(&a);
        logits_free(&b);
    }
    assert_int_equal(rows, everything.rows);
    logits_free(&everything);
    free(all);
    free(words);
    free(best);
}

static void divergence_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(run(1, "diverged", "lr=1e30 warmup=0"), ERROR_FAILED);
    assert_said("training has diverged; lower train.lr");
}

static void a_model_of_other_words_is_refused(void **state)
{
    (void)state;
    char *directory = directory_of("small_model"), *path = path_join(directory, "config.json"), *text;
    size_t size;
    struct error e = {0};
    assert_int_equal(directory_create(directory, &e), 0);
    assert_int_equal(file_read(&text, &size, TEST_GOLDEN "/train_model/config.json", &e), 0);
    char *place = strstr(text, "\"max_position_embeddings\": 40");
    assert_non_null(place);
    memcpy(place, "\"max_position_embeddings\": 12", 29);
    assert_int_equal(file_write(path, text, size, &e), 0);
    char *words = format_string("model='%s'", directory);
    assert_int_equal(run(1, "refused", words), ERROR_DATA);
    assert_said("tokens; the model takes 1 to 12: set train.max_length to that");
    free(words);
    free(text);
    free(path);
    free(directory);
}

static void a_step_allocates_nothing(void **state)
{
    (void)state;
    if (!__sanitizer_install_malloc_and_free_hooks) {
        print_message("skipped: allocations are counted by the address sanitizer's hooks, which this build does not have\n");
        skip();
    }
    static const char *const ways[] = {"", "trace=1", "precision=bf16"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        char *words = format_string("count=1 batch=4 micro=2 dropout=0.1 epochs=1 device=cpu %s", ways[i]);
        char *name = format_string("counted%zu", i);
        run_well(1, name, words);
        assert_said("allocations 0, kept 0\n");
        free(name);
        free(words);
    }
}

/* Rows and parts of the golden file, as the coordinator would write them. */
static void write_data(const char *name, bool multi)
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

static int set_up(void **state)
{
    (void)state;
    struct error e = {0};
    if (!mkdtemp(work) || json_read(&golden, TEST_GOLDEN "/train_runs.json", &e) ||
        json_read(&golden_losses, TEST_GOLDEN "/train_losses.json", &e) ||
        json_read(&golden_lora, TEST_GOLDEN "/train_lora.json", &e))
        return -1;
    write_data("single", false);
    write_data("multi", true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    struct error e = {0};
    json_destroy(&golden);
    json_destroy(&golden_losses);
    json_destroy(&golden_lora);
    return directory_remove(work, &e);
}

int main(int count, char **arguments)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    option_count = count;
    options = arguments;
    if (count > 2)
        return be_a_rank(arguments[2]);
    ssize_t size = readlink("/proc/self/exe", self_path, sizeof self_path - 1);
    self_path[size > 0 ? size : 0] = 0;
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_are_those_of_pytorch),
        cmocka_unit_test(schedules_and_losses_are_those_of_pytorch),
        cmocka_unit_test(frozen_parts_and_layer_decay_are_those_of_pytorch),
        cmocka_unit_test(checkpointed_trials_are_the_same),
        cmocka_unit_test(lora_is_that_of_peft),
        cmocka_unit_test(frozen_trials_resume_and_spread),
        cmocka_unit_test(shaped_losses_train_in_bf16),
        cmocka_unit_test(schedule_and_loss_are_part_of_a_trial),
        cmocka_unit_test(accumulation_equals_the_big_batch),
        cmocka_unit_test(masks_change_with_the_epoch),
        cmocka_unit_test(ranks_do_not_change_a_bit),
        cmocka_unit_test(too_many_ranks_are_refused),
        cmocka_unit_test(a_stopped_trial_resumes_to_the_same_bytes),
        cmocka_unit_test(a_killed_trial_goes_on_from_its_last_steps),
        cmocka_unit_test(a_stop_on_any_rank_stops_all),
        cmocka_unit_test(a_killed_trial_goes_on_from_its_last_epoch),
        cmocka_unit_test(an_early_stop_ends_the_trial),
        cmocka_unit_test(damaged_checkpoints_are_said_and_not_used),
        cmocka_unit_test(half_swapped_checkpoints_are_found),
        cmocka_unit_test(a_failed_save_loses_nothing),
        cmocka_unit_test(a_checkpoint_of_another_trial_is_refused),
        cmocka_unit_test(device_memory_is_touched_by_the_device_alone),
        cmocka_unit_test(every_row_is_scored_once),
        cmocka_unit_test(divergence_is_an_error),
        cmocka_unit_test(a_model_of_other_words_is_refused),
        cmocka_unit_test(a_step_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
