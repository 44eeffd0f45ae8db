/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/character_class.h"

#include <pthread.h>
#include <string.h>

#define CODES 0x110000u

static uint8_t classes[CODES];

static void fill(void)
{
    for (size_t i = 0; i < character_run_count; i++) {
        uint32_t first = character_runs[i].first, next = i + 1 < character_run_count ? character_runs[i + 1].first : CODES;
        memset(classes + first, character_runs[i].class, next - first);
    }
}

const uint8_t *character_classes(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill);
    return classes;
}
