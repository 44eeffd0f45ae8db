/* This machine, as it calls itself. */
#pragma once

#include <stddef.h>

#define MACHINE_NAME 256 /* bytes that any name fits in, with NUL */

void machine_name(char *text, size_t size); /* its host name; "?" where it has none */
