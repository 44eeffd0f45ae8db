/* SPDX-License-Identifier: Apache-2.0 */
/* config.json of model directories: what is read, which defaults hold, what is refused and how; and the places where a hub name
 * is looked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/format/model_family.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *directory; /* of this test, absolute */

static void put(const char *name, const char *text)
{
    struct error e = {0};
    char *path = path_join(directory, name), *slash = strrchr(path, '/');
    *slash = 0;
    if (directory_create(path, &e))
        fail_msg("%s", e.message);
    *slash = '/';
    if (file_write(path, text, strlen(text), &e))
        fail_msg("%s", e.message);
    free(path);
}

static int make_directory(void **state)
{
    (void)state;
    char name[] = "/tmp/muster-test-XXXXXX";
    directory = mkdtemp(name) ? duplicate(name) : NULL;
    return directory ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    struct error e;
    int result = directory_remove(directory, &e);
    free(directory);
    return result;
}

static struct model_config read_config(const char *text)
{
    struct model_config c;
    struct error e = {0};
    put("config.json", text);
    if (model_config_read(&c, directory, &e))
        fail_msg("expected %s to be read, found: %s", text, e.message);
    return c;
}

static void reads_a_whole_config(void **state)
{
    (void)state;
    struct model_config c = read_config(
        "{\"model_type\":\"bert\",\"vocab_size\":31090,\"hidden_size\":384,\"num_hidden_layers\":6,\"num_attention_heads\":12,"
        "\"intermediate_size\":1536,\"hidden_act\":\"gelu_new\",\"hidden_dropout_prob\":0.2,\"attention_probs_dropout_prob\":0,"
        "\"classifier_dropout\":0.5,\"max_position_embeddings\":128,\"type_vocab_size\":1,\"initializer_range\":0.01,"
        "\"layer_norm_eps\":1e-5,\"position_embedding_type\":\"absolute\",\"is_decoder\":false,"
        "\"id2label\":{\"0\":\"a\",\"1\":\"b\",\"2\":\"c\"}}");
    assert_int_equal(c.vocabulary, 31090);
    assert_int_equal(c.width, 384);
    assert_int_equal(c.layers, 6);
    assert_int_equal(c.heads, 12);
    assert_int_equal(c.inner, 1536);
    assert_int_equal(c.activation, ACTIVATION_GELU_NEW);
    assert_true(c.hidden_dropout == 0.2f && c.attention_dropout == 0 && c.classifier_dropout == 0.5f);
    assert_int_equal(c.positions, 128);
    assert_int_equal(c.types, 1);
    assert_true(c.initializer_range == 0.01f && c.epsilon == 1e-5f);
    assert_int_equal(c.labels, 3);
}

/* transformers.BertConfig() of 4.30 and of 5: the values that an absent key has. */
static void absent_keys_have_the_defaults_of_transformers(void **state)
{
    (void)state;
    struct model_config c = read_config("{\"model_type\":\"bert\",\"classifier_dropout\":null,\"hidden_dropout_prob\":0.3}");
    assert_int_equal(c.vocabulary, 30522);
    assert_int_equal(c.width, 768);
    assert_int_equal(c.layers, 12);
    assert_int_equal(c.heads, 12);
    assert_int_equal(c.inner, 3072);
    assert_int_equal(c.positions, 512);
    assert_int_equal(c.types, 2);
    assert_int_equal(c.labels, 2);
    assert_int_equal(c.activation, ACTIVATION_GELU);
    assert_true(c.attention_dropout == 0.1f && c.initializer_range == 0.02f && c.epsilon == 1e-12f);
    assert_true(c.classifier_dropout == 0.3f);
}

static void an_old_config_without_model_type_is_a_bert(void **state)
{
    (void)state;
    assert_int_equal(read_config("{\"vocab_size\":31090}").vocabulary, 31090);
    assert_int_equal(read_config("{\"vocab_size\":7,\"architectures\":[\"BertForMaskedLM\"]}").vocabulary, 7);
}

