/* SPDX-License-Identifier: Apache-2.0 */
#include "common/format/model_family.h"

#include <stdio.h>

#define SIZE(key, name, other, preset, most)                                                                                     \
    {                                                                                                                            \
        key, other, offsetof(struct model_config, name), preset, 1, most, true                                                   \
    }
#define SHARE(key, name, other, preset, most)                                                                                    \
    {                                                                                                                            \
        key, other, offsetof(struct model_config, name), preset, 0, most, false                                                  \
    }
#define LARGEST_LAYERS MODEL_LAYERS_MAX
#define LARGEST_WIDTH 65536
#define LARGEST_INNER 262144
#define LARGEST_VOCABULARY 16777216
#define LARGEST_POSITIONS 131072
#define LARGEST_DROPOUT 0.99
#define NO_KEY                                                                                                                   \
    {                                                                                                                            \
        NULL                                                                                                                     \
    }

static const struct config_key bert_keys[] = {
    SIZE("num_hidden_layers", layers, NULL, 12, LARGEST_LAYERS),
    SIZE("hidden_size", width, NULL, 768, LARGEST_WIDTH),
    SIZE("num_attention_heads", heads, NULL, 12, 1024),
    SIZE("intermediate_size", inner, NULL, 3072, LARGEST_INNER),
    SIZE("vocab_size", vocabulary, NULL, 30522, LARGEST_VOCABULARY),
    SIZE("max_position_embeddings", positions, NULL, 512, LARGEST_POSITIONS),
    SIZE("type_vocab_size", types, NULL, 2, 1024),
    SHARE("layer_norm_eps", epsilon, NULL, 1e-12, 1),
    SHARE("hidden_dropout_prob", hidden_dropout, NULL, 0.1, LARGEST_DROPOUT),
    SHARE("attention_probs_dropout_prob", attention_dropout, NULL, 0.1, LARGEST_DROPOUT),
    SHARE("initializer_range", initializer_range, NULL, 0.02, 10),
    NO_KEY,
};

static const struct config_key roberta_keys[] = {
    SIZE("num_hidden_layers", layers, NULL, CONFIG_REQUIRED, LARGEST_LAYERS),
    SIZE("hidden_size", width, NULL, CONFIG_REQUIRED, LARGEST_WIDTH),
    SIZE("num_attention_heads", heads, NULL, CONFIG_REQUIRED, 1024),
    SIZE("intermediate_size", inner, NULL, CONFIG_REQUIRED, LARGEST_INNER),
    SIZE("vocab_size", vocabulary, NULL, CONFIG_REQUIRED, LARGEST_VOCABULARY),
    SIZE("max_position_embeddings", positions, NULL, CONFIG_REQUIRED, LARGEST_POSITIONS),
    SIZE("type_vocab_size", types, NULL, CONFIG_REQUIRED, 1024),
    {"pad_token_id", NULL, offsetof(struct model_config, pad), 1, 0, LARGEST_VOCABULARY, true},
    SHARE("layer_norm_eps", epsilon, NULL, 1e-12, 1),
    SHARE("hidden_dropout_prob", hidden_dropout, NULL, 0.1, LARGEST_DROPOUT),
    SHARE("attention_probs_dropout_prob", attention_dropout, NULL, 0.1, LARGEST_DROPOUT),
    SHARE("initializer_range", initializer_range, NULL, 0.02, 10),
    NO_KEY,
};

