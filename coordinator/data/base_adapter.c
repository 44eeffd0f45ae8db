/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/data/base_adapter.h"

#include "common/base/memory.h"
#include "common/format/peft.h"
#include "coordinator/job/job_variant.h"

#include <stdlib.h>
#include <string.h>

/* What is swept differs from the adapter in some trials: each of them says so itself. */
static bool is_swept(const struct job *j)
{
    return json_get(j->sweep, "method") || json_get(j->sweep, "lora_r") || json_get(j->sweep, "lora_alpha");
}

static int check_same(const struct peft_adapter *a, const struct job *j, const struct model_config *c, struct error *e)
{
    struct lora l = {
        .rank = j->train.lora_r, .alpha = j->train.lora_alpha, .rslora = j->train.lora_rslora, .bias = job_lora_bias(j)};
    char *targets = job_lora_targets(j);
    int result = lora_read_targets(l.adapted, targets, c, e) != 0 ? -1 : peft_check_same(a, &l, c, e);
    free(targets);
    return result;
}

int base_adapter_head(struct base_head *ret, const struct job *j, const char *directory, uint32_t labels, struct error *e)
{
    bool new_head = strcmp(j->train.head, "new") == 0;
    struct model_config c;
    struct peft_adapter *a;
    if (peft_check_base(j->adapter, directory, e) != 0 || model_config_read(&c, directory, e) != 0)
        return -1;
    c.labels = labels;
    if (peft_open(&a, j->adapter, &c, new_head, e) != 0)
        return -1;
    if (job_is_lora(j) && !is_swept(j) && check_same(a, j, &c, e) != 0) {
        peft_close(&a);
        return -1;
    }
    *ret = (struct base_head){
        .made_new = new_head,
        .text = format_string("%s; training goes on from the adapter %s (r %u, alpha %g%s)%s",
                              new_head ? "new (train.head)" : "the adapter's, its rows in the order of the job's labels",
                              j->adapter, a->config.rank, a->config.alpha, a->config.rslora ? ", rslora" : "",
                              job_is_lora(j) ? "" : ", merged into the weights")};
    peft_close(&a);
    return 0;
}