/* transformers writes attribute names and their common aliases; both are read. */
static void families_spell_their_keys(void **state)
{
    (void)state;
    struct model_config c = read_config(
        "{\"model_type\":\"distilbert\",\"dim\":24,\"n_layers\":3,\"num_attention_heads\":4,\"hidden_dim\":7,\"vocab_size\":31,"
        "\"max_position_embeddings\":9,\"dropout\":0.25,\"attention_dropout\":0.5,\"activation\":\"relu\"}");
    assert_int_equal(c.width, 24);
    assert_int_equal(c.layers, 3);
    assert_int_equal(c.heads, 4);
    assert_int_equal(c.inner, 7);
    assert_int_equal(c.types, 0);
    assert_int_equal(c.activation, ACTIVATION_RELU);
    assert_int_equal(model_config_max_length(&c), 9);
    assert_true(c.hidden_dropout == 0.25f && c.attention_dropout == 0.5f && c.classifier_dropout == 0.2f);
    c = read_config(
        "{\"architectures\":[\"XLMRobertaForMaskedLM\"],\"num_hidden_layers\":2,\"hidden_size\":8,\"num_attention_heads\":2,"
        "\"intermediate_size\":8,\"vocab_size\":9,\"max_position_embeddings\":514,\"type_vocab_size\":1,\"pad_token_id\":1}");
    assert_string_equal(model_family_of(&c)->model_type, "xlm-roberta");
    assert_int_equal(model_config_max_length(&c), 512);
}

#define MODERNBERT                                                                                                               \
    "{\"model_type\":\"modernbert\",\"num_hidden_layers\":5,\"hidden_size\":8,\"num_attention_heads\":2,\"intermediate_size\":"  \
    "6,"                                                                                                                         \
    "\"vocab_size\":9,\"max_position_embeddings\":7"

/* Which layers are local, and their rotary positions: as transformers 5 writes them, and as the models of 2024 have them. */
static void layers_are_local_or_global(void **state)
{
    (void)state;
    struct model_config old = read_config(MODERNBERT ",\"layer_norm_eps\":1e-12,\"norm_eps\":1e-3,\"local_attention\":32,"
                                                     "\"global_attn_every_n_layers\":2,\"global_rope_theta\":5,"
                                                     "\"local_rope_theta\":7,\"classifier_pooling\":\"mean\"}");
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(model_config_is_local(&old, i), i % 2);
    assert_true(old.epsilon == 1e-3f && old.windows[1] == 16 && old.theta == 5 && old.local_theta == 7 && old.pools_mean);
    struct model_config c = read_config(
        MODERNBERT ",\"layer_types\":[\"sliding_attention\",\"full_attention\",\"full_attention\",\"full_attention\","
                   "\"sliding_attention\"],\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"default\",\"rope_theta\":3},"
                   "\"sliding_attention\":{\"rope_theta\":4}},\"norm_bias\":true}");
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(model_config_is_local(&c, i), i == 0 || i == 4);
    assert_true(c.windows[0] == 64 && c.theta == 3 && c.local_theta == 4 && !c.pools_mean && c.norm_bias && !c.attention_bias);
    c = read_config(MODERNBERT "}");
    assert_true(c.theta == 160000 && c.local_theta == 10000 && model_config_is_local(&c, 1) && !model_config_is_local(&c, 3));
}

#define DEBERTA                                                                                                                  \
    "{\"model_type\":\"deberta-v2\",\"num_hidden_layers\":2,\"hidden_size\":8,\"num_attention_heads\":2,\"intermediate_size\":"  \
    "6,"                                                                                                                         \
    "\"vocab_size\":9,\"max_position_embeddings\":512,\"relative_attention\":true"