static const struct config_key electra_keys[] = {
    SIZE("num_hidden_layers", layers, NULL, CONFIG_REQUIRED, LARGEST_LAYERS),
    SIZE("hidden_size", width, NULL, CONFIG_REQUIRED, LARGEST_WIDTH),
    SIZE("embedding_size", embedding_width, NULL, CONFIG_REQUIRED, LARGEST_WIDTH),
    SIZE("num_attention_heads", heads, NULL, CONFIG_REQUIRED, 1024),
    SIZE("intermediate_size", inner, NULL, CONFIG_REQUIRED, LARGEST_INNER),
    SIZE("vocab_size", vocabulary, NULL, CONFIG_REQUIRED, LARGEST_VOCABULARY),
    SIZE("max_position_embeddings", positions, NULL, CONFIG_REQUIRED, LARGEST_POSITIONS),
    SIZE("type_vocab_size", types, NULL, 2, 1024),
    SHARE("layer_norm_eps", epsilon, NULL, 1e-12, 1),
    SHARE("hidden_dropout_prob", hidden_dropout, NULL, 0.1, LARGEST_DROPOUT),
    SHARE("attention_probs_dropout_prob", attention_dropout, NULL, 0.1, LARGEST_DROPOUT),
    SHARE("initializer_range", initializer_range, NULL, 0.02, 10),
    NO_KEY,
};

static const struct config_key distilbert_keys[] = {
    SIZE("n_layers", layers, "num_hidden_layers", CONFIG_REQUIRED, LARGEST_LAYERS),
    SIZE("dim", width, "hidden_size", CONFIG_REQUIRED, LARGEST_WIDTH),
    SIZE("n_heads", heads, "num_attention_heads", CONFIG_REQUIRED, 1024),
    SIZE("hidden_dim", inner, "intermediate_size", CONFIG_REQUIRED, LARGEST_INNER),
    SIZE("vocab_size", vocabulary, NULL, CONFIG_REQUIRED, LARGEST_VOCABULARY),
    SIZE("max_position_embeddings", positions, NULL, CONFIG_REQUIRED, LARGEST_POSITIONS),
    SHARE("layer_norm_eps", epsilon, NULL, 1e-12, 1),
    SHARE("dropout", hidden_dropout, "hidden_dropout_prob", 0.1, LARGEST_DROPOUT),
    SHARE("attention_dropout", attention_dropout, "attention_probs_dropout_prob", 0.1, LARGEST_DROPOUT),
    SHARE("initializer_range", initializer_range, NULL, 0.02, 10),
    NO_KEY,
};

static const struct config_key deberta_keys[] = {
    SIZE("num_hidden_layers", layers, NULL, CONFIG_REQUIRED, LARGEST_LAYERS),
    SIZE("hidden_size", width, NULL, CONFIG_REQUIRED, LARGEST_WIDTH),
    SIZE("num_attention_heads", heads, NULL, CONFIG_REQUIRED, 1024),
    SIZE("intermediate_size", inner, NULL, CONFIG_REQUIRED, LARGEST_INNER),
    SIZE("vocab_size", vocabulary, NULL, CONFIG_REQUIRED, LARGEST_VOCABULARY),
    SIZE("max_position_embeddings", positions, NULL, CONFIG_REQUIRED, LARGEST_POSITIONS),
    {"type_vocab_size", NULL, offsetof(struct model_config, types), 0, 0, 1024, true},
    SHARE("layer_norm_eps", epsilon, NULL, 1e-7, 1),
    SHARE("hidden_dropout_prob", hidden_dropout, NULL, 0.1, LARGEST_DROPOUT),
    SHARE("attention_probs_dropout_prob", attention_dropout, NULL, 0.1, LARGEST_DROPOUT),
    SHARE("pooler_dropout", pooler_dropout, NULL, 0, LARGEST_DROPOUT),
    SHARE("initializer_range", initializer_range, NULL, 0.02, 10),
    NO_KEY,
};

