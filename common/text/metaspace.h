/* SPDX-License-Identifier: Apache-2.0 */
/* The pre-tokeniser Metaspace: spaces become a visible character, each of which starts a piece. */
#pragma once

#include "common/text/pipeline.h"

pre_tokenizer_reader metaspace_read;