/* As microsoft/deberta-v3-base has it; its buckets as transformers counts them. */
static void distances_have_buckets(void **state)
{
    (void)state;
    struct model_config c = read_config(
        DEBERTA ",\"position_buckets\":256,\"norm_rel_ebd\":\"layer_norm\",\"share_att_key\":true,\"pos_att_type\":\"p2c|c2p\","
                "\"layer_norm_eps\":1e-7,\"max_relative_positions\":-1,\"position_biased_input\":false,\"type_vocab_size\":0}");
    assert_true(c.distances == 256 && c.buckets == 256 && c.farthest == 512 && c.types == 0 && c.positions == 512);
    assert_true(c.distance_keys && c.distance_queries && c.distances_shared && c.distances_normalized && !c.position_table);
    static const int32_t places[][2] = {{0, 256},   {128, 384}, {129, 385}, {-1, 255}, {-128, 128}, {130, 386}, {200, 425},
                                        {300, 463}, {-300, 49}, {511, 511}, {-511, 1}, {600, 511},  {-600, 0}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        assert_int_equal(model_distance_place(&c, places[i][0]), places[i][1]);
    c = read_config(DEBERTA ",\"pos_att_type\":[\"C2P\"],\"max_relative_positions\":6,\"norm_rel_ebd\":\"none\"}");
    assert_true(c.distances == 6 && c.buckets == 0 && c.distance_keys && !c.distance_queries && c.position_table);
    assert_true(!c.distances_shared && !c.distances_normalized && c.pooler_dropout == 0 && c.classifier_dropout == 0.1f);
    assert_true(model_distance_place(&c, 4) == 10 && model_distance_place(&c, 6) == 11 && model_distance_place(&c, -7) == 0);
}

/* Their number counts: an object, a list, label2id alone, or only a number. */
static void label_names_have_many_forms(void **state)
{
    (void)state;
    static const char *const forms[] = {"\"id2label\":{\"0\":0,\"1\":1,\"2\":null}", "\"id2label\":[\"a\",\"b\",\"c\"]",
                                        "\"label2id\":{\"a\":0,\"b\":1,\"c\":2}", "\"num_labels\":3",
                                        "\"id2label\":{\"LABEL_1\":\"x\",\"7\":\"y\",\"c\":\"z\"},\"num_labels\":9"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        char *text = format_string("{\"model_type\":\"bert\",%s}", forms[i]);
        assert_int_equal(read_config(text).labels, 3);
        free(text);
    }
}

static void refuses_what_is_not_supported(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"{\"model_type\":\"gpt2\"}",
         "model_type is gpt2; supported are: bert, distilbert, roberta, xlm-roberta, camembert, electra, longformer, modernbert"},
        {"{\"model_type\":\"roberta\"}", "there is no num_hidden_layers, which this model_type needs"},
        {"{\"model_type\":\"distilbert\",\"n_layers\":2}", "there is no dim or hidden_size, which this model_type needs"},
        {"{\"model_type\":\"distilbert\",\"n_layers\":2,\"dim\":10,\"n_heads\":4,\"hidden_dim\":8,\"vocab_size\":9,"
         "\"max_position_embeddings\":7}",
         "dim 10 is not a multiple of n_heads 4"},
        {"{\"model_type\":\"distilbert\",\"sinusoidal_pos_embds\":true}", "sinusoidal_pos_embds must be false"},
        {"{\"model_type\":\"roberta\",\"num_hidden_layers\":2,\"hidden_size\":8,\"num_attention_heads\":2,\"intermediate_size\":"
         "8,"
         "\"vocab_size\":9,\"max_position_embeddings\":2,\"type_vocab_size\":1}",
         "max_position_embeddings 2 must be above pad_token_id 1 + 1"},
        {"{\"model_type\":\"modernbert\",\"num_hidden_layers\":3,\"hidden_size\":8,\"num_attention_heads\":2,\"intermediate_"
         "size\":6,"
         "\"vocab_size\":9,\"max_position_embeddings\":7,\"local_attention\":7}",
         "local_attention is 7; it must be an even number of tokens, 2 or more"},
        {"{\"model_type\":\"modernbert\",\"num_hidden_layers\":3,\"hidden_size\":8,\"num_attention_heads\":2,\"intermediate_"
         "size\":6,"
         "\"vocab_size\":9,\"max_position_embeddings\":7,\"local_attention\":0}",
         "local_attention must be a number above 0"},
        {"{\"model_type\":\"modernbert\",\"num_hidden_layers\":3,\"hidden_size\":8,\"num_attention_heads\":2,\"intermediate_"
         "size\":6,"
         "\"vocab_size\":9,\"max_position_embeddings\":7,\"layer_types\":[\"full_attention\"]}",
         "layer_types must be an array of 3, one a layer"},
        {"{\"model_type\":\"modernbert\",\"num_hidden_layers\":3,\"hidden_size\":8,\"num_attention_heads\":2,\"intermediate_"
         "size\":6,"
         "\"vocab_size\":9,\"max_position_embeddings\":7,\"layer_types\":[\"full_attention\",\"x\",\"full_attention\"]}",
         "layer_types[1] is x; supported are: full_attention, sliding_attention"},
        {"{\"model_type\":\"modernbert\",\"num_hidden_layers\":3,\"hidden_size\":8,\"num_attention_heads\":2,\"intermediate_"
         "size\":6,"
         "\"vocab_size\":9,\"max_position_embeddings\":7,\"norm_bias\":1}",
         "norm_bias is a number; it must be true or false"},
        {"{\"model_type\":\"modernbert\",\"num_hidden_layers\":3,\"hidden_size\":8,\"num_attention_heads\":2,\"intermediate_"
         "size\":6,"
         "\"vocab_size\":9,\"max_position_embeddings\":7,\"classifier_pooling\":\"max\"}",
         "classifier_pooling must be \"cls\" or \"mean\""},
        {"{\"model_type\":\"modernbert\",\"num_hidden_layers\":3,\"hidden_size\":8,\"num_attention_heads\":2,\"intermediate_"
         "size\":6,"
         "\"vocab_size\":9,\"max_position_embeddings\":7,\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"yarn\"}}}",
         "rope_parameters.full_attention.rope_type is yarn; supported is: default"},
        {"{\"model_type\":\"modernbert\",\"num_hidden_layers\":3,\"hidden_size\":8,\"num_attention_heads\":2,\"intermediate_"
         "size\":6,"
         "\"vocab_size\":9,\"max_position_embeddings\":7,\"global_attn_every_n_layers\":1.5}",
         "global_attn_every_n_layers is 1.5, not a whole number"},
        {"{\"model_type\":\"modernbert\",\"num_hidden_layers\":3,\"hidden_size\":8,\"num_attention_heads\":8,\"intermediate_"
         "size\":6,"
         "\"vocab_size\":9,\"max_position_embeddings\":7}",
         "rotary positions need an even number"},
        {"{\"model_type\":\"longformer\",\"num_hidden_layers\":3,\"hidden_size\":8,\"num_attention_heads\":2,\"intermediate_"
         "size\":6,"
         "\"vocab_size\":9,\"max_position_embeddings\":7,\"type_vocab_size\":1}",
         "there is no attention_window, which this model_type needs"},
        {"{\"model_type\":\"longformer\",\"num_hidden_layers\":3,\"hidden_size\":8,\"num_attention_heads\":2,\"intermediate_"
         "size\":6,"
         "\"vocab_size\":9,\"max_position_embeddings\":7,\"type_vocab_size\":1,\"attention_window\":[4,4]}",
         "attention_window must be a number or an array of 3, one a layer"},
        {"{\"model_type\":\"longformer\",\"num_hidden_layers\":3,\"hidden_size\":8,\"num_attention_heads\":2,\"intermediate_"
         "size\":6,"
         "\"vocab_size\":9,\"max_position_embeddings\":7,\"type_vocab_size\":1,\"attention_window\":[4,7,4]}",
         "attention_window of layer 1 is 7; it must be an even number of tokens, 2 or more"},
        {"{\"model_type\":\"longformer\",\"num_hidden_layers\":3,\"hidden_size\":8,\"num_attention_heads\":2,\"intermediate_"
         "size\":6,"
         "\"vocab_size\":9,\"max_position_embeddings\":7,\"type_vocab_size\":1,\"attention_window\":0}",
         "attention_window of layer 0 is 0; it must be an even number"},
        {"{\"model_type\":\"longformer\",\"num_hidden_layers\":3,\"hidden_size\":8,\"num_attention_heads\":2,\"intermediate_"
         "size\":6,"
         "\"vocab_size\":9,\"max_position_embeddings\":7,\"type_vocab_size\":1,\"attention_window\":\"8\"}",
         "attention_window of layer 0 is a string, not a number"},
        {DEBERTA "}", "there is no pos_att_type, which this model_type needs"},
        {"{\"model_type\":\"deberta-v2\",\"num_hidden_layers\":2,\"hidden_size\":8,\"num_attention_heads\":2,\"intermediate_"
         "size\":6,"
         "\"vocab_size\":9,\"max_position_embeddings\":512}",
         "relative_attention must be true"},
        {DEBERTA ",\"pos_att_type\":\"c2p|p2p\"}", "pos_att_type is c2p|p2p; supported are: c2p, p2c"},
        {DEBERTA ",\"pos_att_type\":[3]}", "pos_att_type must be of strings, not a number"},
        {DEBERTA ",\"pos_att_type\":[]}", "pos_att_type is empty; supported are: c2p, p2c"},
        {DEBERTA ",\"pos_att_type\":\"c2p\",\"norm_rel_ebd\":\"batch\"}",
         "norm_rel_ebd is batch; supported are: layer_norm, none"},
        {DEBERTA ",\"pos_att_type\":\"c2p\",\"conv_kernel_size\":3}",
         "conv_kernel_size is 3; models with a convolution (deberta-v2-xlarge, -xxlarge) are not supported"},
        {DEBERTA ",\"pos_att_type\":\"c2p\",\"embedding_size\":4}", "embedding_size is 4; supported is: 8"},
        {DEBERTA ",\"pos_att_type\":\"c2p\",\"attention_head_size\":8}", "attention_head_size is 8; supported is: 4"},
        {DEBERTA ",\"pos_att_type\":\"c2p\",\"pooler_hidden_act\":\"tanh\"}", "pooler_hidden_act must be \"gelu\""},
        {DEBERTA ",\"pos_att_type\":\"c2p\",\"position_buckets\":2.5}", "position_buckets must be a whole number within -1"},
        {DEBERTA ",\"pos_att_type\":\"c2p\",\"num_labels\":\"two\"}", "num_labels is a string, not a number"},
        {DEBERTA ",\"pos_att_type\":\"c2p\",\"id2label\":7}", "id2label must be an object or a list of 1 to 16384 labels"},
        {DEBERTA ",\"pos_att_type\":\"c2p\",\"position_buckets\":64,\"max_relative_positions\":33}",
         "position_buckets 64 must be 2 or more, and max_relative_positions 33 above half of them + 1"},
        {"{\"model_type\":3}", "model_type is a number"},
        {"{\"architectures\":[\"GPT2Model\"]}", "the architecture is GPT2Model"},
        {"{\"model_type\":\"bert\",\"hidden_act\":\"swish\"}",
         "hidden_act is swish; supported are: gelu, gelu_new (gelu_pytorch_tanh, gelu_fast), relu"},
        {"{\"model_type\":\"bert\",\"position_embedding_type\":\"relative_key\"}", "position_embedding_type is relative_key"},
        {"{\"model_type\":\"bert\",\"is_decoder\":true}", "is_decoder must be false"},
        {"{\"model_type\":\"bert\",\"add_cross_attention\":true}", "add_cross_attention must be false"},
        {"{\"model_type\":\"bert\",\"hidden_size\":770}", "hidden_size 770 is not a multiple of num_attention_heads 12"},
        {"{\"model_type\":\"bert\",\"hidden_size\":1000000000}", "hidden_size is 1000000000; it must be within"},
        {"{\"model_type\":\"bert\",\"vocab_size\":0}", "vocab_size is 0"},
        {"{\"model_type\":\"bert\",\"num_hidden_layers\":-1}", "num_hidden_layers is -1"},
        {"{\"model_type\":\"bert\",\"num_hidden_layers\":1.5}", "num_hidden_layers is 1.5, not a whole number"},
        {"{\"model_type\":\"bert\",\"num_hidden_layers\":\"6\"}", "num_hidden_layers is a"},
        {"{\"model_type\":\"bert\",\"hidden_dropout_prob\":1}", "hidden_dropout_prob is 1"},
        {"{\"model_type\":\"bert\",\"classifier_dropout\":-0.1}", "classifier_dropout must be"},
        {"{\"model_type\":\"bert\",\"id2label\":{}}", "id2label"},
        {"{\"model_type\":\"bert\",\"pruned_heads\":{\"1\":[0]}}", "pruned_heads"},
        {"[]", "is not a JSON object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_config c;
        struct error e = {0};
        put("config.json", cases[i].text);
        if (!model_config_read(&c, directory, &e))
            fail_msg("expected %s to be refused", cases[i].text);
        if (e.kind != ERROR_USAGE || !strstr(e.message, cases[i].words) || !strstr(e.message, "config.json"))
            fail_msg("for %s\nexpected kind 2 and '%s'\n   found kind %d, '%s'", cases[i].text, cases[i].words, e.kind,
                     e.message);
    }
    struct model_config c;
    struct error e = {0};
    put("config.json", "{\"model_type\":");
    assert_int_equal(model_config_read(&c, directory, &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
}

static void a_bundle_config_keeps_the_rest(void **state)
{
    (void)state;
    static const char *const names[] = {"NO", "YES", "\"both\""};
    struct model_config c = read_config(
        "{\"architectures\":[\"BertForMaskedLM\"],\"hidden_size\":24,\"num_attention_heads\":2,\"pad_token_id\":0,\"torch_"
        "dtype\":\"float16\","
        "\"auto_map\":{\"AutoModel\":\"x--y.Z\"},\"num_labels\":7,\"id2label\":{\"0\":\"old\"},\"label2id\":{\"old\":0}}");
    struct json *j;
    struct error e = {0};
    c.labels = 3;
    c.hidden_dropout = 0.1f;
    c.classifier_dropout = 0.25f;
    if (model_config_for_bundle(&j, directory, &c, names, true, &e))
        fail_msg("%s", e.message);
    static const char expected[] =
        "{\"architectures\":[\"BertForSequenceClassification\"],\"hidden_size\":24,\"num_attention_heads\":2,\"pad_token_id\":0,"
        "\"torch_dtype\":\"float32\",\"id2label\":{\"0\":\"NO\",\"1\":\"YES\",\"2\":\"\\\"both\\\"\"},"
        "\"label2id\":{\"NO\":0,\"YES\":1,\"\\\"both\\\"\":2},\"model_type\":\"bert\","
        "\"problem_type\":\"multi_label_classification\",\"dtype\":\"float32\",\"hidden_dropout_prob\":0.1,"
        "\"attention_probs_dropout_prob\":0.1,\"classifier_dropout\":0.25}";
    struct json *wanted;
    assert_int_equal(json_parse(&wanted, expected, sizeof expected - 1, "expected", &e), 0);
    char *text = json_print(j, false), *wanted_text = json_print(wanted, false);
    assert_string_equal(text, wanted_text);
    free(text);
    free(wanted_text);
    json_destroy(&j);
    json_destroy(&wanted);
}

/* transformers 5 takes no 2 for a float: neither from the base's file, nor from us. */
static void floats_stay_floats_in_a_bundle(void **state)
{
    (void)state;
    static const char *const names[] = {"NO", "YES"};
    struct model_config c =
        read_config("{\"model_type\":\"modernbert\",\"hidden_size\":24,\"num_hidden_layers\":2,\"num_attention_heads\":2,"
                    "\"intermediate_size\":36,"
                    "\"vocab_size\":50,\"max_position_embeddings\":64,\"initializer_cutoff_factor\":2.0,\"initializer_range\":1,"
                    "\"global_rope_theta\":160000.0,\"attention_dropout\":0}");
    struct json *j;
    struct error e = {0};
    if (model_config_for_bundle(&j, directory, &c, names, false, &e))
        fail_msg("%s", e.message);
    char *text = json_print(j, false);
    static const char *const expected[] = {"\"initializer_cutoff_factor\": 2.0,", "\"global_rope_theta\": 160000.0,",
                                           "\"attention_dropout\": 0.0,",         "\"hidden_size\": 24,",
                                           "\"initializer_range\": 1.0,",         "\"classifier_dropout\": 0.0"};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (!strstr(text, expected[i]))
            fail_msg("expected %s in %s", expected[i], text);
    free(text);
    json_destroy(&j);
}

/* --- finding a model --- */

static void clear_environment(void)
{
    static const char *const names[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    setenv("HOME", directory, 1);
}

static void expect_found(const char *model, const char *below)
{
    char *found, *expected = *below ? path_join(directory, below) : duplicate(directory);
    struct error e = {0};
    if (model_directory_find(&found, model, &e))
        fail_msg("expected %s, found: %s", expected, e.message);
    assert_string_equal(found, expected);
    free(found);
    free(expected);
}

static void expect_not_found(const char *model, const char *words)
{
    char *found;
    struct error e = {0};
    if (!model_directory_find(&found, model, &e))
        fail_msg("expected \"%s\" not to be found, found %s", model, found);
    if (e.kind != ERROR_USAGE || !strstr(e.message, words))
        fail_msg("expected kind 2 and '%s', found kind %d, '%s'", words, e.kind, e.message);
}

#define COMMIT "24f92d32b1bfb0bcaf9ab193ff3ad01e87732fc1"

static void finds_hub_names_in_each_cache(void **state)
{
    (void)state;
    static const struct {
        const char *variable, *value, *hub;
    } places[] = {
        {NULL, NULL, ".cache/huggingface/hub"}, {"XDG_CACHE_HOME", "xdg", "xdg/huggingface/hub"},
        {"HF_HOME", "home", "home/hub"},        {"HUGGINGFACE_HUB_CACHE", "old", "old"},
        {"HF_HUB_CACHE", "new", "new"},
    };
    clear_environment();
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) { /* each has precedence over those before it */
        char *value = places[i].value ? path_join(directory, places[i].value) : NULL;
        if (value)
            setenv(places[i].variable, value, 1);
        free(value);
        expect_not_found("allenai/scibert_scivocab_uncased", "hf download allenai/scibert_scivocab_uncased");
        char *repository = path_join(places[i].hub, "models--allenai--scibert_scivocab_uncased");
        char *ref = path_join(repository, "refs/main"), *snapshot = path_join(repository, "snapshots/" COMMIT);
        char *config = path_join(snapshot, "config.json"), *other = path_join(repository, "snapshots/0123abcd/config.json");
        put(ref, COMMIT);
        expect_not_found("allenai/scibert_scivocab_uncased", "holds no complete download");
        put(config, "{}");
        put(other, "{}");
        expect_found("allenai/scibert_scivocab_uncased", snapshot);
        free(repository);
        free(ref);
        free(snapshot);
        free(config);
        free(other);
    }
}

static void finds_the_only_snapshot_without_a_ref(void **state)
{
    (void)state;
    clear_environment();
    put(".cache/huggingface/hub/models--bert-base-uncased/snapshots/" COMMIT "/config.json", "{}");
    expect_found("bert-base-uncased", ".cache/huggingface/hub/models--bert-base-uncased/snapshots/" COMMIT);
    put(".cache/huggingface/hub/models--bert-base-uncased/snapshots/0123abcd/config.json", "{}");
    expect_not_found("bert-base-uncased", "holds 2 snapshots and no refs/main");
    put(".cache/huggingface/hub/models--a--evil/refs/main", "../../../secret");
    put(".cache/huggingface/hub/secret/config.json", "{}");
    expect_not_found("a/evil", "holds no complete download");
}

static void names_that_are_no_models(void **state)
{
    (void)state;
    clear_environment();
    put("file", "x");
    char *file = path_join(directory, "file");
    expect_not_found(file, "is a file");
    free(file);
    static const char *const names[] = {"", "/no/such/folder", "./x/y", "a/b/c", "../x", "a//b", "a/", "a b", "x/..y", "-a/b"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        expect_not_found(names[i], "no such directory");
    expect_found(directory, "");
}

static void finds_the_weights(void **state)
{
    (void)state;
    char *path;
    struct error e = {0};
    assert_int_equal(model_directory_weights(&path, directory, &e), -1);
    assert_non_null(strstr(e.message, "holds no weights"));
    static const char *const worst_first[] = {"pytorch_model.bin.index.json", "pytorch_model.bin",
                                              "model.safetensors.index.json"};
    for (size_t i = 0; i < 3; i++) {
        put(worst_first[i], "{}");
        assert_int_equal(model_directory_weights(&path, directory, &e), 0);
        assert_string_equal(strrchr(path, '/') + 1, worst_first[i]);
        free(path);
    }
    put("model.safetensors", "");
    assert_int_equal(model_directory_weights(&path, directory, &e), 0);
    assert_non_null(strstr(path, "/model.safetensors"));
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_a_whole_config, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(absent_keys_have_the_defaults_of_transformers, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(an_old_config_without_model_type_is_a_bert, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(families_spell_their_keys, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(layers_are_local_or_global, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(label_names_have_many_forms, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(distances_have_buckets, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(refuses_what_is_not_supported, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(a_bundle_config_keeps_the_rest, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(floats_stay_floats_in_a_bundle, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(finds_hub_names_in_each_cache, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(finds_the_only_snapshot_without_a_ref, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(names_that_are_no_models, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(finds_the_weights, make_directory, remove_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
