/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as PEFT's adapter_config.json: refused in one line, or numbers that are what the header promises. */
#include "common/format/peft.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json *j;
    struct peft_config c = {0};
    struct error e = {0};
    if (json_parse(&j, (const char *)data, size, "fuzz", &e))
        return 0;
    int status = peft_config_read(&c, j, "fuzz", &e);
    if (status != 0 && (e.kind != ERROR_DATA || strncmp(e.message, "fuzz", 4) || strchr(e.message, '\n')))
        abort();
    if (status == 0 && (c.rank < 1 || c.rank > 65536 || !(c.alpha > 0) ||
                        !isfinite(peft_scale(&c, j, "layer.0.attention.self.query")) || !(c.dropout >= 0)))
        abort();
    json_destroy(&j);
    return 0;
}