static const struct config_key modernbert_keys[] = {
    SIZE("num_hidden_layers", layers, NULL, CONFIG_REQUIRED, LARGEST_LAYERS),
    SIZE("hidden_size", width, NULL, CONFIG_REQUIRED, LARGEST_WIDTH),
    SIZE("num_attention_heads", heads, NULL, CONFIG_REQUIRED, 1024),
    SIZE("intermediate_size", inner, NULL, CONFIG_REQUIRED, LARGEST_INNER),
    SIZE("vocab_size", vocabulary, NULL, CONFIG_REQUIRED, LARGEST_VOCABULARY),
    SIZE("max_position_embeddings", positions, NULL, CONFIG_REQUIRED, LARGEST_POSITIONS),
    SHARE("norm_eps", epsilon, NULL, 1e-5, 1),
    SHARE("mlp_dropout", hidden_dropout, NULL, 0, LARGEST_DROPOUT),
    SHARE("attention_dropout", attention_dropout, NULL, 0, LARGEST_DROPOUT),
    SHARE("embedding_dropout", embedding_dropout, NULL, 0, LARGEST_DROPOUT),
    SHARE("initializer_range", initializer_range, NULL, 0.02, 10),
    SHARE("initializer_cutoff_factor", initializer_cutoff, NULL, 2, 100),
    NO_KEY,
};

#define FLAG(key, name, preset)                                                                                                  \
    {                                                                                                                            \
        key, offsetof(struct model_config, name), preset                                                                         \
    }

static const struct config_flag modernbert_flags[] = {
    FLAG("attention_bias", attention_bias, false),
    FLAG("mlp_bias", feed_forward_bias, false),
    FLAG("norm_bias", norm_bias, false),
    FLAG("classifier_bias", head_bias, false),
    {NULL},
};

static const struct config_flag deberta_flags[] = {
    FLAG("position_biased_input", position_table, true),
    FLAG("share_att_key", distances_shared, false),
    {NULL},
};

#define WEIGHT TENSOR_DECAYS
#define BIAS TENSOR_BIAS
#define NORM 0
#define NEXT TENSOR_ADJACENT
#define NO_ROW                                                                                                                   \
    {                                                                                                                            \
        ROLE_COUNT, NULL, "", 0                                                                                                  \
    }

static const struct tensor_row bert_embedding[] = {
    {ROLE_POSITIONS, "embeddings.position_embeddings.weight", "PE", WEIGHT},
    {ROLE_TYPES, "embeddings.token_type_embeddings.weight", "YE", WEIGHT},
    {ROLE_EMBEDDING_NORM, "embeddings.LayerNorm.weight", "E", NORM},
    {ROLE_EMBEDDING_NORM, "embeddings.LayerNorm.bias", "E", BIAS},
    {ROLE_EMBEDDING_PROJECTION, "embeddings_project.weight", "CJ", WEIGHT},
    {ROLE_EMBEDDING_PROJECTION, "embeddings_project.bias", "K", BIAS},
    NO_ROW,
};

static const struct tensor_row bert_layer[] = {
    {ROLE_QUERY, "attention.self.query.weight", "CC", WEIGHT},
    {ROLE_KEY, "attention.self.key.weight", "CC", WEIGHT | NEXT},
    {ROLE_VALUE, "attention.self.value.weight", "CC", WEIGHT | NEXT},
    {ROLE_QUERY, "attention.self.query.bias", "C", BIAS},
    {ROLE_KEY, "attention.self.key.bias", "C", BIAS | NEXT},
    {ROLE_VALUE, "attention.self.value.bias", "C", BIAS | NEXT},
    {ROLE_GLOBAL_QUERY, "attention.self.query_global.weight", "WW", WEIGHT},
    {ROLE_GLOBAL_KEY, "attention.self.key_global.weight", "WW", WEIGHT | NEXT},
    {ROLE_GLOBAL_VALUE, "attention.self.value_global.weight", "WW", WEIGHT | NEXT},
    {ROLE_GLOBAL_QUERY, "attention.self.query_global.bias", "W", BIAS},
    {ROLE_GLOBAL_KEY, "attention.self.key_global.bias", "W", BIAS | NEXT},
    {ROLE_GLOBAL_VALUE, "attention.self.value_global.bias", "W", BIAS | NEXT},
    {ROLE_ATTENTION_OUTPUT, "attention.output.dense.weight", "CC", WEIGHT},
    {ROLE_ATTENTION_OUTPUT, "attention.output.dense.bias", "C", BIAS},
    {ROLE_ATTENTION_NORM, "attention.output.LayerNorm.weight", "C", NORM},
    {ROLE_ATTENTION_NORM, "attention.output.LayerNorm.bias", "C", BIAS},
    {ROLE_INNER, "intermediate.dense.weight", "FC", WEIGHT},
    {ROLE_INNER, "intermediate.dense.bias", "F", BIAS},
    {ROLE_OUTPUT, "output.dense.weight", "CF", WEIGHT},
    {ROLE_OUTPUT, "output.dense.bias", "C", BIAS},
    {ROLE_OUTPUT_NORM, "output.LayerNorm.weight", "C", NORM},
    {ROLE_OUTPUT_NORM, "output.LayerNorm.bias", "C", BIAS},
    NO_ROW,
};

