/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/bundle/adapter.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/format/lora.h"
#include "common/format/model_config.h"
#include "common/format/weights_index.h"
#include "coordinator/job/job_variant.h"

#include <stdlib.h>
#include <string.h>

bool adapter_is_published(const struct bundle_source *s)
{
    return job_is_lora(&s->trial->job) && strcmp(s->place->job->publish.adapter, "merged") != 0;
}

bool adapter_is_separate(const struct bundle_source *s)
{
    return job_is_lora(&s->trial->job) && strcmp(s->place->job->publish.adapter, "separate") == 0;
}

const char *adapter_base_name(const struct bundle_source *s)
{
    return directory_exists(s->place->job->model) ? s->place->model : s->place->job->model;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Words separated by blanks, as a sorted list: PEFT writes them so. */
static void set_list(struct json *o, const char *key, char *words)
{
    char *list[64] = {0}, *rest = words;
    size_t count = 0;
    struct json *array = json_set(o, key, json_array());
    for (char *word; rest && count < sizeof list / sizeof *list && (word = strsep(&rest, " "));)
        list[count++] = word;
    qsort(list, count, sizeof *list, compare);
    for (size_t i = 0; i < count; i++)
        json_append(array, json_of_string(list[i]));
    free(words);
}

static int config_of(struct json **ret, const struct bundle_source *s, struct error *e)
{
    const struct job *j = &s->trial->job;
    struct model_config model;
    bool adapted[ROLE_COUNT];
    char *targets = job_lora_targets(j);
    int status = model_config_read(&model, s->place->model, e);
    if (status == 0)
        status = lora_read_targets(adapted, targets, &model, e);
    free(targets);
    if (status != 0)
        return -1;
    struct json *o = json_object();
    json_set_string(o, "peft_type", "LORA");
    json_set_string(o, "task_type", "SEQ_CLS");
    json_set_string(o, "base_model_name_or_path", adapter_base_name(s));
    json_set_number(o, "r", j->train.lora_r);
    json_set_number(o, "lora_alpha", j->train.lora_alpha);
    json_set_number(o, "lora_dropout", j->train.lora_dropout);
    json_set_boolean(o, "use_rslora", j->train.lora_rslora);
    json_set_string(o, "bias", j->train.lora_bias);
    set_list(o, "target_modules", lora_target_modules(adapted, &model));
    set_list(o, "modules_to_save", lora_head_modules(&model));
    json_set(o, "rank_pattern", json_object());
    json_set(o, "alpha_pattern", json_object());
    json_set_boolean(o, "fan_in_fan_out", false);
    json_set_boolean(o, "inference_mode", true);
    *ret = o;
    return 0;
}

static char *readme_of(const struct bundle_source *s, const char *digest)
{
    return format_string(
        "---\nlibrary_name: peft\nbase_model: %s\n---\n\n# LoRA adapter\n\nFor the base model `%s`, whose weights "
        "have the sha256\n`%s`, and for no "
        "other. This directory has no labels and no tokenizer: they are\nin the bundle around it.\n\n```python\n"
        "from peft import PeftModel\nfrom transformers import AutoModelForSequenceClassification, AutoTokenizer\n\n"
        "base = AutoModelForSequenceClassification.from_pretrained(\"%s\", num_labels=%u)\n"
        "model = PeftModel.from_pretrained(base, \"bundle/adapter\").eval()\n"
        "tokenizer = AutoTokenizer.from_pretrained(\"bundle\")\n```\n",
        s->place->job->model, adapter_base_name(s), digest, adapter_base_name(s), s->data->labels);
}

int adapter_describe(struct adapter_files *ret, const struct bundle_source *s, struct error *e)
{
    char digest[SHA256_HEX], *weights;
    struct json *config;
    if (model_directory_weights(&weights, s->place->model, e) != 0)
        return -1;
    int status = weights_sha256(weights, digest, e);
    free(weights);
    if (status != 0 || config_of(&config, s, e) != 0)
        return -1;
    *ret = (struct adapter_files){config, json_object(), readme_of(s, digest)};
    json_set_string(ret->base, "model", adapter_base_name(s));
    json_set_string(ret->base, "weights_sha256", digest);
    return 0;
}

void adapter_files_free(struct adapter_files *f)
{
    json_destroy(&f->config);
    json_destroy(&f->base);
    free(f->readme);
    f->readme = NULL;
}
