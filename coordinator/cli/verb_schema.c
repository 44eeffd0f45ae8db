/* SPDX-License-Identifier: Apache-2.0 */
/* muster schema: the job file as a JSON Schema, to standard output. */
#include "coordinator/cli/verbs.h"
#include "coordinator/job/job_schema.h"

#include <stdio.h>
#include <stdlib.h>

int verb_schema(const struct arguments *a, struct error *e)
{
    (void)a;
    (void)e;
    struct json *schema = job_schema();
    char *text = json_print(schema, true);
    printf("%s\n", text);
    free(text);
    json_destroy(&schema);
    return 0;
}
