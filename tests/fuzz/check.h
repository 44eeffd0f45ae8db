/* SPDX-License-Identifier: Apache-2.0 */
/* What a fuzzer finds: a fact that does not hold is printed, and the input is kept by libFuzzer. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#define CHECK(fact)                                                                                                              \
    do {                                                                                                                         \
        if (!(fact)) {                                                                                                           \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #fact);                                                   \
            abort();                                                                                                             \
        }                                                                                                                        \
    } while (0)
