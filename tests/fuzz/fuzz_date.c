/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a date: refused, or a time that is written and read again as itself to a millisecond. */
#include "common/base/date.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), written[DATE_TEXT];
    double seconds, again;
    if (!text)
        abort();
    memcpy(text, data, size);
    text[size] = 0;
    if (date_read(&seconds, text)) {
        date_text(written, seconds);
        if (!isfinite(seconds) || memchr(written, 0, DATE_TEXT) == NULL)
            abort();
        if (date_read(&again, written) && fabs(again - seconds) > 0.0011)
            abort();
    }
    free(text);
    return 0;
}
