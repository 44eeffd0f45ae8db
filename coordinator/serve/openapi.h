/* SPDX-License-Identifier: Apache-2.0 */
/* /openapi.json: page/openapi.json with the fields, labels and options that the served models take. */
#pragma once

#include "coordinator/serve/served_model.h"

/* Caller destroys. items_most: of a request; keys: requests need one. */
struct json *openapi_make(struct served_model *const *models, size_t count, size_t items_most, bool keys);
