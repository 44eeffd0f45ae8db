/* SPDX-License-Identifier: Apache-2.0 */
/* Standard base64 with padding (RFC 4648, section 4). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *bytes is freed by the caller; false, and nothing to free, if the text is not base64. */
bool base64_decode(const char *text, uint8_t **bytes, size_t *size);
char *base64_encode(const void *bytes, size_t size); /* freed by the caller */