static const struct tensor_row bert_head[] = {
    {ROLE_HEAD_LINEAR, "bert.pooler.dense.weight", "CC", WEIGHT},
    {ROLE_HEAD_LINEAR, "bert.pooler.dense.bias", "C", BIAS},
    {ROLE_CLASSIFIER, "classifier.weight", "LC", WEIGHT},
    {ROLE_CLASSIFIER, "classifier.bias", "L", BIAS},
    NO_ROW,
};

static const struct tensor_row roberta_head[] = {
    {ROLE_HEAD_LINEAR, "classifier.dense.weight", "CC", WEIGHT},
    {ROLE_HEAD_LINEAR, "classifier.dense.bias", "C", BIAS},
    {ROLE_CLASSIFIER, "classifier.out_proj.weight", "LC", WEIGHT},
    {ROLE_CLASSIFIER, "classifier.out_proj.bias", "L", BIAS},
    NO_ROW,
};

static const struct tensor_row distilbert_layer[] = {
    {ROLE_QUERY, "attention.q_lin.weight", "CC", WEIGHT},
    {ROLE_KEY, "attention.k_lin.weight", "CC", WEIGHT | NEXT},
    {ROLE_VALUE, "attention.v_lin.weight", "CC", WEIGHT | NEXT},
    {ROLE_QUERY, "attention.q_lin.bias", "C", BIAS},
    {ROLE_KEY, "attention.k_lin.bias", "C", BIAS | NEXT},
    {ROLE_VALUE, "attention.v_lin.bias", "C", BIAS | NEXT},
    {ROLE_ATTENTION_OUTPUT, "attention.out_lin.weight", "CC", WEIGHT},
    {ROLE_ATTENTION_OUTPUT, "attention.out_lin.bias", "C", BIAS},
    {ROLE_ATTENTION_NORM, "sa_layer_norm.weight", "C", NORM},
    {ROLE_ATTENTION_NORM, "sa_layer_norm.bias", "C", BIAS},
    {ROLE_INNER, "ffn.lin1.weight", "FC", WEIGHT},
    {ROLE_INNER, "ffn.lin1.bias", "F", BIAS},
    {ROLE_OUTPUT, "ffn.lin2.weight", "CF", WEIGHT},
    {ROLE_OUTPUT, "ffn.lin2.bias", "C", BIAS},
    {ROLE_OUTPUT_NORM, "output_layer_norm.weight", "C", NORM},
    {ROLE_OUTPUT_NORM, "output_layer_norm.bias", "C", BIAS},
    NO_ROW,
};

static const struct tensor_row distilbert_head[] = {
    {ROLE_HEAD_LINEAR, "pre_classifier.weight", "CC", WEIGHT},
    {ROLE_HEAD_LINEAR, "pre_classifier.bias", "C", BIAS},
    {ROLE_CLASSIFIER, "classifier.weight", "LC", WEIGHT},
    {ROLE_CLASSIFIER, "classifier.bias", "L", BIAS},
    NO_ROW,
};

