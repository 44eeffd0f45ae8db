/* SPDX-License-Identifier: Apache-2.0 */
/* README.md of a bundle. */
#pragma once

#include "coordinator/bundle/publish.h"

/* Caller frees. */
char *model_card(const struct bundle_source *s);
