/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/data/base_adapter.h"

#include "common/base/memory.h"
#include "common/format/peft.h"
#include "coordinator/job/job_variant.h"

#include <string.h>

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
    *ret = (struct base_head){
        .made_new = new_head,
        .text = format_string("%s; training goes on from the adapter %s (r %u, alpha %g%s)%s",
                              new_head ? "new (train.head)" : "the adapter's, its rows in the order of the job's labels",
                              j->adapter, a->config.rank, a->config.alpha, a->config.rslora ? ", rslora" : "",
                              job_is_lora(j) ? "" : ", merged into the weights")};
    peft_close(&a);
    return 0;
}