static const struct tensor_row modernbert_embedding[] = {
    {ROLE_EMBEDDING_NORM, "embeddings.norm.weight", "C", NORM},
    {ROLE_EMBEDDING_NORM, "embeddings.norm.bias", "n", BIAS},
    NO_ROW,
};

static const struct tensor_row modernbert_layer[] = {
    {ROLE_ATTENTION_NORM, "attn_norm.weight", "C", NORM | TENSOR_NOT_FIRST},
    {ROLE_ATTENTION_NORM, "attn_norm.bias", "n", BIAS | TENSOR_NOT_FIRST},
    {ROLE_QUERY, "attn.Wqkv.weight", "QC", WEIGHT},
    {ROLE_QUERY, "attn.Wqkv.bias", "q", BIAS},
    {ROLE_ATTENTION_OUTPUT, "attn.Wo.weight", "CC", WEIGHT},
    {ROLE_ATTENTION_OUTPUT, "attn.Wo.bias", "a", BIAS},
    {ROLE_OUTPUT_NORM, "mlp_norm.weight", "C", NORM},
    {ROLE_OUTPUT_NORM, "mlp_norm.bias", "n", BIAS},
    {ROLE_INNER, "mlp.Wi.weight", "GC", WEIGHT},
    {ROLE_INNER, "mlp.Wi.bias", "g", BIAS},
    {ROLE_OUTPUT, "mlp.Wo.weight", "CF", WEIGHT},
    {ROLE_OUTPUT, "mlp.Wo.bias", "f", BIAS},
    NO_ROW,
};

static const struct tensor_row modernbert_head[] = {
    {ROLE_FINAL_NORM, "model.final_norm.weight", "C", NORM},
    {ROLE_FINAL_NORM, "model.final_norm.bias", "n", BIAS},
    {ROLE_HEAD_LINEAR, "head.dense.weight", "CC", WEIGHT},
    {ROLE_HEAD_LINEAR, "head.dense.bias", "h", BIAS},
    {ROLE_HEAD_NORM, "head.norm.weight", "C", NORM},
    {ROLE_HEAD_NORM, "head.norm.bias", "n", BIAS},
    {ROLE_CLASSIFIER, "classifier.weight", "LC", WEIGHT},
    {ROLE_CLASSIFIER, "classifier.bias", "L", BIAS},
    NO_ROW,
};

static const struct tensor_row deberta_embedding[] = {
    {ROLE_POSITIONS, "embeddings.position_embeddings.weight", "TC", WEIGHT},
    {ROLE_TYPES, "embeddings.token_type_embeddings.weight", "YC", WEIGHT},
    {ROLE_EMBEDDING_NORM, "embeddings.LayerNorm.weight", "C", NORM},
    {ROLE_EMBEDDING_NORM, "embeddings.LayerNorm.bias", "C", BIAS},
    {ROLE_DISTANCES, "encoder.rel_embeddings.weight", "SC", WEIGHT},
    {ROLE_DISTANCES_NORM, "encoder.LayerNorm.weight", "N", NORM},
    {ROLE_DISTANCES_NORM, "encoder.LayerNorm.bias", "N", BIAS},
    NO_ROW,
};

