/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of normaliser that tokenizer.json may name, besides BertNormalizer, as rows for the pipeline's table. */
#pragma once

#include "common/text/pipeline.h"

normalizer_reader read_nfc, read_nfd, read_nfkc, read_nfkd, read_lowercase, read_strip, read_strip_accents, read_nmt,
    read_prepend, read_replace, read_precompiled;
