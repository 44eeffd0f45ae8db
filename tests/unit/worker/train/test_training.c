/* SPDX-License-Identifier: Apache-2.0 */
/* What whole trials come to: losses, gradients and logits of PyTorch and PEFT, the same when parts are frozen, recomputed or
 * spread over ranks. */
#include "tests/unit/worker/train/trial.h"

static struct json *golden_losses, *golden_lora;

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
#define DEBERTA "model=" TEST_GOLDEN "/train_deberta"
#define DEBERTA_OWN "model=" TEST_GOLDEN "/train_deberta_own"

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
                                    MODERNBERT " r=8 rslora=1 'targets=Wi attn.Wo'",
                                    DEBERTA " r=8",
                                    DEBERTA " r=1 alpha=4 targets=key_proj",
                                    DEBERTA " r=8 rslora=1 'targets=query_proj value_proj intermediate.dense'",
                                    DEBERTA_OWN " r=8",
                                    DEBERTA_OWN " r=1 alpha=4 'targets=pos_key_proj query_proj'",
                                    "r=2 bias=1",
                                    "r=8 bias=2 'targets=query value intermediate.dense'",
                                    LONGFORMER " r=8 bias=2 'targets=key value_global output.dense'",
                                    DEBERTA " r=8 bias=1",
                                    DEBERTA " r=8 bias=2 'targets=key_proj output.dense'",
                                    DEBERTA_OWN " r=8 bias=1 targets=pos_query_proj"};

/* "model=..." of the words, which begin with it; "": none. Caller frees. */
static char *model_of(const char *words)
{
    return strncmp(words, "model=", 6) ? duplicate("") : format_string("%.*s", (int)strcspn(words, " "), words);
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
        char *scored = format_string("lora_scored.%zu", i), *model = model_of(loras[i / 2]),
             *score = format_string("score=1 weights=%s/%s/best.safetensors %s", work, name, model);
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
        free(model);
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
                                        MODERNBERT " micro=2 dropout=0.1 r=4 lora_dropout=0.2 device=guarded precision=bf16",
                                        DEBERTA " micro=2 dropout=0.1 r=4 lora_dropout=0.2 device=guarded precision=bf16"};
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

static int set_up(void **state)
{
    struct error e = {0};
    return trial_set_up(state) || json_read(&golden_losses, TEST_GOLDEN "/train_losses.json", &e) ||
           json_read(&golden_lora, TEST_GOLDEN "/train_lora.json", &e);
}

static int tear_down(void **state)
{
    json_destroy(&golden_losses);
    json_destroy(&golden_lora);
    return trial_tear_down(state);
}

int main(int count, char **arguments)
{
    int code;
    if (trial_is_child(&code, count, arguments))
        return code;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_are_those_of_pytorch),
        cmocka_unit_test(schedules_and_losses_are_those_of_pytorch),
        cmocka_unit_test(frozen_parts_and_layer_decay_are_those_of_pytorch),
        cmocka_unit_test(checkpointed_trials_are_the_same),
        cmocka_unit_test(lora_is_that_of_peft),
        cmocka_unit_test(frozen_trials_resume_and_spread),
        cmocka_unit_test(shaped_losses_train_in_bf16),
        cmocka_unit_test(accumulation_equals_the_big_batch),
        cmocka_unit_test(masks_change_with_the_epoch),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
