/* Owns what is known of this machine. */
#include "common/base/machine.h"

#include <stdio.h>
#include <unistd.h>

void machine_name(char *text, size_t size)
{
    if (gethostname(text, size))
        snprintf(text, size, "?");
    text[size - 1] = 0;
}