static const struct tensor_row deberta_layer[] = {
    {ROLE_QUERY, "attention.self.query_proj.weight", "CC", WEIGHT},
    {ROLE_KEY, "attention.self.key_proj.weight", "CC", WEIGHT | NEXT},
    {ROLE_VALUE, "attention.self.value_proj.weight", "CC", WEIGHT | NEXT},
    {ROLE_QUERY, "attention.self.query_proj.bias", "C", BIAS},
    {ROLE_KEY, "attention.self.key_proj.bias", "C", BIAS | NEXT},
    {ROLE_VALUE, "attention.self.value_proj.bias", "C", BIAS | NEXT},
    {ROLE_DISTANCE_QUERY, "attention.self.pos_query_proj.weight", "UC", WEIGHT},
    {ROLE_DISTANCE_KEY, "attention.self.pos_key_proj.weight", "XC", WEIGHT | NEXT},
    {ROLE_DISTANCE_QUERY, "attention.self.pos_query_proj.bias", "U", BIAS},
    {ROLE_DISTANCE_KEY, "attention.self.pos_key_proj.bias", "X", BIAS | NEXT},
    {ROLE_ATTENTION_OUTPUT, "attention.output.dense.weight", "CC", WEIGHT},
    {ROLE_ATTENTION_OUTPUT, "attention.output.dense.bias", "C", BIAS},
    {ROLE_ATTENTION_NORM, "attention.output.LayerNorm.weight", "C", NORM},
    {ROLE_ATTENTION_NORM, "attention.output.LayerNorm.bias", "C", BIAS},
    {ROLE_INNER, "intermediate.dense.weight", "FC", WEIGHT},
    {ROLE_INNER, "intermediate.dense.bias", "F", BIAS},
    {ROLE_OUTPUT, "output.dense.weight", "CF", WEIGHT},
    {ROLE_OUTPUT, "output.dense.bias", "C", BIAS},
    {ROLE_OUTPUT_NORM, "output.LayerNorm.weight", "C", NORM},
    {ROLE_OUTPUT_NORM, "output.LayerNorm.bias", "C", BIAS},
    NO_ROW,
};

static const struct tensor_row deberta_head[] = {
    {ROLE_HEAD_LINEAR, "pooler.dense.weight", "CC", WEIGHT},
    {ROLE_HEAD_LINEAR, "pooler.dense.bias", "C", BIAS},
    {ROLE_CLASSIFIER, "classifier.weight", "LC", WEIGHT},
    {ROLE_CLASSIFIER, "classifier.bias", "L", BIAS},
    NO_ROW,
};

#define BERT_WORDS "embeddings.word_embeddings.weight"
#define ROBERTA(type, class)                                                                                                     \
    {                                                                                                                            \
        .model_type = type, .class_prefix = class, .prefix = "roberta.", .layer_prefix = "encoder.layer.%u.",                    \
        .words = BERT_WORDS, .keys = roberta_keys, .activation_key = "hidden_act", .head_dropout_key = "classifier_dropout",     \
        .head_dropout = NAN, .embedding = bert_embedding, .layer = bert_layer, .head = roberta_head,                             \
        .steps = {{HEAD_DROPOUT}, {HEAD_LINEAR, ACTIVATION_TANH}, {HEAD_DROPOUT}}, .positions = POSITIONS_AFTER_PAD,             \
        .padding = 1                                                                                                             \
    }

