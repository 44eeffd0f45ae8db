/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/fold.h"

#include "common/text/compose.h"

#include <stdlib.h>
#include <utf8proc.h>

void fold_text(struct buffer *to, const char *text)
{
    const unsigned how =
        UTF8PROC_NULLTERM | UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE;
    utf8proc_uint8_t *folded = NULL;
    bool valid = utf8proc_map((const utf8proc_uint8_t *)text, 0, &folded, (utf8proc_option_t)how) >= 0;
    const char *const parts[] = {valid ? (const char *)folded : text};
    compose_text(to, parts, 1, NULL, " ");
    free(folded);
}