const struct model_family model_families[] = {
    {.model_type = "bert",
     .class_prefix = "Bert",
     .prefix = "bert.",
     .layer_prefix = "encoder.layer.%u.",
     .words = BERT_WORDS,
     .keys = bert_keys,
     .activation_key = "hidden_act",
     .head_dropout_key = "classifier_dropout",
     .head_dropout = NAN,
     .embedding = bert_embedding,
     .layer = bert_layer,
     .head = bert_head,
     .steps = {{HEAD_LINEAR, ACTIVATION_TANH}, {HEAD_DROPOUT}},
     .pair_types = true},
    {.model_type = "distilbert",
     .class_prefix = "DistilBert",
     .prefix = "distilbert.",
     .layer_prefix = "transformer.layer.%u.",
     .words = BERT_WORDS,
     .keys = distilbert_keys,
     .activation_key = "activation",
     .head_dropout_key = "seq_classif_dropout",
     .head_dropout = 0.2,
     .embedding = bert_embedding,
     .layer = distilbert_layer,
     .head = distilbert_head,
     .steps = {{HEAD_LINEAR, ACTIVATION_RELU}, {HEAD_DROPOUT}},
     .plain_attention_output = true},
    ROBERTA("roberta", "Roberta"),
    ROBERTA("xlm-roberta", "XLMRoberta"),
    ROBERTA("camembert", "Camembert"),
    {.model_type = "electra",
     .class_prefix = "Electra",
     .prefix = "electra.",
     .layer_prefix = "encoder.layer.%u.",
     .words = BERT_WORDS,
     .keys = electra_keys,
     .activation_key = "hidden_act",
     .head_dropout_key = "classifier_dropout",
     .head_dropout = NAN,
     .embedding = bert_embedding,
     .layer = bert_layer,
     .head = roberta_head,
     .steps = {{HEAD_DROPOUT}, {HEAD_LINEAR, ACTIVATION_GELU}, {HEAD_DROPOUT}},
     .pair_types = true},
    {.model_type = "longformer",
     .class_prefix = "Longformer",
     .prefix = "longformer.",
     .layer_prefix = "encoder.layer.%u.",
     .words = BERT_WORDS,
     .keys = roberta_keys,
     .activation_key = "hidden_act",
     .head_dropout_key = "hidden_dropout_prob",
     .head_dropout = NAN,
     .embedding = bert_embedding,
     .layer = bert_layer,
     .head = roberta_head,
     .steps = {{HEAD_DROPOUT}, {HEAD_LINEAR, ACTIVATION_TANH}, {HEAD_DROPOUT}},
     .positions = POSITIONS_AFTER_PAD,
     .padding = 1,
     .global_first = true},
    {.model_type = "modernbert",
     .class_prefix = "ModernBert",
     .prefix = "model.",
     .layer_prefix = "layers.%u.",
     .words = "embeddings.tok_embeddings.weight",
     .keys = modernbert_keys,
     .flags = modernbert_flags,
     .activation_key = "hidden_activation",
     .head_dropout_key = "classifier_dropout",
     .head_dropout = 0,
     .embedding = modernbert_embedding,
     .layer = modernbert_layer,
     .head = modernbert_head,
     .steps = {{HEAD_LINEAR, ACTIVATION_GELU}, {HEAD_NORM}, {HEAD_DROPOUT}},
     .positions = POSITIONS_ROTARY,
     .padding = 50283,
     .pre_norm = true},
    {.model_type = "deberta-v2",
     .class_prefix = "DebertaV2",
     .prefix = "deberta.",
     .layer_prefix = "encoder.layer.%u.",
     .words = BERT_WORDS,
     .keys = deberta_keys,
     .flags = deberta_flags,
     .activation_key = "hidden_act",
     .head_dropout_key = "cls_dropout",
     .head_dropout = NAN,
     .embedding = deberta_embedding,
     .layer = deberta_layer,
     .head = deberta_head,
     .steps = {{HEAD_DROPOUT}, {HEAD_LINEAR, ACTIVATION_GELU}, {HEAD_DROPOUT}},
     .positions = POSITIONS_RELATIVE,
     .pair_types = true},
    {NULL},
};

const struct model_family *model_family_of(const struct model_config *c)
{
    return &model_families[c->family];
}

const char *model_family_classifier(const struct model_family *f)
{
    const struct tensor_row *row = f->head;
    while (row->role != ROLE_CLASSIFIER || row->flags & TENSOR_BIAS)
        row++;
    return row->name;
}

void model_family_names(char *to, size_t size)
{
    size_t used = 0;
    for (const struct model_family *f = model_families; f->model_type && used < size; f++)
        used += (size_t)snprintf(to + used, size - used, "%s%s", used ? ", " : "", f->model_type);
}

const char *model_family_key(const struct model_family *f, size_t field)
{
    for (const struct config_key *k = f->keys; k->name; k++)
        if (k->field == field)
            return k->name;
    return NULL;
}
